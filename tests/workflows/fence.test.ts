// The fence on real parts: whatever is killed, reset, ended or restored, no decision is swallowed and nobody is trusted more.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { actorId, type ActorRef } from '#contracts/ids.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { digest } from '#tests/store/builders.ts';
import { approval, codeOf, device } from './actors.ts';
import { realActors } from './real-actors.ts';
import type { Trap } from './worker-process.ts';

type Actors = Awaited<ReturnType<typeof realActors>>;
type Asked = ReturnType<Actors['vote']>;
type Worker = Awaited<ReturnType<Actors['startWorker']>>;

describe('the fence', () => {
  const cleanup = cleanupAfterAll();
  let actors: Actors;
  before(async () => {
    actors = await realActors(cleanup);
  });

  /** Each revision of an epoch stands once, an epoch goes on from a row that was there, and the row is where the last one ends. */
  async function assertWholeHistory(ref: ActorRef): Promise<void> {
    const rows = await actors.transitions(ref);
    let highest = 0;
    for (const [epoch, own] of Map.groupBy(rows, (row) => row.epoch)) {
      const revisions = own.map(({ revision }) => revision);
      const first = revisions[0] ?? 0;
      assert.deepEqual(
        revisions,
        revisions.map((_, index) => first + index),
        `epoch ${epoch} of ${actorId(ref)}`,
      );
      assert.ok(first > 0 && first <= highest + 1, `epoch ${epoch} of ${actorId(ref)} begins at ${first}`);
      highest = Math.max(highest, ...revisions);
    }
    const last = rows.at(-1);
    assert.deepEqual([last?.held_revision, last?.held_epoch], [last?.revision, last?.epoch]);
  }

  /**
   * The review of a device whose approval has heard of its first commit: a vote that is quicker would be part of the history
   * that the approval is put back to.
   */
  async function reviewToGoBackTo(id: string): Promise<string> {
    const { id: review } = await actors.review(id);
    const hasHeard = async (): Promise<boolean> => {
      const events = await actors.history(approval(review));
      const committed = events.findIndex((event) => event.activityTaskCompletedEventAttributes);
      return committed !== -1 && events.slice(committed).some((event) => event.workflowTaskCompletedEventAttributes);
    };
    await actors.eventually(hasHeard, 'the first commit to be heard of');
    return review;
  }

  /** Waits for an adoption; there was none before it. */
  async function adopted(ref: ActorRef): Promise<Record<string, unknown>> {
    const [event, ...others] = await actors.eventually(
      async () => {
        const events = await actors.audit(ref.id, 'actor.adopted');
        return events.length > 0 && events;
      },
      `${actorId(ref)} to adopt`,
    );
    assert.equal(others.length, 0, 'one adoption is enough');
    return event?.details ?? {};
  }

  /** Goes back to a run that has written nothing, or its first commit only, or was not yet asked for anything, or knows all. */
  async function resetTo(
    ref: ActorRef,
    what: 'begun' | 'first commit' | 'unasked' | 'settled',
    sayAgain = false,
  ): Promise<void> {
    const events = await actors.history(ref);
    const tasks = events.filter((event) => event.workflowTaskCompletedEventAttributes);
    const committed = events.find((event) => event.activityTaskCompletedEventAttributes);
    const asked = events.find((event) => event.workflowExecutionUpdateAcceptedEventAttributes);
    const task = {
      begun: () => tasks[0],
      'first commit': () => tasks.find(({ eventId }) => Number(eventId) > Number(committed?.eventId)),
      settled: () => tasks.at(-1),
      unasked: () => tasks.findLast(({ eventId }) => Number(eventId) < Number(asked?.eventId)),
    }[what]();
    await actors.resetTo(ref, Number(task?.eventId), { sayAgain });
  }

  /** Whether the present run was told again what had been said to the one before it. */
  async function assertSaidAgain(ref: ActorRef): Promise<void> {
    const events = await actors.history(ref);
    assert.ok(events.some((event) => event.workflowExecutionUpdateAdmittedEventAttributes));
  }

  describe('when the worker is killed', () => {
    const steps: readonly (readonly [string, Trap['kind'], string])[] = [
      ['the first state', 'device', 'pending'],
      ['the vote', 'approval', 'deciding'],
      ['the end of the approval', 'approval', 'approved'],
      ['the approval of the device', 'device', 'approved'],
    ];
    const moments = ['before the store has it', 'before Temporal hears of it', 'before the next task'] as const;
    const cases = steps.flatMap(([what, kind, state]) =>
      moments.map((moment) => {
        const id = `k-${randomUUID()}`;
        const trap: Trap = { kind, state, device: id, moment: moment === moments[0] ? 'before' : 'after' };
        return { title: `${moment}: ${what}`, moment, id, trap, request: randomUUID() };
      }),
    );
    const reviews = new Map<string, string>();
    const voting = new Map<string, Asked>();
    let next: Worker;

    /** The event that says that a commit was carried out, when nothing has been made of it yet. */
    async function reportedOnly(ref: ActorRef): Promise<boolean> {
      const events = await actors.history(ref);
      const reported = events.findLastIndex((event) => event.activityTaskCompletedEventAttributes);
      const scheduled = events.findLastIndex((event) => event.activityTaskScheduledEventAttributes);
      const decided = events.findLastIndex((event) => event.workflowTaskCompletedEventAttributes);
      return scheduled < reported && decided < reported;
    }

    // All at once: what takes time is that Temporal notices.
    before(async () => {
      const traps = cases.map(({ trap }) => trap);
      const [workflows, activities] = await Promise.all([
        actors.startWorker('workflows'),
        actors.startWorker('activities', traps),
      ]);
      await Promise.all(
        cases.map(async ({ id, request }) => {
          await actors.present(id, `${id}-1`);
          const asked = actors.review(id).then((review) => {
            reviews.set(id, review.id);
            return actors.vote(review.id, 'ann', { request });
          });
          asked.catch(() => {});
          voting.set(id, asked);
        }),
      );
      await activities.reached();
      await workflows.kill();
      for (const { id, moment, trap } of cases) {
        if (moment !== 'before the next task') continue;
        activities.goOn(trap);
        const ref = trap.kind === 'device' ? device(id) : approval(reviews.get(id) ?? '');
        await actors.eventually(() => reportedOnly(ref), `the report of ${actorId(ref)}`);
      }
      await activities.kill();
      next = await actors.startWorker();
    });
    after(() => next.kill());

    for (const { title, id, request } of cases) {
      it(`${title} is written once, and whoever voted is answered, also again`, async () => {
        const answer = await (voting.get(id) ?? assert.fail('nobody voted'));
        const review = reviews.get(id) ?? '';
        assert.equal(answer.state, 'approved');
        assert.deepEqual(await actors.vote(review, 'ann', { request }), answer);
        const grant = await actors.grantOf(id);
        assert.equal(grant?.state, 'approved');
        assert.equal(grant?.pinned_fingerprint, digest(`${id}-1`));
        assert.equal((await actors.approvalOf(review))?.votes.length, 1);
        assert.equal((await actors.audit(review, 'approval.voted')).length, 1);
        assert.equal((await actors.audit(review, 'approval.closed')).length, 1);
        assert.equal((await actors.audit(id, 'device.identity.approved')).length, 1);
        for (const ref of [device(id), approval(review)]) {
          await assertWholeHistory(ref);
          assert.equal((await actors.audit(ref.id, 'actor.adopted')).length, 0, 'the run is the same one');
        }
      });
    }
  });

  describe('when a run ends while its commit is under way', () => {
    type End = 'ended' | 'put back' | 'put back and told again';
    const ends: readonly (readonly [End, Trap['kind']])[] = [
      ['ended', 'approval'],
      ['put back', 'approval'],
      ['put back and told again', 'approval'],
      ['ended', 'device'],
      ['put back', 'device'],
    ];
    const cases = ends.flatMap(([end, kind]) =>
      (['before', 'after'] as const).map((moment) => {
        const id = `u-${randomUUID()}`;
        const state = kind === 'approval' ? 'deciding' : 'approved';
        const when = moment === 'before' ? 'the store has its commit' : 'Temporal hears of its commit';
        const what = kind === 'device' ? 'a device' : 'an approval';
        // As after every reset the device takes the less trusted of both sides, and its approval is used up.
        const lost = kind === 'device' && end === 'put back' && moment === 'after';
        const trap: Trap = { kind, state, moment, device: id };
        return { title: `${what} that is ${end} before ${when}`, end, id, trap, lost };
      }),
    );
    let worker: Worker;
    before(async () => {
      worker = await actors.startWorker(
        'everything',
        cases.map(({ trap }) => trap),
      );
    });
    after(() => worker.kill());

    async function end(ref: ActorRef, how: End): Promise<void> {
      if (how === 'ended') {
        await actors.handle(ref).terminate('test');
        await actors.reconcile();
        return;
      }
      const sayAgain = how === 'put back and told again';
      await resetTo(ref, 'first commit', sayAgain);
      if (sayAgain) await assertSaidAgain(ref);
      else await actors.verify(ref);
    }

    for (const { title, end: how, id, trap, lost } of cases) {
      it(`the decision about ${title} counts ${lost ? 'no more' : 'once'}`, async () => {
        await actors.present(id, `${id}-1`);
        const review = await reviewToGoBackTo(id);
        const request = randomUUID();
        const asked = actors.vote(review, 'ann', { request });
        asked.catch(() => {});
        await worker.reached(trap);
        const ref = trap.kind === 'device' ? device(id) : approval(review);
        await end(ref, how);
        // The run that was told again writes the same; whichever of both is first, the other one is fenced.
        if (how !== 'put back and told again') await adopted(ref);
        // Whoever got no answer asks again, of a device through its approval.
        const again = trap.kind === 'device' ? asked : actors.vote(review, 'ann', { request });
        if (trap.kind === 'approval') await actors.eventually(() => hasAccepted(ref), 'the vote to be taken again');
        worker.goOn(trap);
        assert.equal((await again).state, 'approved');
        await adopted(ref);
        assert.equal((await actors.approvalOf(review))?.votes.length, 1);
        assert.equal((await actors.audit(review, 'approval.voted')).length, 1);
        assert.equal((await actors.audit(review, 'approval.closed')).length, 1);
        assert.equal((await actors.audit(id, 'device.identity.approved')).length, 1);
        const grant = await actors.grantOf(id);
        assert.equal(grant?.state === 'approved', !lost);
        assert.equal(grant?.tier, lost ? 'observed' : 'monitored');
        assert.equal(grant?.pinned_fingerprint, lost ? null : digest(`${id}-1`));
        for (const each of [device(id), approval(review)]) await assertWholeHistory(each);
      });
    }

    async function hasAccepted(ref: ActorRef): Promise<boolean> {
      return (await actors.history(ref)).some((event) => event.workflowExecutionUpdateAcceptedEventAttributes);
    }
  });

  describe('when a run is no longer the one that wrote the row', () => {
    before(async () => {
      const worker = await actors.startWorker();
      cleanup.after(() => worker.kill().catch(() => {}));
    });

    async function approvedDevice(id: string): Promise<string> {
      await actors.present(id, `${id}-1`);
      const review = await reviewToGoBackTo(id);
      assert.equal((await actors.vote(review, 'ann')).state, 'approved');
      assert.equal((await actors.grantOf(id))?.state, 'approved');
      return review;
    }

    /** A device whose review takes two people, one of whom has voted. */
    async function halfApprovedDevice(id: string): Promise<{ review: string; request: string }> {
      await actors.present(id, `${id}-1`, { tags: ['payments'] });
      const review = await reviewToGoBackTo(id);
      const request = randomUUID();
      assert.equal((await actors.vote(review, 'ann', { request })).state, 'open');
      return { review, request };
    }

    const votersOf = async (review: string) => (await actors.approvalOf(review))?.votes.map(({ by }) => by);

    describe('a device', () => {
      it('takes the less trusted of both after a reset to before the approval, and says so', async () => {
        const id = 'reset-device';
        const first = await approvedDevice(id);
        await resetTo(device(id), 'first commit');
        await actors.verify(device(id));
        const details = await adopted(device(id));
        assert.equal(details['row_state'], 'approved');
        assert.equal(details['own_state'], 'pending');
        assert.equal(details['state'], 'pending');
        assert.ok(Number(details['row_revision']) > Number(details['own_revision']));
        // The approval that it waits for again was used before.
        const grant = await actors.eventually(async () => {
          const row = await actors.grantOf(id);
          return row?.state === 'expired' && row;
        }, 'the end of the review');
        assert.equal(grant.tier, 'observed');
        assert.equal(grant.pinned_fingerprint, null);
        await assertWholeHistory(device(id));
        const epochs = new Set((await actors.transitions(device(id))).map(({ epoch }) => epoch));
        assert.deepEqual([...epochs], [1, 2]);
        // And people can decide again.
        await actors.present(id, `${id}-2`);
        const review = await actors.review(id, first);
        assert.equal((await actors.vote(review.id, 'bob')).state, 'approved');
        assert.equal((await actors.grantOf(id))?.pinned_fingerprint, digest(`${id}-2`));
      });

      for (const sayAgain of [true, false]) {
        const said = sayAgain ? 'all is said again' : 'nothing is said again';
        it(`does not take an approval twice when it waits for it again and ${said}`, async () => {
          const id = `reset-waiting-${sayAgain}`;
          const first = await approvedDevice(id);
          await resetTo(device(id), 'unasked', sayAgain);
          if (sayAgain) await assertSaidAgain(device(id));
          else await actors.verify(device(id));
          await adopted(device(id));
          const grant = await actors.eventually(async () => {
            const row = await actors.grantOf(id);
            return row?.state === 'expired' && row;
          }, 'the end of the review');
          assert.equal(grant.tier, 'observed');
          assert.equal(grant.pinned_fingerprint, null);
          assert.equal((await actors.audit(id, 'device.identity.approved')).length, 1);
          // What it presents next is decided anew.
          await actors.present(id, `${id}-1`);
          const review = await actors.review(id, first);
          assert.equal((await actors.vote(review.id, 'bob')).state, 'approved');
          assert.equal((await actors.audit(id, 'device.identity.approved')).length, 2);
          await assertWholeHistory(device(id));
        });
      }

      it('goes on from the row after a reset to before its first commit: it knows nothing else', async () => {
        const id = 'reset-whole';
        await approvedDevice(id);
        await resetTo(device(id), 'begun');
        await actors.verify(device(id));
        const details = await adopted(device(id));
        assert.deepEqual([details['row_state'], details['own_state']], ['approved', null]);
        assert.equal((await actors.grantOf(id))?.state, 'approved');
        await assertWholeHistory(device(id));
      });

      it('keeps what both sides know after a reset to its end, and says so all the same', async () => {
        const id = 'reset-settled';
        await approvedDevice(id);
        await resetTo(device(id), 'settled');
        await actors.verify(device(id));
        const details = await adopted(device(id));
        assert.deepEqual([details['row_state'], details['own_state']], ['approved', 'approved']);
        assert.equal(details['row_revision'], details['own_revision']);
        const grant = await actors.grantOf(id);
        assert.equal(grant?.state, 'approved');
        assert.equal(grant?.pinned_fingerprint, digest(`${id}-1`));
        await assertWholeHistory(device(id));
      });

      it('goes on from the row after its workflow was ended and started again', async () => {
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

      it('loses the decision that a restored database has lost, and no other', async () => {
        const id = 'restored';
        await actors.present(id, `${id}-1`);
        const review = await actors.review(id);
        const restore = await actors.backup(device(id));
        assert.equal((await actors.vote(review.id, 'ann')).state, 'approved');
        assert.equal((await actors.grantOf(id))?.state, 'approved');
        await restore();
        await actors.verify(device(id));
        const details = await adopted(device(id));
        assert.equal(details['own_state'], 'approved');
        assert.equal(details['row_state'], 'pending');
        assert.equal((await actors.grantOf(id))?.state, 'pending');
        assert.equal((await actors.grantOf(id))?.pinned_fingerprint, null);
        await assertWholeHistory(device(id));
      });

      it('keeps a rejection that a restored database has lost', async () => {
        const id = 'restored-rejection';
        await actors.present(id, `${id}-1`);
        const review = await actors.review(id);
        const restore = await actors.backup(device(id));
        assert.equal((await actors.vote(review.id, 'ann', { decision: 'reject' })).state, 'rejected');
        await restore();
        await actors.verify(device(id));
        await adopted(device(id));
        assert.equal((await actors.grantOf(id))?.state, 'rejected');
        assert.equal((await actors.grantOf(id))?.tier, 'restricted');
        await assertWholeHistory(device(id));
      });

      it('starts with least trust when its row is gone', async () => {
        const id = 'gone';
        await approvedDevice(id);
        await actors.removeRows(device(id));
        await actors.verify(device(id));
        const details = await adopted(device(id));
        assert.deepEqual([details['row_state'], details['own_state']], [null, 'approved']);
        const grant = await actors.grantOf(id);
        assert.equal(grant?.state, 'pending');
        assert.equal(grant?.tier, 'observed');
        assert.equal(grant?.pinned_fingerprint, null);
        await assertWholeHistory(device(id));
      });
    });

    describe('an approval', () => {
      it('keeps the votes of the row after a reset to before them', async () => {
        const id = 'reset-votes';
        const { review } = await halfApprovedDevice(id);
        await resetTo(approval(review), 'begun');
        await actors.verify(approval(review));
        await adopted(approval(review));
        assert.deepEqual(await votersOf(review), ['ann']);
        assert.equal(await codeOf(actors.vote(review, 'ann')), 'review.already_voted');
        assert.equal((await actors.vote(review, 'bob')).state, 'approved');
        assert.equal((await actors.grantOf(id))?.state, 'approved');
        await assertWholeHistory(approval(review));
      });

      it('counts a vote once that is said again after the reset, and answers the voter as before', async () => {
        const id = 'reset-votes-again';
        const { review, request } = await halfApprovedDevice(id);
        await resetTo(approval(review), 'first commit', true);
        await assertSaidAgain(approval(review));
        assert.equal((await actors.vote(review, 'ann', { request })).state, 'open');
        await adopted(approval(review));
        assert.deepEqual(await votersOf(review), ['ann']);
        assert.equal((await actors.audit(review, 'approval.voted')).length, 1);
        assert.equal((await actors.vote(review, 'bob')).state, 'approved');
        assert.equal((await actors.grantOf(id))?.state, 'approved');
        await assertWholeHistory(approval(review));
      });

      it('takes a vote that comes between the reset and the adoption, beside those of the row', async () => {
        const id = 'reset-vote-between';
        const { review } = await halfApprovedDevice(id);
        await resetTo(approval(review), 'first commit');
        // Nothing tells the run that it was put back: its first commit does.
        assert.equal((await actors.vote(review, 'bob')).state, 'approved');
        await adopted(approval(review));
        assert.deepEqual(await votersOf(review), ['ann', 'bob']);
        assert.equal((await actors.grantOf(id))?.state, 'approved');
        await assertWholeHistory(approval(review));
      });

      it('stays closed after a reset to before its end, and its device takes it once', async () => {
        const id = 'reset-closed';
        const review = await approvedDevice(id);
        await actors.handle(approval(review)).result();
        await resetTo(approval(review), 'first commit');
        assert.equal(await codeOf(actors.vote(review, 'bob', { decision: 'reject' })), 'review.closed');
        const details = await adopted(approval(review));
        assert.deepEqual([details['row_state'], details['own_state']], ['approved', 'open']);
        await actors.handle(approval(review)).result();
        assert.deepEqual(await votersOf(review), ['ann']);
        assert.equal((await actors.grantOf(id))?.state, 'approved');
        assert.equal((await actors.audit(review, 'approval.closed')).length, 1);
        assert.equal((await actors.audit(id, 'device.identity.approved')).length, 1);
        await assertWholeHistory(approval(review));
      });

      it('stays rejected after a reset to before the rejection', async () => {
        const id = 'reset-rejected';
        await actors.present(id, `${id}-1`);
        const review = await reviewToGoBackTo(id);
        assert.equal((await actors.vote(review, 'ann', { decision: 'reject' })).state, 'rejected');
        await actors.handle(approval(review)).result();
        await resetTo(approval(review), 'first commit');
        assert.equal(await codeOf(actors.vote(review, 'bob')), 'review.closed');
        await adopted(approval(review));
        await actors.handle(approval(review)).result();
        assert.equal((await actors.approvalOf(review))?.state, 'rejected');
        assert.equal((await actors.grantOf(id))?.state, 'rejected');
        await assertWholeHistory(approval(review));
      });

      it('loses the votes that a restored database has lost, and takes them again', async () => {
        const id = 'restored-votes';
        await actors.present(id, `${id}-1`, { tags: ['payments'] });
        const review = (await actors.review(id)).id;
        const restore = await actors.backup(approval(review));
        assert.equal((await actors.vote(review, 'ann')).state, 'open');
        await restore();
        await actors.verify(approval(review));
        const details = await adopted(approval(review));
        assert.deepEqual([details['row_state'], details['own_state']], ['open', 'open']);
        assert.ok(Number(details['row_revision']) < Number(details['own_revision']));
        assert.deepEqual(await votersOf(review), []);
        assert.equal((await actors.vote(review, 'bob')).state, 'open');
        assert.equal((await actors.vote(review, 'ann')).state, 'approved');
        await assertWholeHistory(approval(review));
      });

      it('begins without votes when its row is gone', async () => {
        const id = 'gone-votes';
        const { review } = await halfApprovedDevice(id);
        await actors.removeRows(approval(review));
        await actors.verify(approval(review));
        const details = await adopted(approval(review));
        assert.deepEqual([details['row_state'], details['own_state']], [null, 'open']);
        assert.deepEqual(await votersOf(review), []);
        assert.equal((await actors.vote(review, 'bob')).state, 'open');
        assert.equal((await actors.grantOf(id))?.state, 'pending');
        assert.equal((await actors.vote(review, 'ann')).state, 'approved');
        assert.equal((await actors.grantOf(id))?.state, 'approved');
        await assertWholeHistory(approval(review));
      });
    });

    it('is found by the reconciler: what was ended starts again from its row, and what was reset adopts', async () => {
      const id = 'reconciled';
      const { review } = await halfApprovedDevice(id);
      await actors.handle(approval(review)).terminate('test');
      await actors.handle(device(id)).terminate('test');
      assert.ok((await actors.reconcile()).restarted >= 2);
      await adopted(approval(review));
      await adopted(device(id));
      assert.deepEqual(await votersOf(review), ['ann']);
      assert.equal((await actors.vote(review, 'bob')).state, 'approved');
      assert.equal((await actors.grantOf(id))?.state, 'approved');
      // It has nothing to commit, so nobody else would notice.
      await resetTo(device(id), 'settled');
      assert.ok((await actors.reconcile()).verified >= 1);
      await actors.eventually(
        async () => (await actors.audit(id, 'actor.adopted')).length === 2,
        'the second adoption',
      );
      for (const ref of [device(id), approval(review)]) await assertWholeHistory(ref);
    });
  });
});
