// A device and its approvals, on the real Temporal: from first contact to a decision that holds.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { ActorRef } from '#contracts/ids.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { approval, certificate, codeOf, device, testActors, type TestActors } from './actors.ts';

const fingerprint = (name: string): string => certificate(name).fingerprint_sha256;
let actors: TestActors;

const auditOf = (id: string): string[] =>
  actors.store.audit
    .filter(({ subject, details }) => subject.id === id && details['device_id'] === id)
    .map(({ action }) => action);

async function approvedDevice(id: string, name = id): Promise<void> {
  await actors.present(id, name);
  await actors.vote((await actors.review(id)).id, 'ann');
  assert.equal(actors.grant(id).state, 'approved');
}

describe('a device', () => {
  const cleanup = cleanupAfterAll();
  before(async () => {
    actors = await testActors(cleanup);
    for (const name of ['ann', 'bob', 'carl']) actors.store.standing.add(name);
  });

  describe('enrollment', () => {
    it('waits for a person, and the answer to the last vote shows the decision (EN-01, EN-04)', async () => {
      await actors.present('d1', 'd1');
      const review = await actors.review('d1');
      assert.equal(actors.grant('d1').state, 'pending');
      assert.equal(actors.grant('d1').tier, 'observed');
      assert.equal(actors.grant('d1').candidate_fingerprint, fingerprint('d1'));

      await actors.vote(review.id, 'ann', { digest: review.digest });
      const grant = actors.grant('d1');
      assert.equal(grant.state, 'approved');
      assert.equal(grant.tier, 'monitored');
      assert.equal(grant.pinned_fingerprint, fingerprint('d1'));
      assert.deepEqual(grant.approvers, ['ann']);
      assert.ok(actors.store.consumed.has(review.id));
      await actors.handle(approval(review.id)).result();
      assert.deepEqual(auditOf('d1'), ['device.identity.pending', 'device.identity.approved', 'device.trust.updated']);
    });

    it('takes Temporal four tasks and two activities of the device, and seven and five of the approval', async () => {
      await actors.present('e1', 'e1');
      const review = await actors.review('e1');
      await actors.vote(review.id, 'ann');
      await actors.handle(approval(review.id)).result();
      const cost = async (ref: ActorRef) => {
        const events = await actors.history(ref);
        const number = (has: (event: (typeof events)[number]) => unknown) => events.filter(has).length;
        return {
          tasks: number((event) => event.workflowTaskCompletedEventAttributes),
          activities: number((event) => event.activityTaskScheduledEventAttributes),
        };
      };
      // It is a bound: events that come together share a task.
      const dearer = { device: await cost(device('e1')), approval: await cost(approval(review.id)) };
      assert.ok(dearer.device.tasks <= 4 && dearer.approval.tasks <= 7, JSON.stringify(dearer));
      assert.deepEqual([dearer.device.activities, dearer.approval.activities], [2, 5]);
    });

    it('ends with a rejection, which a reset takes back (EN-04)', async () => {
      await actors.present('d2', 'd2');
      const review = await actors.review('d2');
      await actors.vote(review.id, 'bob', { decision: 'reject' });
      assert.equal(actors.grant('d2').state, 'rejected');
      assert.equal(actors.grant('d2').tier, 'restricted');
      assert.deepEqual(actors.grant('d2').rejected_fingerprints, [fingerprint('d2')]);

      await actors.present('d2', 'd2');
      await actors.catchUp('d2');
      assert.equal(actors.grant('d2').state, 'rejected');
      assert.equal(actors.grant('d2').review, null);

      const counterEpoch = actors.grant('d2').counter_epoch;
      assert.equal((await actors.operate('d2', 'reset')).state, 'pending');
      assert.equal(actors.grant('d2').counter_epoch, counterEpoch + 1);
      await actors.present('d2', 'd2');
      const again = await actors.review('d2', review);
      assert.equal(await codeOf(actors.vote(again.id, 'olga')), 'review.own_request');
      await actors.vote(again.id, 'bob');
      assert.equal(actors.grant('d2').state, 'approved');
    });

    it('takes nothing that the device presents while it is retired (EN-04)', async () => {
      await approvedDevice('d3');
      assert.equal((await actors.operate('d3', 'retire')).state, 'retired');
      await actors.present('d3', 'd3 again');
      await actors.catchUp('d3');
      assert.equal(actors.grant('d3').state, 'retired');
      assert.equal(actors.grant('d3').tier, 'restricted');
      assert.equal(await codeOf(actors.operate('d3', 'retire')), 'device.already_retired');
    });
  });

  describe('rotation (EN-03)', () => {
    it('keeps the old certificate until people approve the new one, and refuses it from then on (HB-06)', async () => {
      await approvedDevice('r1', 'old');
      await actors.present('r1', 'new');
      const review = await actors.review('r1');
      assert.equal(actors.grant('r1').state, 'approved');
      assert.equal(actors.grant('r1').pinned_fingerprint, fingerprint('old'));
      assert.equal(actors.grant('r1').candidate_fingerprint, fingerprint('new'));
      assert.equal(actors.store.approvals.get(review.id)?.kind, 'rotation');

      await actors.vote(review.id, 'bob');
      assert.equal(actors.grant('r1').pinned_fingerprint, fingerprint('new'));
      assert.deepEqual(actors.grant('r1').rejected_fingerprints, [fingerprint('old')]);
      assert.equal(auditOf('r1').filter((action) => action === 'device.certificate.rotated').length, 1);
      await actors.present('r1', 'old');
      await actors.catchUp('r1');
      assert.equal(actors.grant('r1').review, null);
    });

    it('leaves the device as it was when the new certificate is rejected, and never asks about that one again', async () => {
      await approvedDevice('r2', 'kept');
      await actors.present('r2', 'unwanted');
      await actors.vote((await actors.review('r2')).id, 'bob', { decision: 'reject' });
      assert.equal(actors.grant('r2').state, 'approved');
      assert.equal(actors.grant('r2').tier, 'monitored');
      assert.equal(actors.grant('r2').pinned_fingerprint, fingerprint('kept'));
      await actors.present('r2', 'unwanted');
      await actors.catchUp('r2');
      assert.equal(actors.grant('r2').review, null);
      assert.deepEqual(actors.grant('r2').rejected_fingerprints, [fingerprint('unwanted')]);
    });

    it('is reviewed too when the pinned certificate was revoked, and ends when the new one is', async () => {
      await approvedDevice('r3', 'lost');
      const { epoch } = actors.grant('r3');
      await actors.present('r3', 'next', { revoked: ['lost'] });
      const review = await actors.review('r3');
      assert.equal(actors.grant('r3').epoch, epoch + 1);
      assert.equal(actors.store.approvals.get(review.id)?.kind, 'rotation');
      await actors.present('r3', 'next', { revoked: ['lost', 'next'] });
      await actors.eventually(() => actors.grant('r3').review === null, 'the end of the review');
      await actors.handle(approval(review.id)).result();
      assert.equal(actors.store.approvals.get(review.id)?.state, 'cancelled');
    });
  });

  describe('sensitive devices (EN-06, HB-10)', () => {
    it('take two distinct people; four concurrent votes of one count once', async () => {
      await actors.present('s1', 's1', { tags: ['payments'] });
      const review = await actors.review('s1');
      assert.equal(review.required, 2);
      const votes = await Promise.all(Array.from({ length: 4 }, () => codeOf(actors.vote(review.id, 'ann'))));
      assert.deepEqual(votes.toSorted(), ['open: not refused', ...Array(3).fill('review.already_voted')]);
      assert.equal(actors.store.approvals.get(review.id)?.votes.length, 1);
      assert.equal(actors.grant('s1').state, 'pending');
      await actors.vote(review.id, 'bob');
      assert.equal(actors.grant('s1').state, 'approved');
      assert.deepEqual(actors.grant('s1').approvers, ['ann', 'bob']);
    });

    it('take as many when the tag disappears while they wait, and the votes for what they were are gone', async () => {
      await actors.present('s2', 's2', { tags: ['payments'] });
      const before = await actors.review('s2');
      await actors.vote(before.id, 'ann');
      await actors.present('s2', 's2', { tags: [] });
      const changed = await actors.eventually(() => {
        const row = actors.store.approvals.get(before.id);
        return row && row.digest !== before.digest && row;
      }, 'the change in the approval');
      assert.deepEqual(changed.votes, []);
      assert.equal(changed.required_approvals, 2);
      assert.equal(await codeOf(actors.vote(before.id, 'ann', { digest: before.digest })), 'review.changed');
      await actors.vote(before.id, 'ann', { digest: changed.digest });
      assert.equal(actors.grant('s2').state, 'pending');
      await actors.vote(before.id, 'bob', { digest: changed.digest });
      assert.equal(actors.grant('s2').state, 'approved');
    });

    it('lose trust when they become sensitive with too few approvers on record, until enough people look again', async () => {
      await approvedDevice('s3');
      await actors.present('s3', 's3', { tags: ['payments'] });
      const review = await actors.review('s3');
      assert.equal(actors.grant('s3').state, 'approved');
      assert.equal(actors.grant('s3').tier, 'observed');
      assert.equal(review.required, 2);
      // Dropping the tag again does not give the trust back.
      await actors.present('s3', 's3', { tags: [] });
      await actors.catchUp('s3');
      assert.equal(actors.grant('s3').tier, 'observed');
      const changed = await actors.review('s3');
      assert.equal(changed.required, 2);
      await actors.eventually(() => actors.store.approvals.get(review.id)?.digest === changed.digest, 'the change');
      await actors.vote(review.id, 'ann');
      await actors.vote(review.id, 'carl');
      assert.equal(actors.grant('s3').tier, 'monitored');
      assert.deepEqual(actors.grant('s3').approvers, ['ann', 'carl']);
    });
  });

  describe('an open enrollment window (EN-02)', () => {
    it('pins the first certificate at once, but not of a sensitive or a reset device', async (t) => {
      const open = await testActors(t, { policy: { require_new_device_approval: false } });
      await open.present('w1', 'w1');
      await open.eventually(() => open.store.devices.get('w1')?.state === 'approved', 'the approval');
      assert.equal(open.grant('w1').tier, 'monitored');
      assert.deepEqual(open.grant('w1').approvers, []);
      assert.equal(open.store.approvals.size, 0);

      await open.present('w2', 'w2', { tags: ['payments'] });
      assert.equal((await open.review('w2')).required, 2);
      assert.equal(open.grant('w2').state, 'pending');

      await open.operate('w1', 'reset');
      await open.present('w1', 'w1');
      await open.review('w1');
      assert.equal(open.grant('w1').state, 'pending');
    });
  });

  describe('a review that nobody decides (EN-05)', () => {
    it('lapses, and what the device presents next opens a new one', async (t) => {
      const hasty = await testActors(t, { policy: { review_ttl_seconds: 1 } });
      hasty.store.standing.add('ann');
      await hasty.present('e1', 'e1');
      const review = await hasty.review('e1');
      await hasty.handle(approval(review.id)).result();
      assert.equal(hasty.store.approvals.get(review.id)?.state, 'expired');
      await hasty.eventually(() => hasty.grant('e1').state === 'expired', 'the end of the review');
      assert.equal(hasty.grant('e1').tier, 'observed');
      await hasty.present('e1', 'e1');
      const next = await hasty.review('e1', review);
      assert.equal(hasty.grant('e1').state, 'pending');
      await hasty.vote(next.id, 'ann');
      assert.equal(hasty.grant('e1').state, 'approved');
    });
  });

  describe('what an operator sees in Temporal', () => {
    it('is state and tier among the search attributes, and the present situation in words', async () => {
      await approvedDevice('v1');
      const query = `SentinelState = 'approved' AND SentinelTier = 'monitored' AND WorkflowId = '${actors.workflowId(device('v1'))}'`;
      const found = await actors.eventually(async () => {
        for await (const workflow of actors.client.workflow.list({ query })) return workflow;
        return null;
      }, 'the device in the visibility store');
      assert.deepEqual(found.searchAttributes['SentinelKind'], ['device']);
      assert.deepEqual(found.searchAttributes['SentinelProject'], ['default']);
      const { currentDetails } = await actors
        .handle(device('v1'))
        .query<{ currentDetails: string }, []>('__temporal_workflow_metadata');
      assert.match(currentDetails, /\*\*v1\*\* is \*\*approved\*\*/);
      assert.equal(
        await actors
          .handle(device('v1'))
          .describe()
          .then(({ staticSummary }) => staticSummary()),
        'device/default/v1',
      );
    });
  });
});
