// Why a device has the tier that it has: every fact that bounds it, in words, from the very bounds that the decision is made of.
import { lowestTier, type TrustTier } from '#contracts/states.ts';
import { tierBounds, tierReasons, type TierInputs, type TierReason } from './effective-tier.ts';

export interface ExplainedFact {
  readonly reason: TierReason;
  /** What is so. */
  readonly text: string;
  /** No more trust than this is possible while it is so. */
  readonly at_most: TrustTier;
  /** Whether it is among those that hold the tier where it is. */
  readonly decides: boolean;
  /** What would change it; null for what need not change. */
  readonly change: string | null;
}

export interface Explanation {
  readonly trust_tier: TrustTier;
  /** Those that decide come first, the lowest bound before the higher ones. */
  readonly facts: readonly ExplainedFact[];
}

/** Explains the effective tier. It cannot say anything else than the decision, since both come from the same bounds. */
export function explainTier(inputs: TierInputs, now: string): Explanation {
  const bounds = tierBounds(inputs, now);
  const trust_tier = lowestTier(bounds.map(({ bound }) => bound));
  const lowest = new Map<TierReason, TrustTier>();
  for (const { reason, bound } of bounds) lowest.set(reason, lowestTier([bound, lowest.get(reason) ?? bound]));
  const facts = [...lowest].map(([reason, at_most]) => ({
    reason,
    ...tierReasons[reason],
    at_most,
    decides: at_most === trust_tier,
  }));
  return { trust_tier, facts: facts.toSorted((one, other) => compare(one.at_most, other.at_most)) };
}

/** Less trust first. */
function compare(one: TrustTier, other: TrustTier): number {
  if (one === other) return 0;
  return lowestTier([one, other]) === one ? -1 : 1;
}
