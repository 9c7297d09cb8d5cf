// An actor's own limits of one run, with a server that would allow more: it makes way in time, and refuses before the server would.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import type { RunLimits } from '#workflows/actor.ts';
import { approval, codeOf, holdUp, shortRunsBundle, testActors, type TestActors } from './actors.ts';

describe('the limits of one run', () => {
  const cleanup = cleanupAfterAll();
  let actors: TestActors;
  before(async () => {
    actors = await testActors(cleanup);
    await actors.stopWorker();
    await actors.startWorker(await shortRunsBundle());
    for (let n = 0; n < 12; n++) actors.store.standing.add(`voter-${n}`);
  });

  async function begin(limits: Partial<RunLimits>): Promise<string> {
    const { id } = await actors.openApproval({ required: 12, content: { limits: { ...limits } } });
    await actors.eventually(() => actors.stateOf(id), 'the approval');
    return id;
  }

  async function runsOf(id: string): Promise<number> {
    let runs = 0;
    const query = `WorkflowId = '${actors.workflowId(approval(id))}'`;
    for await (const _ of actors.client.workflow.list({ query })) runs += 1;
    return runs;
  }

  function assertWholeHistory(id: string): void {
    const revisions = (actors.store.transitions.get(`approval/${id}`) ?? []).map(({ revision }) => revision);
    assert.deepEqual(
      revisions,
      revisions.map((_, index) => index + 1),
    );
    assert.ok(!actors.store.audit.some(({ action, subject }) => action === 'actor.adopted' && subject.id === id));
  }

  it('make it continue as new after some requests, of which each counts once in whichever run (SA-15, FT-04)', async () => {
    const id = await begin({ updatesPerRun: 3 });
    const requests = Array.from({ length: 11 }, (_, n) => `${id}-${n}`);
    for (const [n, request] of requests.entries())
      assert.equal((await actors.vote(id, `voter-${n}`, { request })).state, 'open');
    await actors.eventually(async () => (await runsOf(id)) > 3, 'a fourth run');
    // Temporal does not know these any more: it recognises a repetition within one run only.
    for (const [n, request] of requests.slice(0, 3).entries())
      assert.equal((await actors.vote(id, `voter-${n}`, { request })).state, 'open');
    assert.equal(await codeOf(actors.vote(id, 'voter-0')), 'review.already_voted');
    assert.equal((await actors.vote(id, 'voter-11')).state, 'approved');
    assert.equal(actors.store.approvals.get(id)?.votes.length, 12);
    assertWholeHistory(id);
  });

  it('refuse a request too many while those before it wait for the store, and lose none of those', async () => {
    const id = await begin({ updatesPerRun: 2, mostUpdates: 4 });
    const gate = holdUp(actors.store, ({ actor }) => actor.id === id);
    const votes = Array.from({ length: 4 }, (_, n) => actors.vote(id, `voter-${n}`));
    await actors.eventually(async () => (await actors.acceptedBy(approval(id))) === 4, 'the votes to be taken');
    assert.equal(await codeOf(actors.vote(id, 'voter-4')), 'control.backlogged');
    assert.equal(await runsOf(id), 1);
    gate.open();
    for (const { state } of await Promise.all(votes)) assert.equal(state, 'open');
    await actors.eventually(
      async () => (await codeOf(actors.vote(id, 'voter-4'))) === 'open: not refused',
      'the next run to take what this one could not',
    );
    assert.ok((await runsOf(id)) > 1);
    assert.equal(actors.store.approvals.get(id)?.votes.length, 5);
    assertWholeHistory(id);
  });

  it('refuse requests when the history has become too long', async () => {
    const id = await begin({ mostEvents: 40 });
    assert.equal((await actors.vote(id, 'voter-0')).state, 'open');
    // Each of these is a signal, and most of them a commit.
    for (let n = 0; n < 20; n++) await actors.verify(approval(id));
    await actors.eventually(async () => (await actors.history(approval(id))).length >= 40, 'a long history');
    assert.equal(await codeOf(actors.vote(id, 'voter-1')), 'control.backlogged');
    assert.equal(actors.store.approvals.get(id)?.votes.length, 1);
  });
});
