// /api/devices/<id>/explanation: why a device has its tier, what it waits for, and what would change that.
import { Type, type Static } from 'typebox';
import { approvalKinds, livenessStates, trustTiers } from '../states.ts';
import { Instant, Names, Nullable } from './common.ts';
import { PendingReview } from './devices.ts';

export const DeviceExplanation = Type.Object({
  device_id: Type.String(),
  trust_tier: Names(trustTiers),
  answers: Type.Array(
    Type.Object({
      question: Names(['expected', 'trusted', 'certificate', 'waiting']),
      standing: Names(['good', 'watch', 'bad', 'none']),
      text: Type.String(),
    }),
    {
      description:
        'Is it expected? Still trusted? Its certificate valid? Waiting on whom? Always these four, in this order',
    },
  ),
  facts: Type.Array(
    Type.Object({
      reason: Type.String({ description: 'Stable name of the reason' }),
      about: Names(['identity', 'certificate', 'attestation']),
      text: Type.String(),
      at_most: Names(trustTiers),
      decides: Type.Boolean({ description: 'Whether it holds the tier where it is' }),
      change: Nullable(Type.String({ description: 'What would change it' })),
      at: Nullable(Instant),
      by: Type.Array(Type.String(), { description: 'People behind it' }),
      settings: Type.Array(Type.String()),
    }),
    { description: 'Those that decide come first' },
  ),
  liveness: Type.Object({ state: Names(livenessStates), text: Type.String(), last_seen_at: Nullable(Instant) }),
  waits_for: Nullable(
    Type.Object({
      review: Type.String(),
      kind: Names(approvalKinds),
      required: Type.Integer(),
      missing: Type.Integer(),
      voters: Type.Array(Type.String(), { description: 'Those who have approved' }),
      permission: Type.String({ description: 'What a vote takes' }),
      roles: Type.Array(Type.String(), { description: 'Roles that have it' }),
      expires_at: Instant,
      text: Type.String(),
    }),
  ),
  pending_review: Nullable(PendingReview),
  reason: Nullable(Type.String()),
  settings: Type.Array(Type.Object({ name: Type.String(), value: Type.String() })),
  explained_at: Instant,
});
export type DeviceExplanation = Static<typeof DeviceExplanation>;
