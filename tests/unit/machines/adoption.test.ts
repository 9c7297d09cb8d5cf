// How actors go on when the store holds another state than they made: whatever the two are, never with more trust than the row.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { closedApprovalStates, trustTiers, type DeviceState } from '#contracts/states.ts';
import { approvalActor, type ApprovalEvent } from '#machines/approval.ts';
import { deviceActor } from '#machines/device-actor.ts';
import type { DeviceEvent } from '#machines/device-events.ts';
import * as approvals from './approvals.ts';
import * as devices from './devices.ts';
import { after } from './machines.ts';

type Device = devices.Device;
type Approval = approvals.Approval;

const { news, operator, read } = devices;

/** What a device may have been through; each step fits the state that it finds, or changes nothing. */
const deviceSteps: readonly ((device: Device, step: number) => DeviceEvent)[] = [
  (d) => news(d, { presents: 'first' }),
  (d) => news(d, { presents: 'second', tags: ['payments'] }),
  (d) => news(d, { presents: 'third', policy: devices.openWindow }),
  (d) => ({ ...news(d, { tags: ['payments'] }), inbox_through: d.context.inbox_consumed + 7 }),
  (d) => news(d, { revoked: ['first', 'second'] }),
  (d) => read(d, { state: 'approved', approvers: ['ann', 'bob'] }),
  (d) => read(d, { state: 'approved', approvers: ['ann', 'bob'] }),
  (d) => read(d, { state: 'rejected', rejected_by: 'ann' }),
  (d) => read(d, { state: 'expired' }),
  (d) => news(d, { presents: 'first', standing: devices.standing() }),
  (d) => news(d, { standing: devices.standing({ key_id: 'key-2' }) }),
  (d) => devices.evidence(d),
  (d) => devices.evidence(d, { generation: 2 }),
  (_, step) => operator('device.reset', 'olga', `reset ${step}`),
  (_, step) => operator('device.retire', 'olga', `retire ${step}`),
];

const walks = <Step>(steps: readonly Step[]) => fc.array(fc.constantFrom(...steps), { maxLength: 12 });

const anyDevice = walks(deviceSteps).map((steps) =>
  steps.reduce((device, step, index) => devices.given(device, step(device, index)), devices.unknown),
);
/** Two states with a common past, as a reset, a restore or a second run makes them. */
const twoDevices = fc.tuple(walks(deviceSteps), walks(deviceSteps), walks(deviceSteps)).map(([common, one, other]) => {
  const go = (from: Device, steps: typeof common): Device =>
    steps.reduce((device, step, index) => devices.given(device, step(device, index)), from);
  const past = go(devices.unknown, common);
  return [go(past, one), go(past, other)] as const;
});

const order: readonly DeviceState[] = ['retired', 'rejected', 'expired', 'pending', 'approved'];
const rank = ({ value }: Device): number => order.indexOf(value as DeviceState);
const tier = ({ context }: Device): number => trustTiers.indexOf(context.tier);
const pin = ({ context }: Device): string | undefined => context.pinned?.fingerprint_sha256;

