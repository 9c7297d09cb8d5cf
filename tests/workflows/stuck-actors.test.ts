// Actors that cannot go on: built on another order of events, or with a state that nobody knows. They stand still, are seen, and can be healed.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { stuckActors } from '#api/stuck-actors.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { device, testActors, testBundle, type TestActors } from './actors.ts';

describe('an actor that cannot go on', () => {
  const cleanup = cleanupAfterAll();
  let actors: TestActors;
  let good: Awaited<ReturnType<typeof testBundle>>;
  before(async () => {
    actors = await testActors(cleanup);
    good = await testBundle();
    for (const name of ['ann', 'bob']) actors.store.standing.add(name);
  });

  async function work(code: string): Promise<void> {
    await actors.stopWorker();
    await actors.startWorker({ code } as typeof good);
  }

  /** A build that asks for something else than the one that began the runs. */
  const broken = (): string => {
    const code = good.code.replaceAll('openApproval', 'openAnotherApproval').replaceAll('commitActor', 'writeActor');
    assert.notEqual(code, good.code);
    return code;
  };

  const stuck = () => stuckActors(actors.client.workflow, actors.taskQueue);

  async function failures(id: string): Promise<number> {
    return (await actors.history(device(id))).filter((event) => event.workflowTaskFailedEventAttributes).length;
  }

  /** Until it is seen by health and metrics; nothing has ended it, and readers have what was decided last. */
  async function standsStill(id: string, state: string): Promise<void> {
    const before = actors.grant(id);
    await actors.eventually(async () => (await failures(id)) > 0, 'a task that fails');
    await actors.eventually(async () => (await stuck()) === 1, 'the alert');
    assert.equal((await actors.handle(device(id)).describe()).status.name, 'RUNNING');
    assert.deepEqual(actors.grant(id), before);
    assert.equal(before.state, state);
  }

  async function goesOn(id: string): Promise<void> {
    const asked = () =>
      actors.catchUp(id).then(
        () => true,
        () => false,
      );
    await actors.eventually(asked, 'an answer');
    await actors.eventually(async () => (await stuck()) === 0, 'the end of the alert');
  }

  async function approved(id: string): Promise<void> {
    await actors.present(id, id);
    const review = await actors.review(id);
    await actors.vote(review.id, 'ann');
    assert.equal(actors.grant(id).state, 'approved');
  }

  it('because of a build that does not fit its history waits, seen by all, for one that does (FT-08)', async () => {
    await approved('p1');
    await work(broken());
    await actors.announce('p1');
    await standsStill('p1', 'approved');
    // Nobody is kept waiting for it, and what is reported meanwhile is taken in when it goes on.
    await assert.rejects(actors.catchUp('p1'), /Workflow Update failed/);
    await actors.present('p1', 'p1', { tags: ['reported-meanwhile'] });
    await work(good.code);
    await goesOn('p1');
    assert.equal(actors.grant('p1').applied_digest, actors.news.get('p1')?.observed?.digest);
    assert.equal(actors.grant('p1').state, 'approved');
    assert.ok(!actors.store.audit.some(({ action, subject }) => action === 'actor.adopted' && subject.id === 'p1'));
  });

  it('because of a state that nobody knows stands still, and goes on from a reset to its beginning (FT-08)', async () => {
    await approved('p2');
    const ref = device('p2');
    const key = 'device/default/p2';
    const row = actors.store.rows.get(key);
    assert.ok(row);
    // As a release wrote it that is no more; the run of this one has to take it in.
    actors.store.rows.set(key, { ...row, snapshot: { ...row.snapshot, value: 'haunted' } });
    await actors.handle(ref).terminate('test');
    await actors.announce('p2');
    await standsStill('p2', 'approved');
    assert.equal(actors.store.rows.get(key)?.snapshot.value, 'haunted');
    // The row is put right, and the run that has seen the wrong one is put back to where it had seen nothing.
    actors.store.rows.set(key, row);
    const tasks = (await actors.history(ref)).filter((event) => event.workflowTaskCompletedEventAttributes);
    await actors.resetTo(ref, Number(tasks[0]?.eventId));
    await goesOn('p2');
    assert.equal(actors.grant('p2').state, 'approved');
  });
});
