// How many devices have each tier; each count is the filter for it.
import { trustTiers, type TrustTier } from '#contracts/states.ts';
import { tierIcons } from '../../parts/badges.tsx';
import tones from '../../parts/tones.module.css';
import { tierWords } from '../../words/states.ts';
import type { FleetSummary } from '../../words/summary.ts';
import classes from './tier-counts.module.css';

interface TierCountsProps {
  readonly summary: FleetSummary;
  /** Whether there are more devices than were counted. */
  readonly isPart: boolean;
  readonly chosen: TrustTier | undefined;
  readonly onChoose: (tier: TrustTier | undefined) => void;
}

export function TierCounts({ summary, isPart, chosen, onChoose }: TierCountsProps) {
  const more = isPart ? '+' : '';
  return (
    <div className={classes['counts']} role="group" aria-label="Filter by trust tier" data-print="hide">
      <button type="button" aria-pressed={chosen === undefined} onClick={() => onChoose(undefined)}>
        All <strong>{summary.total.toLocaleString() + more}</strong>
      </button>
      {trustTiers.toReversed().map((tier) => {
        const TierIcon = tierIcons[tier];
        return (
          <button
            key={tier}
            type="button"
            aria-pressed={chosen === tier}
            title={tierWords[tier].meaning}
            onClick={() => onChoose(chosen === tier ? undefined : tier)}
          >
            <TierIcon size={16} aria-hidden className={`${classes['icon']} ${tones[tierWords[tier].tone]}`} />
            {tierWords[tier].label} <strong>{summary.tiers[tier].toLocaleString() + more}</strong>
          </button>
        );
      })}
    </div>
  );
}