describe('adoption of a device', () => {
  const adopt = (row: Device | null, self: Device | null): Device => deviceActor.adopt(row, self, devices.unknown);

  it('is never more trusted than the row, nor than the run', () => {
    fc.assert(
      fc.property(twoDevices, ([row, self]) => {
        const result = adopt(row, self);
        for (const side of [row, self]) {
          assert.ok(rank(result) <= rank(side), `${side.value} became ${result.value}`);
          assert.ok(tier(result) <= tier(side));
          assert.ok(result.context.epoch >= side.context.epoch);
          assert.ok(result.context.counter_epoch >= side.context.counter_epoch);
          assert.ok(result.context.review_generation >= side.context.review_generation);
          for (const list of ['rejected_fingerprints', 'revoked_fingerprints', 'requesters', 'requests'] as const)
            for (const entry of side.context[list]) assert.ok(result.context[list].includes(entry), list);
        }
        if (result.context.attested_generation !== null || result.context.tier === 'trusted')
          for (const side of [row, self])
            for (const name of ['attestation_key', 'hardware_binding', 'attested_generation'] as const)
              assert.equal(side.context[name], result.context[name], name);
        if (result.value === 'approved') {
          assert.equal(pin(result), pin(row));
          assert.equal(pin(result), pin(self));
          assert.deepEqual(result.context.approvers, row.context.approvers);
        }
        assert.equal(result.context.inbox_consumed, row.context.inbox_consumed);
        assert.equal(result.context.applied_digest, null);
      }),
      { numRuns: 400 },
    );
  });

  it('lets a rejection and a retirement on either side win', () => {
    fc.assert(
      fc.property(anyDevice, (other) => {
        for (const refused of [devices.rejected, devices.retired])
          for (const result of [adopt(refused, other), adopt(other, refused)])
            assert.ok(['rejected', 'retired'].includes(result.value) && tier(result) <= 1, result.value);
      }),
    );
  });

  it('has nothing more to do when it is done again', () => {
    fc.assert(
      fc.property(twoDevices, ([row, self]) => {
        const once = adopt(row, self);
        assert.deepEqual(adopt(row, once), once);
        assert.deepEqual(adopt(once, once), once);
      }),
      { numRuns: 1000 },
    );
  });

  it('takes the row when the run has no past', () => {
    fc.assert(fc.property(anyDevice, (row) => assert.deepEqual(adopt(row, null), row)));
  });

  it('takes a row that is gone for least trust: what was approved is decided again', () => {
    fc.assert(
      fc.property(anyDevice, (self) => {
        const result = adopt(null, self);
        assert.notEqual(result.value, 'approved');
        assert.ok(tier(result) <= trustTiers.indexOf('observed') && tier(result) <= tier(self));
        assert.equal(result.context.pinned, null);
        assert.equal(result.context.review, null);
        assert.ok(result.context.epoch > self.context.epoch);
        assert.ok(result.context.review_generation > self.context.review_generation);
      }),
    );
    assert.deepEqual(adopt(null, null), devices.unknown);
  });

  it('has people decide again when both sides are approved with different certificates', () => {
    const one = devices.approved;
    const other = devices.given(devices.rotating, devices.approvedBy(devices.rotating, 'ann'));
    const result = adopt(one, other);
    assert.equal(result.value, 'pending');
    assert.equal(result.context.pinned, null);
    assert.ok(result.context.epoch > Math.max(one.context.epoch, other.context.epoch));
  });

  it('confirms nothing and binds nothing that both sides do not agree on', () => {
    const held = ({ context }: Device) => [context.attestation_key, context.attested_generation, context.tier];
    const renewed = devices.given(devices.trusted, devices.evidence(devices.trusted, { generation: 2 }));
    assert.deepEqual(held(adopt(devices.trusted, devices.trusted)), ['key-1', 1, 'trusted']);
    assert.deepEqual(held(adopt(devices.trusted, renewed)), ['key-1', null, 'monitored']);
    assert.deepEqual(held(adopt(devices.trusted, devices.bound)), ['key-1', null, 'monitored']);
    assert.deepEqual(held(adopt(devices.approved, devices.trusted)), [null, null, 'monitored']);
    assert.deepEqual(held(adopt(devices.trusted, devices.approved)), [null, null, 'monitored']);
  });

  it('keeps every tag that an operator assigned', () => {
    const tagged = (...assigned_tags: string[]): Device => ({
      ...devices.approved,
      context: { ...devices.approved.context, assigned_tags },
    });
    assert.deepEqual(adopt(tagged('a', 'b'), tagged('b', 'c')).context.assigned_tags, ['a', 'b', 'c']);
  });
});

