// What holds on every path of the device machine, whatever happens in which order.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { take } from '#bench/simulate/model-actor.ts';
import { trustTiers } from '#contracts/states.ts';
import { deviceActor } from '#machines/device-actor.ts';
import type { DeviceContext } from '#machines/device-context.ts';
import type { DeviceEvent } from '#machines/device-events.ts';
import * as devices from './devices.ts';
import { after, inWords, search, type Edge } from './machines.ts';

const { news, openWindow, operator, read } = devices;
type Device = devices.Device;

const uuid = (step: number): string => `00000000-0000-4000-8000-${String(step).padStart(12, '0')}`;

/** Another key in the same hardware. */
const another = devices.standing({ generation: 2, verdict: 20, key_id: 'key-2' });

/** Everything that may happen in a state, with facts chosen to do harm: two certificates, tags that come and go, wrong answers. */
function eventsOf(device: Device, step: number): DeviceEvent[] {
  const { review } = device.context;
  const at = after(100 * (step + 1));
  const said: DeviceEvent[] = [
    ...(['first', 'second'] as const).flatMap((presents) => [
      news(device, { presents }),
      news(device, { presents, policy: openWindow }),
      news(device, { presents, tags: ['payments'], policy: openWindow }),
      news(device, { presents, generation: device.context.review_generation - 1, policy: openWindow }),
      news(device, { presents, revoked: [presents], policy: openWindow }),
    ]),
    news(device, { tags: ['payments'] }),
    news(device, { presents: 'first', standing: devices.standing() }),
    news(device, { standing: another }),
    devices.evidence(device),
    devices.evidence(device, { valid: false }),
    devices.evidence(device, {}, another),
    operator('device.reset', 'olga', `reset ${step}`),
    operator('device.retire', 'olga', `retire ${step}`),
    devices.adopted(),
    devices.refused(),
    devices.deadline(at),
    read(device, { state: 'approved', approvers: ['ann', 'bob'] }, { id: 'another' }),
  ];
  if (review !== null)
    said.push(
      read(device, { state: 'approved', approvers: ['ann'] }),
      read(device, { state: 'approved', approvers: ['ann', 'ann'] }),
      read(device, { state: 'approved', approvers: ['ann', 'bob'] }),
      read(device, { state: 'approved', approvers: ['ann', 'bob'], digest: 'other' }),
      read(device, { state: 'rejected', rejected_by: 'ann' }),
      read(device, { state: 'expired' }),
      read(device, null, { at: after(100_000) }),
    );
  return said.map((event) => ({ ...event, at: event.type === 'approval.read' ? event.at : at, uuid: uuid(step) }));
}

const rank = (context: DeviceContext): number => trustTiers.indexOf(context.tier);
const fingerprint = (context: DeviceContext): string | undefined => context.pinned?.fingerprint_sha256;

function byPeople({ before, event, taken }: Edge<DeviceContext, DeviceEvent>): boolean {
  const { review } = before.context;
  const requirement = taken.requirements[0];
  return (
    event.type === 'approval.read' &&
    review !== null &&
    event.approval_id === review.id &&
    event.approval?.state === 'approved' &&
    event.approval.digest === review.digest &&
    new Set(event.approval.approvers).size >= review.required &&
    fingerprint(taken.snapshot.context) === review.certificate.fingerprint_sha256 &&
    requirement?.kind === 'approval.consumed' &&
    requirement.approval_id === review.id &&
    requirement.outcome === 'approved' &&
    requirement.digest === review.digest
  );
}

/** Of exactly the key and the hardware that the device was bound to, and of an approved device. */
function byEvidence({ before, event, taken }: Edge<DeviceContext, DeviceEvent>): boolean {
  const [was, is] = [before.context, taken.snapshot.context];
  return (
    event.type === 'evidence.verified' &&
    event.valid &&
    event.epoch === was.epoch &&
    event.key_id === was.attestation_key &&
    event.binding_id === was.hardware_binding &&
    event.generation === is.attested_generation &&
    before.value === 'approved' &&
    was.tier !== 'observed'
  );
}

function bindsKey({ before, event, taken }: Edge<DeviceContext, DeviceEvent>): boolean {
  const { review } = before.context;
  const { attestation_key, hardware_binding } = taken.snapshot.context;
  return (
    event.type === 'approval.read' &&
    event.approval?.digest === review?.digest &&
    taken.requirements.length === 1 &&
    review?.hardware?.key_id === attestation_key &&
    review?.hardware?.binding_id === hardware_binding
  );
}

function byOpenWindow({ before, event, taken }: Edge<DeviceContext, DeviceEvent>): boolean {
  const { context } = before;
  return (
    event.type === 'news.fetched' &&
    !event.policy.require_new_device_approval &&
    event.candidate !== null &&
    !event.candidate.tags.includes('payments') &&
    event.review_generation === context.review_generation &&
    context.review === null &&
    context.requesters.length === 0 &&
    fingerprint(taken.snapshot.context) === event.candidate.certificate.fingerprint_sha256
  );
}

