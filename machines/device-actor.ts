// A device's machine as the durable actor runs it: its row, its search attributes, and what a person sees of it in Temporal.
import type { ProblemCode } from '#contracts/problems.ts';
import { asJson, type ActorDefinition } from './actor.ts';
import { adoptDevice } from './device-adoption.ts';
import { attestationIn, bindingOf } from './device-attestation.ts';
import type { DeviceContext } from './device-context.ts';
import { identity } from './device-effects.ts';
import type { DeviceEvent, DeviceSnapshot } from './device-events.ts';
import { deviceMachine } from './device.ts';

const firstActor: ActorDefinition<DeviceContext, DeviceEvent> = {
  kind: 'device',
  version: 1,
  machine: deviceMachine,
  refuse: refuseDevice,
  outcome: () => null,
  adopt: adoptDevice,
  project: ({ value, context }) => ({
    kind: 'device',
    row: {
      state: value,
      tier: context.tier,
      epoch: context.epoch,
      counter_epoch: context.counter_epoch,
      review_generation: context.review_generation,
      pinned_fingerprint: context.pinned?.fingerprint_sha256 ?? null,
      pinned_certificate: context.pinned && asJson(context.pinned),
      candidate_fingerprint:
        context.review && context.review.certificate.fingerprint_sha256 !== context.pinned?.fingerprint_sha256
          ? context.review.certificate.fingerprint_sha256
          : null,
      rejected_fingerprints: context.rejected_fingerprints,
      assigned_tags: context.assigned_tags,
      approvers: context.approvers,
      review: context.review && {
        id: context.review.id,
        kind: context.review.kind,
        digest: context.review.digest,
        expires_at: context.review.expires_at,
        required: context.review.required,
      },
      applied_digest: context.applied_digest,
      inbox_consumed: context.inbox_consumed,
      reason: context.reason,
      ...attestationRow(context),
      approved_at: context.approved_at,
    },
  }),
  changes: (before, after) =>
    before === null || (before.context.tier === after.context.tier && !confirmedAnew(before, after))
      ? []
      : [
          identity('device.trust.updated', after.context, {
            from: before.context.tier,
            to: after.context.tier,
            state: after.value,
            attested_generation: attestationIn(after.context).attested_generation,
          }),
        ],
  tier: ({ context }) => context.tier,
  describe: ({ value, context }) =>
    [
      `**${context.device_id}** is **${value}**, tier at most **${isRevoked(context) ? 'revoked' : context.tier}**`,
      '',
      context.review
        ? `- waits for the ${context.review.kind} review \`${context.review.id}\` until ${context.review.expires_at}`
        : '- waits for nobody',
      `- certificate \`${context.pinned?.fingerprint_sha256 ?? 'none pinned'}\`${isRevoked(context) ? ', revoked: it is refused for ever' : ''}`,
      `- ${inWords(context)}`,
      `- epoch ${context.epoch}`,
    ].join('\n'),
  finished: () => false,
};

/**
 * The first version knew nothing of attestation, and asks for nothing else than this one where nobody is asked for
 * evidence. What it wrote is bound to nothing.
 */
export const deviceActor: ActorDefinition<DeviceContext, DeviceEvent> = {
  ...firstActor,
  version: 2,
  earlier: {
    definition: firstActor,
    upgrade: ({ value, context }: DeviceSnapshot) => ({ value, context: { ...context, ...attestationIn(context) } }),
  },
};

/** What the tier of the row leaves to the denylist. */
function isRevoked({ pinned, revoked_fingerprints }: DeviceContext): boolean {
  return pinned !== null && revoked_fingerprints.includes(pinned.fingerprint_sha256);
}

/** A trusted device whose trust rests on other evidence than before was not trusted in between. */
function confirmedAnew(before: DeviceSnapshot, after: DeviceSnapshot): boolean {
  const generation = attestationIn(after.context).attested_generation;
  return generation !== null && generation !== attestationIn(before.context).attested_generation;
}

function attestationRow(context: DeviceContext) {
  const { attestation_provider, attestation_key, hardware_binding, attested_generation } = attestationIn(context);
  return { attestation_provider, attestation_key, hardware_binding, attested_generation };
}

function inWords(context: DeviceContext): string {
  const bound = bindingOf(context);
  const { attested_generation, disputed_generation, evidence_shown } = attestationIn(context);
  const shown = evidence_shown === null ? '' : `, evidence ${evidence_shown}`;
  if (bound === null) return `bound to no attestation key${shown}`;
  const hardware = bound.binding_id === null ? 'hardware unknown' : `hardware \`${bound.binding_id}\``;
  const evidence =
    attested_generation !== null
      ? `evidence of generation ${attested_generation} confirmed`
      : disputed_generation === null
        ? 'no evidence confirmed'
        : `evidence of generation ${disputed_generation} not borne out`;
  return `attestation key \`${bound.key_id}\`, ${hardware}, ${evidence}${shown}`;
}

function refuseDevice({ value, context }: DeviceSnapshot, event: DeviceEvent): ProblemCode | null {
  if (event.type !== 'device.retire' || value !== 'retired') return null;
  return event.request_id !== null && context.requests.includes(event.request_id) ? null : 'device.already_retired';
}