const approvalSteps: readonly ((step: number) => ApprovalEvent)[] = [
  (step) => approvals.vote('ann', { request: `ann ${step}`, at: after(step) }),
  (step) => approvals.vote('bob', { request: `bob ${step}`, at: after(step) }),
  (step) => approvals.vote('carl', { request: `carl ${step}`, decision: 'reject', at: after(step) }),
  () => approvals.confirmed(['ann', 'bob']),
  () => approvals.confirmed(['ann', 'bob']),
  () => approvals.confirmed(['ann'], ['bob']),
  (step) => approvals.changed(`digest ${step}`, 2, after(step)),
  () => approvals.withdrawn(),
  () => approvals.deadline(after(100_000)),
  () => approvals.said('outcome.delivered'),
];
const goApproval = (from: Approval, steps: typeof approvalSteps): Approval =>
  approvals.given(from, ...steps.map((step, index) => step(index)));
const anyApproval = walks(approvalSteps).map((steps) => goApproval(approvals.openForTwo, steps));
const twoApprovals = fc
  .tuple(walks(approvalSteps), walks(approvalSteps), walks(approvalSteps))
  .map(([common, one, other]) => {
    const past = goApproval(approvals.openForTwo, common);
    return [goApproval(past, one), goApproval(past, other)] as const;
  });

const isClosed = ({ value }: Approval): boolean => (closedApprovalStates as readonly string[]).includes(value);
const approving = ({ context }: Approval): string[] =>
  context.votes.filter(({ decision }) => decision === 'approve').map(({ by }) => by);

describe('adoption of an approval', () => {
  const adopt = (row: Approval | null, self: Approval | null): Approval =>
    approvalActor.adopt(row, self, approvals.openForTwo);

  it('is never nearer to approval than the row (SA-15)', () => {
    fc.assert(
      fc.property(twoApprovals, ([row, self]) => {
        const result = adopt(row, self);
        if (result.value === 'approved') assert.equal(row.value, 'approved');
        if (isClosed(row)) assert.ok(result.value === row.value || result.value === 'rejected', result.value);
        if (isClosed(self) && self.value !== 'approved') assert.ok(isClosed(result), result.value);
        if (row.value === 'rejected' || self.value === 'rejected') assert.equal(result.value, 'rejected');
        assert.ok(approving(result).every((who) => approving(row).includes(who)));
        assert.equal(new Set(result.context.votes.map(({ by }) => by)).size, result.context.votes.length);
        assert.equal(result.context.digest, row.context.digest);
        assert.equal(result.context.required, row.context.required);
        if (isClosed(result)) {
          assert.deepEqual(result.context.deadlines, {});
          assert.equal(result.context.delivered, false);
          assert.notEqual(result.context.closed_at, null);
        } else assert.deepEqual(result, row);
      }),
      { numRuns: 400 },
    );
  });

  it('has nothing more to do when it is done again', () => {
    fc.assert(
      fc.property(twoApprovals, ([row, self]) => {
        const once = adopt(row, self);
        assert.deepEqual(adopt(row, once), once);
        assert.deepEqual(adopt(once, once), once);
      }),
      { numRuns: 200 },
    );
  });

  it('names who rejected, whichever side knows it', () => {
    const byCarl = approvals.given(approvals.openForTwo, approvals.vote('carl', { decision: 'reject' }));
    const result = adopt(approvals.half, byCarl);
    assert.deepEqual(
      result.context.votes.map(({ by, decision }) => [by, decision]),
      [
        ['ann', 'approve'],
        ['carl', 'reject'],
      ],
    );
    assert.equal(result.context.closed_at, byCarl.context.closed_at);
  });

  it('takes a row that is gone for least trust: votes are cast again, and nothing is approved', () => {
    fc.assert(
      fc.property(anyApproval, (self) => {
        const result = adopt(null, self);
        assert.notEqual(result.value, 'approved');
        if (isClosed(self)) assert.equal(result.value, self.value === 'approved' ? 'expired' : self.value);
        else assert.deepEqual(result, { value: 'open', context: { ...self.context, votes: [] } });
      }),
    );
    assert.deepEqual(adopt(null, null), approvals.openForTwo);
  });
});