/** Throws what a transition does that none may do. */
function judge(edge: Edge<DeviceContext, DeviceEvent>): void {
  const { before, event, taken } = edge;
  const [was, is] = [before.context, taken.snapshot.context];
  const told = (): string => `${event.type}: ${before.value} → ${inWords(taken)}`;
  const isReset = event.type === 'device.reset' && taken.snapshot.value === 'pending';

  const moreTrusted =
    (taken.snapshot.value === 'approved' && before.value !== 'approved') ||
    (is.pinned !== null && fingerprint(is) !== fingerprint(was)) ||
    (rank(is) > rank(was) && !isReset);
  if (moreTrusted)
    assert.ok(byPeople(edge) || byOpenWindow(edge) || byEvidence(edge), `more trust without a decision: ${told()}`);
  if (is.tier === 'trusted' && (was.tier !== 'trusted' || is.attested_generation !== was.attested_generation))
    assert.ok(byEvidence(edge), `trusted without evidence: ${told()}`);
  if (is.tier === 'trusted')
    assert.ok(is.attested_generation !== null && is.attestation_key !== null, `trusted on nothing: ${told()}`);
  if (is.attestation_key !== null && is.attestation_key !== was.attestation_key)
    assert.ok(bindsKey(edge), `a key that nobody approved: ${told()}`);
  if (isReset) assert.equal(is.tier, 'observed', told());

  const named = taken.records.map(({ action }) => action);
  if (taken.snapshot.value !== before.value) assert.ok(named.length > 0, `a state changed in silence: ${told()}`);
  if (is.tier !== was.tier) assert.ok(named.includes('device.trust.updated'), `a tier changed in silence: ${told()}`);

  const known = [...was.rejected_fingerprints, ...(event.type === 'news.fetched' ? event.revoked : [])];
  if (is.pinned !== null && fingerprint(is) !== fingerprint(was))
    assert.ok(!known.includes(is.pinned.fingerprint_sha256) || byPeople(edge), `pinned what is refused: ${told()}`);
  if (!isReset)
    for (const rejected of was.rejected_fingerprints) assert.ok(is.rejected_fingerprints.includes(rejected), told());
  if (fingerprint(was) !== undefined && is.pinned !== null && fingerprint(is) !== fingerprint(was))
    assert.ok(is.rejected_fingerprints.includes(fingerprint(was) ?? ''), `the old pin is not refused: ${told()}`);

  assert.ok(is.epoch >= was.epoch && is.counter_epoch >= was.counter_epoch, told());
  assert.ok(is.review_generation >= was.review_generation && is.inbox_consumed >= was.inbox_consumed, told());
  if (was.review !== null && is.review === null)
    assert.equal(is.review_generation, was.review_generation + 1, `an old candidate may come back: ${told()}`);
  if (was.review !== null && is.review?.certificate === was.review.certificate)
    assert.ok(is.review.required >= was.review.required, `the quorum fell: ${told()}`);
  if (event.type !== 'deadline.passed' && is.review !== null && is.review !== was.review)
    assert.ok((is.deadlines['review'] ?? '') > is.review.expires_at, `a review that may wait for ever: ${told()}`);
  if (is.review === null) assert.deepEqual(is.deadlines, {}, told());
}

describe('every path of the device machine', () => {
  it('raises trust only by a consumed approval of what is under review, or in an open window (EN-01, EN-02, EN-06)', () => {
    let raised = 0;
    let trusted = 0;
    const { states, edges } = search(deviceActor, devices.unknown, {
      depth: 4,
      eventsOf,
      visit(edge) {
        judge(edge);
        if (edge.taken.snapshot.context.tier === 'trusted') trusted += 1;
        if (rank(edge.taken.snapshot.context) > rank(edge.before.context)) raised += 1;
      },
    });
    assert.ok(
      states > 500 && edges > 5_000 && raised > 50 && trusted > 50,
      `${states} states, ${edges} transitions, ${raised} raised, ${trusted} trusted`,
    );
  });

  it('does so on long random paths too', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { minLength: 10, maxLength: 40 }), (choices) => {
        let device = devices.unknown;
        for (const [step, choice] of choices.entries()) {
          const events = eventsOf(device, step);
          const event = events[choice % events.length] as DeviceEvent;
          const taken = take(deviceActor, device, event);
          judge({ before: device, event, taken });
          device = taken.snapshot;
        }
      }),
      { numRuns: 100 },
    );
  });

  it('keeps its lists bounded', () => {
    let device = devices.unknown;
    for (let turn = 0; turn < 150; turn++) {
      device = devices.given(device, operator('device.reset', `olga${turn}`, `reset ${turn}`));
      device = devices.given(device, news(device, { presents: `certificate ${turn}` }));
    }
    device = devices.approved;
    for (let turn = 0; turn < 150; turn++) {
      device = devices.given(device, news(device, { presents: `certificate ${turn}` }));
      device = devices.given(device, read(device, { state: 'rejected', rejected_by: 'ann' }));
    }
    const { context } = device;
    assert.equal(context.rejected_fingerprints.length, 100);
    assert.ok(context.rejected_fingerprints.includes(devices.certificate('certificate 149').fingerprint_sha256));
    assert.ok(JSON.stringify(device).length < 64 * 1024);
  });
});
