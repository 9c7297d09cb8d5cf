// A device and its approvals, on the real Temporal: from first contact to a decision that holds.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { voteUpdate } from '#workflows/messages.ts';
import { certificate, testActors } from './actors.ts';

type Actors = Awaited<ReturnType<typeof testActors>>;

const codeOf = (error: unknown): string | null | undefined =>
  error instanceof WorkflowUpdateFailedError && error.cause instanceof ApplicationFailure
    ? error.cause.type
    : String(error);

function vote(
  actors: Actors,
  approvalId: string,
  by: string,
  options: { decision?: 'approve' | 'reject'; digest?: string; request?: string } = {},
) {
  const request_id = options.request ?? randomUUID();
  return actors.handle(actors.approval(approvalId)).executeUpdate(voteUpdate, {
    updateId: request_id,
    args: [
      {
        by: { kind: 'user', id: by },
        decision: options.decision ?? 'approve',
        reason: null,
        digest: options.digest ?? null,
        request_id,
      },
    ],
  });
}

async function pendingReview(actors: Actors, id: string): Promise<{ id: string; digest: string }> {
  const review = await actors.eventually(
    () => actors.store.devices.get(id)?.review as { id: string; digest: string } | null | undefined,
    'a review',
  );
  await actors.eventually(() => actors.store.approvals.get(review.id), 'the approval');
  return review;
}

test('an unseen device stays pending until a person approves it, and the answer to the last vote shows it (EN-01)', async (t) => {
  const actors = await testActors(t);
  actors.store.standing.add('ann');
  await actors.present('d1', certificate('d1'));
  const review = await pendingReview(actors, 'd1');
  assert.equal(actors.store.devices.get('d1')?.state, 'pending');
  assert.equal(actors.store.devices.get('d1')?.tier, 'observed');

  await vote(actors, review.id, 'ann', { digest: review.digest });
  const grant = actors.store.devices.get('d1');
  assert.equal(grant?.state, 'approved');
  assert.equal(grant?.tier, 'monitored');
  assert.equal(grant?.pinned_fingerprint, certificate('d1').fingerprint_sha256);
  assert.deepEqual(grant?.approvers, ['ann']);
  assert.ok(actors.store.consumed.has(review.id));
  await actors.handle(actors.approval(review.id)).result();
});
