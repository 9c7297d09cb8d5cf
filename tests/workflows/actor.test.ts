// The durable actor between its machine and Temporal: what is said to it in the wrong moment, and what goes wrong around it.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { ApplicationFailure } from '@temporalio/common';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { approval, codeOf, device, holdUp, testActors, type TestActors } from './actors.ts';

describe('the durable actor', () => {
  const cleanup = cleanupAfterAll();
  let actors: TestActors;
  before(async () => {
    actors = await testActors(cleanup);
    for (const name of ['ann', 'bob', 'carl']) actors.store.standing.add(name);
  });

  const revisionsOf = (id: string): number[] =>
    (actors.store.transitions.get(`approval/${id}`) ?? []).map(({ revision }) => revision);
  const votersOf = (id: string) => actors.store.approvals.get(id)?.votes.map(({ by }) => by);
  const closed = (id: string) =>
    actors.eventually(() => {
      const row = actors.store.approvals.get(id);
      return row !== undefined && row.closed_at !== null && row;
    }, 'the end of the approval');

  describe('hears', () => {
    it('what was said before its first task', async () => {
      await actors.stopWorker();
      const [changed, withdrawn] = [await actors.openApproval(), await actors.openApproval()];
      await actors.change(changed.id, 'digest 2', 3);
      await actors.withdraw(withdrawn.id);
      await actors.startWorker();
      assert.equal((await closed(withdrawn.id)).state, 'cancelled');
      await actors.eventually(() => actors.store.approvals.get(changed.id)?.digest === 'digest 2', 'the change');
      assert.equal(actors.store.approvals.get(changed.id)?.required_approvals, 3);
    });

    it('what was said while it believed itself closed, when the store refuses the closing', async () => {
      const { id } = await actors.openApproval();
      await actors.vote(id, 'ann');
      const gate = holdUp(actors.store, ({ requirements }) => requirements.length > 0);
      const last = actors.vote(id, 'bob');
      await gate.reached;
      actors.store.standing.delete('bob');
      await actors.change(id, 'digest 2');
      gate.open();
      assert.equal(await codeOf(last), 'review.changed');
      actors.store.standing.add('bob');
      const row = actors.store.approvals.get(id);
      assert.equal(row?.state, 'open');
      assert.equal(row?.digest, 'digest 2');
      assert.deepEqual(row?.votes, []);
    });

    it('nothing from signals that do not fit', async () => {
      const { id } = await actors.openApproval();
      actors.world.onCall = async (name) => {
        if (name === 'deliverOutcome') throw new TypeError('not now');
      };
      const rejecting = actors.vote(id, 'ann', { decision: 'reject' });
      const before = await closed(id);
      const written = revisionsOf(id);
      await actors.change(id, 'digest 2');
      await actors.withdraw(id);
      assert.equal(await codeOf(actors.vote(id, 'bob')), 'review.closed');
      assert.deepEqual(actors.store.approvals.get(id), before);
      assert.deepEqual(revisionsOf(id), written);
      actors.world.onCall = async () => {};
      assert.equal((await rejecting).state, 'rejected');
      await actors.handle(approval(id)).result();
    });
  });

  describe('refuses', () => {
    it('without a trace in the history what its validator refuses (SA-15)', async () => {
      const { id } = await actors.openApproval();
      await actors.vote(id, 'ann');
      await actors.eventually(async () => (await quietHistory(id)) !== null, 'a quiet history');
      const length = (await actors.history(approval(id))).length;
      assert.equal(await codeOf(actors.vote(id, 'ann')), 'review.already_voted');
      assert.equal(await codeOf(actors.vote(id, 'olga')), 'review.own_request');
      assert.equal(await codeOf(actors.vote(id, 'bob', { digest: 'digest 0' })), 'review.changed');
      assert.equal((await actors.history(approval(id))).length, length);
    });

    it('at the end the votes of people who were disabled in between (SA-15, EN-06)', async () => {
      const { id } = await actors.openApproval();
      assert.equal((await actors.vote(id, 'ann')).state, 'open');
      actors.store.standing.delete('ann');
      // Whoever votes last is answered by what counts: one vote is not enough.
      assert.equal((await actors.vote(id, 'bob')).state, 'open');
      assert.deepEqual(votersOf(id), ['bob']);
      actors.store.standing.add('ann');
      assert.equal((await actors.vote(id, 'carl')).state, 'approved');
      assert.deepEqual(votersOf(id), ['bob', 'carl']);
    });

    it('the end itself when somebody is disabled between the last question and the commit (SA-15, EN-06)', async () => {
      const { id } = await actors.openApproval();
      await actors.vote(id, 'ann');
      const gate = holdUp(actors.store, ({ requirements }) => requirements.length > 0);
      const last = actors.vote(id, 'bob');
      await gate.reached;
      actors.store.standing.delete('bob');
      gate.open();
      assert.equal(await codeOf(last), 'review.not_permitted');
      assert.equal(actors.stateOf(id), 'open');
      assert.deepEqual(votersOf(id), ['ann']);
      actors.store.standing.add('bob');
    });

    it('new requests while too many transitions wait for the store, and loses none of those', async () => {
      const { id } = await actors.openApproval();
      await actors.eventually(() => actors.stateOf(id), 'the approval');
      const gate = holdUp(actors.store, ({ actor }) => actor.id === id);
      await actors.change(id, 'digest 2');
      await gate.reached;
      for (let n = 3; n <= 110; n++) await actors.change(id, `digest ${n}`);
      assert.equal(await codeOf(actors.vote(id, 'ann')), 'control.backlogged');
      gate.open();
      await actors.eventually(() => actors.store.approvals.get(id)?.digest === 'digest 110', 'the last change');
      assert.deepEqual(
        revisionsOf(id),
        Array.from({ length: 110 }, (_, index) => index + 1),
      );
      const largest = Math.max(...actors.store.answers.map(({ commit }) => commit.transitions.length));
      assert.ok(largest <= 50, `one commit held ${largest} transitions`);
      assert.equal((await actors.vote(id, 'ann', { digest: 'digest 110' })).state, 'open');
    });
  });

  describe('answers', () => {
    it('a repeated request as the first time, whatever it is called in Temporal, and counts it once (SA-15)', async () => {
      const { id } = await actors.openApproval();
      await actors.eventually(() => actors.stateOf(id), 'the approval');
      const request = `${id}-request`;
      const again = (n: number) => actors.vote(id, 'ann', { request, updateId: `${id}-${n}` });
      // The later ones come while the first is not durable yet.
      const gate = holdUp(actors.store, ({ actor }) => actor.id === id);
      const asked = [1, 2, 3].map(again);
      await gate.reached;
      await actors.eventually(async () => (await actors.acceptedBy(approval(id))) === 3, 'all three to be taken');
      gate.open();
      for (const { state } of await Promise.all(asked)) assert.equal(state, 'open');
      assert.equal((await again(4)).state, 'open');
      assert.equal(await codeOf(actors.vote(id, 'ann', { request, decision: 'reject' })), 'review.already_voted');
      assert.deepEqual(votersOf(id), ['ann']);
      const voted = actors.store.audit.filter(
        ({ action, subject }) => action === 'approval.voted' && subject.id === id,
      );
      assert.equal(voted.length, 1);
    });

    it('a repeated request not before the first, when the decision is under way (SA-15)', async () => {
      await actors.present('a0', 'a0');
      const { id } = await actors.review('a0');
      const request = `${id}-request`;
      const confirming = Promise.withResolvers<void>();
      actors.world.onCall = async (name) => {
        if (name === 'confirmVotes') await confirming.promise;
      };
      const asked = actors.vote(id, 'ann', { request });
      await actors.eventually(() => actors.stateOf(id) === 'deciding', 'the vote');
      const again = actors.vote(id, 'ann', { request, updateId: `${id}-again` });
      await actors.eventually(async () => (await actors.acceptedBy(approval(id))) === 2, 'the repetition');
      confirming.resolve();
      for (const { state } of await Promise.all([asked, again])) assert.equal(state, 'approved');
      assert.equal(actors.grant('a0').state, 'approved');
      assert.deepEqual(votersOf(id), ['ann']);
      actors.world.onCall = async () => {};
    });

    it('a request that rests on a transition which the store refused', async () => {
      await actors.present('a1', 'a1');
      const review = await actors.review('a1');
      const held = actors.news.get('a1');
      const gate = holdUp(actors.store, ({ requirements }) =>
        requirements.some(({ kind }) => kind === 'approval.consumed'),
      );
      const voting = actors.vote(review.id, 'ann');
      await gate.reached;
      // Other news reaches the device while it believes itself approved, and is gone again before it hears that it is not.
      actors.news.set('a1', { ...held!, candidate: null, observed: { ...held!.observed!, reported_tags: ['other'] } });
      const before = await actors.acceptedBy(device('a1'));
      const asked = actors.catchUp('a1');
      await actors.eventually(async () => (await actors.acceptedBy(device('a1'))) > before, 'the question');
      actors.news.set('a1', { ...held!, candidate: null });
      actors.store.consumed.add(review.id);
      gate.open();
      assert.equal((await asked).state, 'expired');
      await voting;
      assert.equal(actors.grant('a1').state, 'expired');
    });

    it('with what is durable, not with what it believes', async () => {
      const { id } = await actors.openApproval();
      await actors.eventually(() => actors.stateOf(id), 'the approval');
      const first = holdUp(actors.store, ({ actor }) => actor.id === id);
      const voting = actors.vote(id, 'ann');
      await first.reached;
      await actors.withdraw(id);
      await actors.eventually(async () => believes(await actors.history(approval(id))), 'the withdrawal to be heard');
      const answered = Promise.withResolvers<void>();
      first.open();
      actors.store.onCommit = async (moment, { projection }) => {
        if (moment === 'before' && projection.row.state === 'cancelled') await answered.promise;
      };
      assert.equal((await voting).state, 'open');
      answered.resolve();
      assert.equal((await closed(id)).state, 'cancelled');
    });
  });

  describe('goes on', () => {
    it('when a commit fails in a way that Temporal would not retry', async () => {
      const { id } = await actors.openApproval();
      await actors.eventually(() => actors.stateOf(id), 'the approval');
      let failures = 0;
      actors.store.onCommit = (moment, commit) => {
        if (moment === 'after' || commit.actor.id !== id || failures === 2) return;
        failures += 1;
        throw ApplicationFailure.nonRetryable('the table is gone', 'service.unavailable');
      };
      assert.equal((await actors.vote(id, 'ann')).state, 'open');
      assert.equal(failures, 2);
      assert.equal(actors.store.approvals.get(id)?.votes.length, 1);
      assert.deepEqual(await pausesOf(id), [1, 2]);
    });

    it('when others write its row again and again, with a longer pause each time', async () => {
      const { id } = await actors.openApproval();
      await actors.eventually(() => actors.stateOf(id), 'the approval');
      let others = 0;
      actors.store.onCommit = (moment, commit) => {
        const row = actors.store.rows.get(`approval/${id}`);
        if (moment === 'after' || commit.actor.id !== id || others === 5 || row === undefined) return;
        others += 1;
        actors.store.rows.set(`approval/${id}`, { ...row, run_id: `another-${others}` });
      };
      assert.equal((await actors.vote(id, 'ann')).state, 'open');
      assert.equal(others, 5);
      assert.deepEqual(votersOf(id), ['ann']);
      assert.equal(actors.store.rows.get(`approval/${id}`)?.run_id, await actors.runId(approval(id)));
      // Only what was written is a change of the actor's; each adoption that was fenced in its turn is none.
      assert.deepEqual(
        actors.store.transitions.get(`approval/${id}`)?.map(({ event }) => event),
        ['actor.started', 'actor.adopted', 'vote.cast'],
      );
      assert.deepEqual(await pausesOf(id), [1, 2]);
    });

    it('when somebody cancels its workflow', async () => {
      await actors.present('c1', 'c1');
      const review = await actors.review('c1');
      await actors.handle(device('c1')).cancel();
      await actors.handle(approval(review.id)).cancel();
      await actors.vote(review.id, 'ann');
      assert.equal(actors.grant('c1').state, 'approved');
      await actors.present('c1', 'another');
      await actors.review('c1');
      assert.equal((await actors.handle(device('c1')).describe()).status.name, 'RUNNING');
      assert.equal((await actors.handle(approval(review.id)).describe()).status.name, 'COMPLETED');
    });

    it('when somebody cancels its workflow and a call fails afterwards', async () => {
      await actors.present('c2', 'c2');
      await actors.review('c2');
      await actors.handle(device('c2')).cancel();
      // Within the workflow task, and as a call of its own.
      const failures = fail('fetchDeviceNews', 2);
      await actors.present('c2', 'c2', { tags: ['payments'] });
      await actors.eventually(
        () => actors.grant('c2').review?.['required'] === 2,
        'the news, although nobody asks again',
      );
      assert.equal(failures(), 2);
    });

    it('within one workflow task for a hint that turns out to be no news', async () => {
      await actors.present('n1', 'n1');
      await actors.vote((await actors.review('n1')).id, 'ann');
      await actors.catchUp('n1');
      const count = async () => {
        const events = await actors.history(device('n1'));
        const number = (has: (event: (typeof events)[number]) => unknown) => events.filter(has).length;
        return {
          signals: number((event) => event.workflowExecutionSignaledEventAttributes),
          looks: number((event) => event.markerRecordedEventAttributes?.markerName === 'core_local_activity'),
          tasks: number((event) => event.workflowTaskCompletedEventAttributes),
          activities: number((event) => event.activityTaskScheduledEventAttributes),
        };
      };
      let before = await count();
      for (let round = 0; round < 3; round++) {
        await actors.announce('n1');
        await actors.eventually(async () => (await count()).looks > before.looks, 'the look');
        const after = await count();
        assert.deepEqual(after, {
          signals: before.signals + 1,
          looks: before.looks + 1,
          tasks: before.tasks + 1,
          activities: before.activities,
        });
        before = after;
      }
    });

    it('with a call of its own when the store does not answer within the task', async () => {
      await actors.present('n2', 'n2');
      await actors.review('n2');
      const failures = fail('fetchDeviceNews', 1);
      await actors.present('n2', 'n2', { tags: ['payments'] });
      await actors.eventually(() => actors.grant('n2').review?.['required'] === 2, 'the news');
      assert.equal(failures(), 1);
      const events = await actors.history(device('n2'));
      const asked = events.flatMap(({ activityTaskScheduledEventAttributes: one }) => one?.activityType?.name ?? []);
      assert.ok(asked.includes('fetchDeviceNews'));
    });

    it('with its calls when they fail for longer than anybody waits for them', async () => {
      // Within the workflow task, and as a call of its own.
      const failures = fail('fetchDeviceNews', 2);
      await actors.present('f1', 'f1');
      // Whoever asks is not kept waiting for it.
      assert.equal((await actors.catchUp('f1')).state, 'pending');
      await actors.review('f1');
      assert.equal(failures(), 2);
    });
  });

  describe('keeps time', () => {
    it('by the new deadline when the subject changes (SA-15)', async () => {
      const { id } = await actors.openApproval({ ttl_seconds: 2 });
      const opened = (await actors.eventually(() => actors.store.approvals.get(id), 'the approval')).expires_at;
      await actors.eventually(() => Date.now() > Date.parse(opened) - 1_000, 'half of the time');
      await actors.change(id, 'digest 2');
      const row = await actors.eventually(() => {
        const present = actors.store.approvals.get(id);
        return present?.digest === 'digest 2' && present;
      }, 'the change');
      assert.ok(row.expires_at > opened);
      const end = await closed(id);
      assert.equal(end.state, 'expired');
      assert.ok(String(end.closed_at) >= row.expires_at, `${end.closed_at} is before ${row.expires_at}`);
    });

    it('when the deadline moved after its timer had fired', async () => {
      const { id } = await actors.openApproval({ ttl_seconds: 1 });
      const opened = (await actors.eventually(() => actors.store.approvals.get(id), 'the approval')).expires_at;
      await actors.stopWorker();
      await actors.change(id, 'digest 2');
      await actors.eventually(
        async () => (await actors.history(approval(id))).some((event) => event.timerFiredEventAttributes),
        'the timer',
      );
      await actors.startWorker();
      const end = await closed(id);
      assert.equal(end.state, 'expired');
      assert.equal(end.digest, 'digest 2');
      assert.ok(end.expires_at > opened);
      assert.ok(String(end.closed_at) >= end.expires_at);
    });

    it('however late the timer is: a vote after the deadline is refused (SA-15)', async () => {
      const { id, at } = await actors.openApproval({ ttl_seconds: 1, required: 1 });
      await actors.eventually(() => actors.stateOf(id), 'the approval');
      await actors.stopWorker();
      await actors.eventually(() => Date.now() > Date.parse(at) + 1_100, 'the deadline');
      const late = codeOf(actors.vote(id, 'ann'));
      await actors.startWorker();
      assert.equal(await late, 'review.closed');
      assert.equal((await closed(id)).state, 'expired');
    });
  });

  /** Lets the next calls of an activity fail as if each had been tried for as long as it may. @returns how often it has */
  function fail(activity: string, times: number): () => number {
    let failures = 0;
    actors.world.onCall = async (name) => {
      if (name !== activity || failures === times) return;
      failures += 1;
      throw ApplicationFailure.nonRetryable('the store is gone', 'service.unavailable');
    };
    return () => failures;
  }

  /** How long an approval rested between commits, in seconds; its deadline is far away. */
  async function pausesOf(id: string): Promise<number[]> {
    const timers = (await actors.history(approval(id))).flatMap((event) => event.timerStartedEventAttributes ?? []);
    return timers
      .map(({ startToFireTimeout }) => Number(startToFireTimeout?.seconds))
      .filter((seconds) => seconds < 600);
  }

  /** Whether a signal was delivered and the workflow has dealt with it. */
  function believes(events: Awaited<ReturnType<TestActors['history']>>): boolean {
    const signalled = events.findIndex((event) => event.workflowExecutionSignaledEventAttributes);
    return signalled !== -1 && events.slice(signalled).some((event) => event.workflowTaskCompletedEventAttributes);
  }

  /** The last event of an approval, when nothing is under way. */
  async function quietHistory(id: string): Promise<number | null> {
    const { raw } = await actors.handle(approval(id)).describe();
    return raw.pendingActivities?.length || raw.pendingWorkflowTask ? null : 1;
  }
});
