// Actors that live longer than one history: on a Temporal that asks for a new run after few events, nothing is lost between two runs.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { startOwnTemporal } from '#tests/harness/start-server.ts';
import { approval, certificate, device, digestOf, testActors, type TestActors } from './actors.ts';
import { assertWithinLimits, soak } from './soak.ts';

/** Events after which the server suggests a new run. */
const suggestAfter = 50;

describe('an actor that continues as new', () => {
  const cleanup = cleanupAfterAll();
  let actors: TestActors;
  before(async () => {
    const temporal = await startOwnTemporal({ 'limit.historyCount.suggestContinueAsNew': suggestAfter });
    cleanup.after(() => temporal.stop());
    actors = await testActors(cleanup, { address: temporal.address });
    for (let n = 0; n < 40; n++) actors.store.standing.add(`voter-${n}`);
    actors.store.standing.add('ann');
  });

  /** How many runs an actor has had. */
  async function runsOf(workflowId: string): Promise<number> {
    let runs = 0;
    for await (const _ of actors.client.workflow.list({ query: `WorkflowId = '${workflowId}'` })) runs += 1;
    return runs;
  }

  function assertWholeHistory(name: string): void {
    const revisions = (actors.store.transitions.get(name) ?? []).map(({ revision }) => revision);
    assert.deepEqual(
      revisions,
      revisions.map((_, index) => index + 1),
    );
  }

  const adoptions = () => actors.store.audit.filter(({ action }) => action === 'actor.adopted');

  it('answers every request and takes every signal that comes between two runs', async () => {
    await actors.present('long-1', 'long-1');
    await actors.review('long-1');
    const answers = [];
    for (let round = 0; round < 12; round++) {
      const tags = [`round-${round}`];
      actors.news.set('long-1', {
        observed: { digest: digestOf(tags), reported_tags: tags, hostname: null, platform: null },
        candidate: { certificate: certificate('long-1'), generation: 0, seen_at: '2026-01-01T00:00:00.000Z' },
        inbox_through: round,
        revoked: [],
        standing: null,
      });
      answers.push(...Array.from({ length: 5 }, () => actors.catchUp('long-1')));
      await actors.announce('long-1');
    }
    for (const answer of await Promise.all(answers)) assert.equal(answer.state, 'pending');
    await actors.eventually(() => actors.grant('long-1').inbox_consumed === 11, 'the last news');
    const runs = await actors.eventually(async () => {
      const count = await runsOf(actors.workflowId(device('long-1')));
      return count > 1 && count;
    }, 'a second run');
    assert.ok(runs > 1);
    assertWholeHistory('device/default/long-1');
    assert.deepEqual(adoptions(), []);
  });

  it('counts each vote once, whichever run takes it (EN-06)', async () => {
    const { id } = await actors.openApproval({ required: 30 });
    await actors.eventually(() => actors.stateOf(id), 'the approval');
    const votes = await Promise.all(Array.from({ length: 30 }, (_, n) => actors.vote(id, `voter-${n}`)));
    assert.equal(votes.filter(({ state }) => state === 'approved').length > 0, true);
    const row = actors.store.approvals.get(id);
    assert.equal(row?.state, 'approved');
    assert.equal(new Set(row?.votes.map(({ by }) => by)).size, 30);
    assert.ok((await runsOf(actors.workflowId(approval(id)))) > 1);
    assertWholeHistory(`approval/${id}`);
    assert.deepEqual(adoptions(), []);
  });

  it('takes every signal once, however many come between runs', async () => {
    const { id } = await actors.openApproval();
    const changes = () => (actors.store.transitions.get(`approval/${id}`) ?? []).map(({ event }) => event);
    const rounds = 18;
    for (let round = 1; round <= rounds; round++) {
      // The moment at which a commit is written is the one in which the run decides whether to make way.
      await actors.eventually(() => changes().length > (round - 1) * 3, `the changes before round ${round}`);
      for (const part of ['a', 'b', 'c']) await actors.change(id, `digest ${round}${part}`);
    }
    await actors.eventually(() => changes().length > rounds * 3, 'the last change');
    assert.deepEqual(changes(), ['actor.started', ...Array(rounds * 3).fill('subject.changed')]);
    assert.equal(actors.store.approvals.get(id)?.digest, `digest ${rounds}c`);
    assertWholeHistory(`approval/${id}`);
    await actors.eventually(async () => (await runsOf(actors.workflowId(approval(id)))) > 2, 'a third run');
    assert.deepEqual(adoptions(), []);
  });

  it('loses none of 5,000 signals that race with its new runs (FT-06)', async () => {
    const { id } = await actors.openApproval();
    await actors.eventually(() => actors.stateOf(id), 'the approval');
    const [bursts, burst] = [10, 500];
    const taken = () =>
      actors.store.audit.flatMap(({ action, subject, details }) =>
        action === 'approval.changed' && subject.id === id ? [details['digest']] : [],
      );
    for (let round = 0; round < bursts; round++) {
      await Promise.all(Array.from({ length: burst }, (_, n) => actors.change(id, `flood ${round}/${n}`)));
      // The next burst meets a run that has just written everything, and wants to make way.
      await actors.eventually(() => taken().length >= (round + 1) * burst, `burst ${round}`);
    }
    assert.equal(taken().length, bursts * burst);
    assert.equal(new Set(taken()).size, bursts * burst);
    assertWholeHistory(`approval/${id}`);
    await actors.eventually(async () => (await runsOf(actors.workflowId(approval(id)))) > 3, 'a fourth run');
    assert.deepEqual(adoptions(), []);
  });

  it('stays short however much is reported, and ends where one ends that heard the last of it only (FT-09)', async () => {
    const facts = Array.from({ length: 600 }, (_, n) => n + 1);
    const { runs, state } = await soak(actors, 'soaked', facts);
    const brief = await soak(actors, 'brief', facts.slice(-1));
    assert.deepEqual(state, brief.state);
    assert.ok(runs.length > 5, `${runs.length} runs`);
    assertWithinLimits(runs, suggestAfter * 4);
    assert.deepEqual(adoptions(), []);
  });

  it('makes the calls again that were under way', async () => {
    await actors.present('long-2', 'long-2');
    await actors.review('long-2');
    const held = Promise.withResolvers<void>();
    let calls = 0;
    actors.world.onCall = async (name) => {
      if (name !== 'fetchDeviceNews') return;
      calls += 1;
      // The look within the task is given up, and the call that follows is under way.
      if (calls <= 2) await held.promise;
    };
    await actors.announce('long-2');
    await actors.eventually(() => calls === 2, 'the call');
    // Each of these is a signal and a commit, until the history is long enough for a new run.
    const ref = device('long-2');
    const first = await actors.runId(ref);
    for (let n = 0; n < suggestAfter; n++) await actors.verify(ref);
    await actors.eventually(async () => (await actors.runId(ref)) !== first, 'the next run');
    held.resolve();
    await actors.eventually(() => calls > 2, 'the call of the next run');
    actors.world.onCall = async () => {};
    assert.equal((await actors.catchUp('long-2')).state, 'pending');
    assertWholeHistory('device/default/long-2');
  });
});
