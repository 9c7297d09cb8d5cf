// How a device goes on when the store holds another state than its run made: less trusted than either side, or as trusted as both.
import { lowestTier, type DeviceState } from '#contracts/states.ts';
import { bounded } from './actor.ts';
import { agreedAttestation, attestationIn } from './device-attestation.ts';
import { withoutReview } from './device-changes.ts';
import { listLimit, unbound, type DeviceContext } from './device-context.ts';
import type { DeviceSnapshot } from './device-events.ts';
import { allTags } from './identity-review.ts';

/** Least trust first. */
const trustOrder: readonly DeviceState[] = ['retired', 'rejected', 'expired', 'pending', 'approved'];

/**
 * The less trusted of both, with everything that either side knows to be refused.
 * Two sides that are approved with different certificates agree on nothing: people decide again.
 * How much of the inbox is consumed is what the row says, which is restored together with the inbox.
 */
export function adoptDevice(
  row: DeviceSnapshot | null,
  self: DeviceSnapshot | null,
  initial: DeviceSnapshot,
): DeviceSnapshot {
  if (self === null) return row ?? initial;
  // The row is gone: whatever was decided is no longer on record, so it has to be decided again.
  if (row === null)
    return {
      value: self.value === 'approved' ? 'pending' : self.value,
      context: { ...unpinned(merged(self.context, initial.context)), inbox_consumed: 0 },
    };
  const rank = (snapshot: DeviceSnapshot): number => trustOrder.indexOf(snapshot.value as DeviceState);
  const lower = rank(self) < rank(row) ? self : row;
  const other = lower === row ? self : row;
  const context = { ...merged(lower.context, other.context), inbox_consumed: row.context.inbox_consumed };
  const disagree =
    lower.value === 'approved' && self.context.pinned?.fingerprint_sha256 !== row.context.pinned?.fingerprint_sha256;
  return disagree ? { value: 'pending', context: unpinned(context) } : { value: lower.value, context };
}

function merged(base: DeviceContext, other: DeviceContext): DeviceContext {
  // What only the other side knows counts as older; done again, nothing changes its place.
  const union = (a: readonly string[], b: readonly string[]): readonly string[] =>
    bounded([...b.filter((one) => !a.includes(one)), ...a], listLimit);
  const agreed = agreedAttestation(base, other);
  const confirmed = { ...base, ...agreed }.attested_generation !== null;
  return {
    ...base,
    ...agreed,
    tier: lowestTier([base.tier, other.tier, confirmed ? 'trusted' : 'monitored']),
    epoch: Math.max(base.epoch, other.epoch),
    counter_epoch: Math.max(base.counter_epoch, other.counter_epoch),
    review_generation: Math.max(base.review_generation, other.review_generation),
    rejected_fingerprints: union(base.rejected_fingerprints, other.rejected_fingerprints),
    revoked_fingerprints: union(base.revoked_fingerprints, other.revoked_fingerprints),
    // Every tag counts: one that is missing could lower the number of people that it takes.
    assigned_tags: allTags(base.assigned_tags, other.assigned_tags),
    requesters: union(base.requesters, other.requesters),
    requests: union(base.requests, other.requests),
    rejected_keys: union(attestationIn(base).rejected_keys, attestationIn(other).rejected_keys),
    applied_digest: null,
  };
}

function unpinned(context: DeviceContext): DeviceContext {
  return {
    ...context,
    ...withoutReview(context),
    ...unbound,
    pinned: null,
    approvers: [],
    approved_at: null,
    tier: lowestTier([context.tier, 'observed']),
    epoch: context.epoch + 1,
  };
}
