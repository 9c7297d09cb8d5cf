// The fence on real parts: whatever is killed, reset, terminated or restored, no decision is swallowed and nobody is trusted more.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { actorId, type ActorRef } from '#contracts/ids.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { digest } from '#tests/store/builders.ts';
import { approval, codeOf, device } from './actors.ts';
import { realActors, type Trap } from './real-actors.ts';

type Actors = Awaited<ReturnType<typeof realActors>>;
type Worker = Awaited<ReturnType<Actors['startWorker']>>;

describe('the fence', () => {
  const cleanup = cleanupAfterAll();
  let actors: Actors;
  before(async () => {
    actors = await realActors(cleanup);
  });

  /** Each revision stands once, and each epoch goes on where the one before was left. */
  async function assertWholeHistory(ref: ActorRef): Promise<void> {
    const rows = await actors.transitions(ref);
    assert.ok(rows.length > 0);
    const byEpoch = Map.groupBy(rows, ({ epoch }) => epoch);
    for (const [epoch, own] of byEpoch) {
      const revisions = own.map(({ revision }) => revision);
      const first = revisions[0] ?? 0;
      assert.deepEqual(
        revisions,
        revisions.map((_, index) => first + index),
        `epoch ${epoch}`,
      );
    }
  }

  async function approvedDevice(id: string): Promise<string> {
    await actors.present(id, `${id}-1`);
    const review = await actors.review(id);
    assert.equal((await actors.vote(review.id, 'ann')).state, 'approved');
    assert.equal((await actors.grantOf(id))?.state, 'approved');
    return review.id;
  }

  const adopted = (ref: ActorRef) =>
    actors.eventually(
      async () => {
        const events = await actors.audit(ref.id, 'actor.adopted');
        return events.length > 0 && events;
      },
      `${actorId(ref)} to adopt`,
    );

  describe('when the worker is killed in a commit', () => {
    const cases: readonly (readonly [string, Trap['kind'], string])[] = [
      ['the vote', 'approval', 'deciding'],
      ['the end of the approval', 'approval', 'approved'],
      ['the approval of the device', 'device', 'approved'],
    ];
    for (const [what, kind, state] of cases) {
      for (const moment of ['before', 'after'] as const) {
        it(`of ${what}, ${moment} the store has it: it is written once, and whoever voted is answered`, async () => {
          const trapped = await actors.startWorker({ moment, kind, state });
          const id = `k-${randomUUID().slice(0, 8)}`;
          await actors.present(id, `${id}-1`);
          const review = await actors.review(id);
          const request = randomUUID();
          const voting = actors.vote(review.id, 'ann', request);
          await trapped.reached;
          await trapped.kill();
          const next = await actors.startWorker();
          assert.equal((await voting).state, 'approved');
          const grant = await actors.eventually(async () => {
            const row = await actors.grantOf(id);
            return row?.state === 'approved' && row;
          }, `${id} to be approved`);
          assert.equal(grant.pinned_fingerprint, digest(`${id}-1`));
          assert.equal((await actors.audit(review.id, 'approval.voted')).length, 1);
          assert.equal((await actors.audit(id, 'device.identity.approved')).length, 1);
          const [row] = await actors.database.rows<{ votes: unknown[] }>('SELECT votes FROM approval WHERE id = $1', [
            review.id,
          ]);
          assert.equal(row?.votes.length, 1);
          for (const ref of [device(id), approval(review.id)]) {
            await assertWholeHistory(ref);
            assert.equal((await actors.audit(ref.id, 'actor.adopted')).length, 0, 'the run is the same one');
          }
          await next.kill();
        });
      }
    }

    it('at any moment after it was reported, again and again: every vote that was answered is there', async () => {
      let worker: Worker = await actors.startWorker();
      const ids = Array.from({ length: 2 }, (_, index) => `r-${index}-${randomUUID().slice(0, 8)}`);
      await Promise.all(ids.map((id) => actors.present(id, `${id}-1`)));
      const reviews = await Promise.all(ids.map((id) => actors.review(id)));
      for (const [index, review] of reviews.entries()) {
        const voting = actors.vote(review.id, 'ann');
        const committed = async (): Promise<boolean> =>
          (await actors.history(approval(review.id))).filter((event) => event.activityTaskCompletedEventAttributes)
            .length > index;
        await actors.eventually(committed, 'a commit to be reported');
        await worker.kill();
        worker = await actors.startWorker();
        assert.equal((await voting).state, 'approved');
        assert.equal((await actors.audit(review.id, 'approval.voted')).length, 1);
        assert.equal((await actors.audit(ids[index] ?? '', 'device.identity.approved')).length, 1);
      }
      await worker.kill();
    });
  });

  describe('when a run is no longer the one that wrote the row', () => {
    let worker: Worker;
    before(async () => {
      worker = await actors.startWorker();
      cleanup.after(() => worker.kill().catch(() => {}));
    });

    it('takes the less trusted of both after a reset to before the approval, and says so', async () => {
      const id = 'reset-device';
      const first = await approvedDevice(id);
      const events = await actors.history(device(id));
      const committed = events.findIndex((event) => event.activityTaskCompletedEventAttributes);
      const pending = events.slice(committed).find((event) => event.workflowTaskCompletedEventAttributes);
      await actors.resetTo(device(id), Number(pending?.eventId));
      await actors.verify(device(id));
      const [event] = await adopted(device(id));
      assert.equal(event?.details['row_state'], 'approved');
      assert.equal(event?.details['own_state'], 'pending');
      const grant = await actors.grantOf(id);
      assert.equal(grant?.state, 'pending');
      assert.equal(grant?.pinned_fingerprint, null);
      await assertWholeHistory(device(id));
      const epochs = new Set((await actors.transitions(device(id))).map(({ epoch }) => epoch));
      assert.deepEqual([...epochs], [1, 2]);
      // And people can decide again.
      await actors.present(id, `${id}-2`);
      const review = await actors.review(id, first);
      assert.equal((await actors.vote(review.id, 'bob')).state, 'approved');
      assert.equal((await actors.grantOf(id))?.pinned_fingerprint, digest(`${id}-2`));
    });

    it('goes on from the row after a reset to before its first commit: it knows nothing else', async () => {
      const id = 'reset-whole';
      await approvedDevice(id);
      const events = await actors.history(device(id));
      await actors.resetTo(
        device(id),
        Number(events.find((event) => event.workflowTaskCompletedEventAttributes)?.eventId),
      );
      await actors.verify(device(id));
      const [event] = await adopted(device(id));
      assert.deepEqual([event?.details['row_state'], event?.details['own_state']], ['approved', null]);
      assert.equal((await actors.grantOf(id))?.state, 'approved');
      await assertWholeHistory(device(id));
    });

    it('keeps the votes of the row after a reset to before them', async () => {
      const id = 'reset-votes';
      await actors.present(id, `${id}-1`);
      const review = await actors.review(id);
      await actors.database.rows('UPDATE approval SET required_approvals = 2 WHERE id = $1', [review.id]);
      await actors.database.rows(
        `UPDATE actor SET snapshot = jsonb_set(snapshot, '{context,required}', '2') WHERE subject_id = $1`,
        [review.id],
      );
      const before = await actors.history(approval(review.id));
      const begun = before.find((event) => event.workflowTaskCompletedEventAttributes);
      await actors.resetTo(approval(review.id), Number(begun?.eventId));
      await actors.verify(approval(review.id));
      await adopted(approval(review.id));
      assert.equal((await actors.vote(review.id, 'ann')).state, 'open');
      const again = await actors.history(approval(review.id));
      const first = again.find((event) => event.workflowTaskCompletedEventAttributes);
      await actors.resetTo(approval(review.id), Number(first?.eventId));
      assert.equal(await codeOf(actors.vote(review.id, 'ann')), 'review.already_voted');
      assert.equal((await actors.vote(review.id, 'bob')).state, 'approved');
      assert.equal((await actors.grantOf(id))?.state, 'approved');
      await assertWholeHistory(approval(review.id));
    });

    it('goes on from the row after its workflow was terminated and started again', async () => {
      const id = 'terminated';
      await approvedDevice(id);
      await actors.handle(device(id)).terminate('test');
      await actors.present(id, `${id}-1`);
      await adopted(device(id));
      const grant = await actors.grantOf(id);
      assert.equal(grant?.state, 'approved');
      assert.equal(grant?.pinned_fingerprint, digest(`${id}-1`));
      await assertWholeHistory(device(id));
    });

    it('is found by the reconciler: what was ended starts again from its row, and what was reset adopts', async () => {
      const id = 'reconciled';
      await actors.present(id, `${id}-1`);
      const review = await actors.review(id);
      await actors.handle(approval(review.id)).terminate('test');
      await actors.handle(device(id)).terminate('test');
      assert.ok((await actors.reconcile()).restarted >= 2);
      await adopted(approval(review.id));
      await adopted(device(id));
      assert.equal((await actors.vote(review.id, 'ann')).state, 'approved');
      assert.equal((await actors.grantOf(id))?.state, 'approved');
      const events = await actors.history(device(id));
      const committed = events.findIndex((event) => event.activityTaskCompletedEventAttributes);
      const earlier = events.slice(committed).find((event) => event.workflowTaskCompletedEventAttributes);
      await actors.resetTo(device(id), Number(earlier?.eventId));
      assert.ok((await actors.reconcile()).verified >= 1);
      await actors.eventually(
        async () => (await actors.audit(id, 'actor.adopted')).length === 2,
        'the second adoption',
      );
      for (const ref of [device(id), approval(review.id)]) await assertWholeHistory(ref);
    });

    it('loses the decision that a restored database has lost, and no other', async () => {
      const id = 'restored';
      await actors.present(id, `${id}-1`);
      const review = await actors.review(id);
      const tables = ['actor', 'device'] as const;
      const column = { actor: 'subject_id', device: 'device_id' } as const;
      const saved = await Promise.all(
        tables.map(async (table) => {
          const [row] = await actors.database.rows<{ row: object }>(
            `SELECT to_jsonb(x) AS row FROM ${table} x WHERE ${column[table]} = $1`,
            [id],
          );
          return [table, row?.row] as const;
        }),
      );
      assert.equal((await actors.vote(review.id, 'ann')).state, 'approved');
      assert.equal((await actors.grantOf(id))?.state, 'approved');
      for (const [table, row] of saved) {
        await actors.database.rows(`DELETE FROM ${table} WHERE ${column[table]} = $1`, [id]);
        await actors.database.rows(`INSERT INTO ${table} SELECT * FROM jsonb_populate_record(NULL::${table}, $1)`, [
          JSON.stringify(row),
        ]);
      }
      await actors.verify(device(id));
      const [event] = await adopted(device(id));
      assert.equal(event?.details['own_state'], 'approved');
      assert.equal((await actors.grantOf(id))?.state, 'pending');
      assert.equal((await actors.grantOf(id))?.pinned_fingerprint, null);
    });

    it('starts with least trust when its row is gone', async () => {
      const id = 'gone';
      await approvedDevice(id);
      await actors.database.rows('DELETE FROM actor WHERE subject_id = $1', [id]);
      await actors.database.rows('DELETE FROM device WHERE device_id = $1', [id]);
      await actors.verify(device(id));
      await adopted(device(id));
      const grant = await actors.grantOf(id);
      assert.equal(grant?.state, 'pending');
      assert.equal(grant?.pinned_fingerprint, null);
    });
  });
});
