// A later release with a changed machine: runs that the earlier one began make way for it, and what it wrote is taken in.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { Worker } from '@temporalio/worker';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { approval, nextBundle, testActors, testBundle, type TestActors } from './actors.ts';

describe('a release with a changed machine', () => {
  const cleanup = cleanupAfterAll();
  let actors: TestActors;
  let next: Awaited<ReturnType<typeof nextBundle>>;
  before(async () => {
    actors = await testActors(cleanup);
    next = await nextBundle();
    for (const name of ['ann', 'bob', 'carl']) actors.store.standing.add(name);
  });

  const rowOf = (id: string) => actors.store.rows.get(`approval/${id}`);
  const votersOf = (id: string) => actors.store.approvals.get(id)?.votes.map(({ by }) => by);
  const eventsOf = (id: string) => actors.store.transitions.get(`approval/${id}`)?.map(({ event }) => event);

  async function work(release: 'present' | 'next'): Promise<void> {
    await actors.stopWorker();
    await actors.startWorker(release === 'next' ? next : await testBundle());
  }

  /** An approval that waits for three people and has heard one, all in the present release. */
  async function begun(): Promise<{ id: string; run: string }> {
    await work('present');
    const { id } = await actors.openApproval({ required: 3 });
    await actors.vote(id, 'ann');
    assert.equal(rowOf(id)?.machine_version, 1);
    return { id, run: await actors.runId(approval(id)) };
  }

  /** Waits until the next release has taken the approval over. */
  async function takenOver(id: string): Promise<void> {
    await actors.eventually(() => rowOf(id)?.machine_version === 2, 'the row of the next release');
    assert.equal(rowOf(id)?.snapshot.context['release'], 2);
  }

  async function decided(id: string): Promise<void> {
    assert.equal((await actors.vote(id, 'carl')).state, 'approved');
    assert.deepEqual(votersOf(id), ['ann', 'bob', 'carl']);
  }

  it('takes over what runs, as soon as nothing is under way', async () => {
    const { id, run } = await begun();
    await work('next');
    assert.equal((await actors.vote(id, 'bob')).state, 'open');
    await takenOver(id);
    assert.notEqual(await actors.runId(approval(id)), run);
    await decided(id);
    const events = eventsOf(id);
    assert.deepEqual(events?.slice(0, 4), ['actor.started', 'vote.cast', 'vote.cast', 'machine.changed']);
    assert.ok(!events?.includes('actor.adopted'), 'nothing was fenced');
    // What the earlier release did replays, in both runs.
    for (const runId of [run, await actors.runId(approval(id))]) {
      const history = { events: await actors.history(approval(id), runId) };
      const options = { workflowBundle: next, maxCachedWorkflows: 2 };
      await Worker.runReplayHistory(options, history, actors.workflowId(approval(id)));
    }
  });

  it('takes in the row of a run that was ended', async () => {
    const { id } = await begun();
    await actors.vote(id, 'bob');
    await actors.handle(approval(id)).terminate('test');
    await work('next');
    await actors.openApproval({ id, required: 3 });
    await takenOver(id);
    assert.ok(eventsOf(id)?.includes('actor.adopted'));
    await decided(id);
  });

  it('goes on when a run from before it is put back, although the row is its own', async () => {
    const { id, run } = await begun();
    await work('next');
    await actors.vote(id, 'bob');
    await takenOver(id);
    const events = await actors.history(approval(id), run);
    const committed = events.findIndex((event) => event.activityTaskCompletedEventAttributes);
    const began = events.slice(committed).find((event) => event.workflowTaskCompletedEventAttributes);
    await actors.resetTo(approval(id), Number(began?.eventId), { runId: run });
    await actors.verify(approval(id));
    await actors.eventually(() => eventsOf(id)?.includes('actor.adopted'), 'the adoption');
    assert.equal(rowOf(id)?.snapshot.context['release'], 2);
    assert.equal(rowOf(id)?.machine_version, 2);
    await decided(id);
  });

  it('is waited for by an earlier release that meets what it wrote', async () => {
    const { id } = await begun();
    await actors.handle(approval(id)).terminate('test');
    await work('next');
    await actors.openApproval({ id, required: 3 });
    await takenOver(id);
    await actors.handle(approval(id)).terminate('test');
    await work('present');
    await actors.openApproval({ id, required: 3 });
    const voting = actors.vote(id, 'bob');
    const before = rowOf(id);
    await actors.eventually(
      async () => (await actors.history(approval(id))).some((event) => event.workflowTaskFailedEventAttributes),
      'the earlier release to fail',
    );
    assert.equal(rowOf(id), before);
    await work('next');
    assert.equal((await voting).state, 'open');
    await decided(id);
  });
});
