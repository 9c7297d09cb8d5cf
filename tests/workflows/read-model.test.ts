// What people read may lag behind what is: nobody decides on what has changed since, and what devices report stays out of histories.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import pg from 'pg';
import { createActors } from '#api/actors.ts';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { findApproval } from '#store/approval.ts';
import { heartbeatBatch } from '#store/heartbeat.ts';
import { syncOperators } from '#store/operator.ts';
import { fakeApi, problemOf } from '#tests/fakes/api-over-fakes.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { digest, heartbeat, heartbeatLimits } from '#tests/store/builders.ts';
import { newsSignal } from '#workflows/messages.ts';
import { approval, device } from './actors.ts';
import { realActors } from './real-actors.ts';

/** Of one payload; far below the 2 MiB that Temporal takes. */
const largestPayloadBytes = 64 * 1024;

describe('what is read', () => {
  const cleanup = cleanupAfterAll();
  let actors: Awaited<ReturnType<typeof realActors>>;
  before(async () => {
    actors = await realActors(cleanup);
    const worker = await actors.startWorker();
    cleanup.after(() => worker.kill());
    const people = ['approver', 'admin'].map((username) => ({
      username,
      roles: ['approver' as const],
      permissions: [],
      disabled: false,
    }));
    await syncOperators(actors.database.api, people, systemClock.now().toISOString());
  });

  /** The real route of votes, over the real store and the real actors. */
  async function votingApi() {
    const actorsOfApi = createActors({
      client: actors.client,
      workflowIdOf: actors.workflowId,
      clock: systemClock,
      random: systemRandom,
      options: { taskQueue: actors.taskQueue },
    });
    const { app, as } = await fakeApi(cleanup, {
      change: (deps) => ({
        ...deps,
        approvals: {
          ...deps.approvals,
          findApproval: (project, id) => findApproval(actors.database.api, project, id),
          actors: actorsOfApi,
        },
      }),
    });
    const headers = await as('approver');
    return {
      read: async (id: string) => {
        const answer = await app.inject({ method: 'GET', url: `/api/approvals/${id}`, headers });
        return answer.json<{ digest: string; state: string }>();
      },
      vote: (id: string, seen: string) =>
        app.inject({
          method: 'POST',
          url: `/api/approvals/${id}/review`,
          headers,
          payload: { decision: 'approve', digest: seen },
        }),
    };
  }

  /** Nothing is written into this table until it is let go; what is in it can be read. */
  async function paused(table: string): Promise<() => Promise<void>> {
    const client = new pg.Client({ connectionString: actors.database.superuserUrl });
    await client.connect();
    cleanup.after(() => client.end());
    await client.query('BEGIN');
    await client.query(`LOCK TABLE ${table} IN EXCLUSIVE MODE`);
    return async () => void (await client.query('ROLLBACK'));
  }

  it('carries a digest, and a decision on one that is no longer true is refused while the reads still show it (FT-20)', async () => {
    const id = 'lagging';
    await actors.present(id, `${id}-1`);
    const { id: review } = await actors.review(id);
    const api = await votingApi();
    const seen = await api.read(review);
    const goOn = await paused('approval');
    await actors.present(id, `${id}-1`, { tags: ['other-tag'] });
    await actors.eventually(async () => {
      const events = await actors.history(approval(review));
      return events.some((event) => event.workflowExecutionSignaledEventAttributes);
    }, 'the approval to hear that its subject has changed');

    assert.equal((await api.read(review)).digest, seen.digest, 'the reads lag');
    const refused = await api.vote(review, seen.digest);
    assert.deepEqual([refused.statusCode, problemOf(refused).code], [409, 'review.changed']);
    assert.deepEqual(problemOf(refused).facts, {}, 'which one it is now is not known here yet');

    await goOn();
    const present = await actors.eventually(async () => {
      const read = await api.read(review);
      return read.digest !== seen.digest && read;
    }, 'the reads to catch up');
    const again = await api.vote(review, seen.digest);
    assert.deepEqual([again.statusCode, problemOf(again).code], [409, 'review.changed']);
    assert.deepEqual(
      problemOf(again).facts,
      { digest: present.digest },
      'who saw another version hears which it is now',
    );
    assert.deepEqual((await actors.approvalOf(review))?.votes, [], 'nobody has voted yet');
    assert.equal((await actors.grantOf(id))?.state, 'pending');

    const taken = await api.vote(review, present.digest);
    assert.equal(taken.statusCode, 200, taken.body);
    assert.equal((await actors.grantOf(id))?.state, 'approved');
  });

  it('of a device is stored by its digest: not even the largest report gets into a history (FT-10)', async () => {
    const id = 'talkative';
    const canary = 'canary-of-a-large-report';
    const text = `${canary} ${'x'.repeat(256 - canary.length - 1)}`;
    const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`fact_${n}`, text]));
    const observation = {
      ...heartbeat(id).observation,
      agent_version: canary.slice(0, 24),
      tags: Array.from({ length: 64 }, (_, n) => `t${n}-${'x'.repeat(58)}`),
      posture: many(64),
      directory: many(32),
    };
    const acknowledgements = Array.from({ length: 64 }, (_, n) => ({
      kind: 'acknowledgement',
      payload: { id: `${n}`, status: 'done', detail: `${canary}${'x'.repeat(1000)}` },
    }));
    await actors.present(id, `${id}-1`);
    for (const counter of [Date.now(), Date.now() + 1]) {
      const observed_digest = digest(`${id} ${counter}`);
      await heartbeatBatch(
        actors.database.api,
        [heartbeat(id, { certificate: `${id}-1`, counter, observation, observed_digest, acknowledgements })],
        heartbeatLimits,
        systemClock.now().toISOString(),
      );
    }
    await actors.handle(device(id)).signal(newsSignal);
    const row = await actors.eventually(async () => {
      const [found] = await actors.database.rows<{ applied: string; observed: string; posture: object }>(
        `SELECT d.applied_digest AS applied, o.observed_digest AS observed, o.posture FROM device d
         JOIN device_observation o USING (project_id, device_id) WHERE d.device_id = $1`,
        [id],
      );
      return found?.applied === found?.observed && found;
    }, 'the actor to take the report into account');
    assert.ok(JSON.stringify(row.posture).includes(canary), 'the report itself is in the store');
    const { id: review } = await actors.review(id);
    await actors.vote(review, 'approver');

    for (const ref of [device(id), approval(review)]) {
      const events = await actors.history(ref);
      const payloads = payloadsIn(events);
      assert.ok(payloads.length > 3, 'payloads are where they are looked for');
      for (const payload of payloads) {
        assert.ok(payload.length <= largestPayloadBytes, `${payload.length} bytes`);
        assert.ok(!payload.toString().includes('canary-of-a-large'), 'what was reported is not in the history');
      }
    }
  });
});

/** The data of every payload, wherever it is in an event. */
function payloadsIn(value: unknown): readonly Buffer[] {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return [];
  const { metadata, data } = value as { metadata?: unknown; data?: unknown };
  if (metadata !== undefined && data instanceof Uint8Array) return [Buffer.from(data)];
  return Object.values(value).flatMap((inner) => payloadsIn(inner));
}
