// Records histories of both workflows as this release makes them: `npm run histories:record -- NAME`, once a release.
//
// A recorded history is never changed: running actors have histories like it, and every later release must replay them.
import { gzipSync } from 'node:zlib';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ActorRef } from '#contracts/ids.ts';
import { createDataConverter } from '#protocols/payload-codec.ts';
import { startOwnTemporal } from '#tests/harness/start-server.ts';
import { approval, device, testActors, type TestActors } from '#tests/workflows/actors.ts';
import { encodeHistory, historyKeys, type RecordedHistory } from './recorded.ts';

const release = process.argv[2] ?? '';
if (!/^[a-z0-9.-]+$/.test(release)) throw new RangeError('say a name for the release, such as 0.1.0');

/** One actor's whole history, run by run. */
async function keep(actors: TestActors, name: string, ref: ActorRef, encrypted: boolean): Promise<void> {
  const workflowId = actors.workflowId(ref);
  let run = 0;
  for await (const { runId } of actors.client.workflow.list({ query: `WorkflowId = '${workflowId}'` })) {
    const history = await actors.client.workflow.getHandle(workflowId, runId).fetchHistory();
    // A run that has only just begun has nothing to replay.
    if (!history.events?.some((event) => event.workflowTaskCompletedEventAttributes)) continue;
    run += 1;
    const recorded: RecordedHistory = {
      workflow_id: workflowId,
      encrypted,
      history: encodeHistory(history),
    };
    const file = join(import.meta.dirname, `${release}-${ref.kind}-${name}-${run}${encrypted ? '-encrypted' : ''}.json.gz`);
    if (existsSync(file)) throw new Error(`${file} is there already: a recorded history is never changed`);
    writeFileSync(file, gzipSync(JSON.stringify(recorded), { level: 9 }));
  }
  if (run === 0) throw new Error(`${workflowId} has no history`);
  process.stdout.write(`${ref.kind} ${name}: ${run} runs\n`);
}

async function decide(actors: TestActors, id: string, voters: readonly string[], decision: 'approve' | 'reject' = 'approve') {
  const review = await actors.review(id);
  for (const voter of voters) await actors.vote(review.id, voter, { decision });
  return review.id;
}

async function record(address: string, encrypted: boolean): Promise<void> {
  const closing: (() => unknown)[] = [];
  const actors = await testActors(
    { after: (work) => void closing.push(work) },
    { address, ...(encrypted ? { dataConverter: createDataConverter(historyKeys, 'default') } : {}) },
  );
  for (const name of ['ann', 'bob', 'carl']) actors.store.standing.add(name);
  const both = async (name: string, id: string, approvalId: string): Promise<void> => {
    await actors.handle(approval(approvalId)).result().catch(() => {});
    await keep(actors, name, device(id), encrypted);
    await keep(actors, name, approval(approvalId), encrypted);
  };

  await actors.present('two', 'two-1', { tags: ['payments'] });
  await both('enrollment-by-two', 'two', await decide(actors, 'two', ['ann', 'bob']));

  await actors.present('rotated', 'rotated-1');
  await decide(actors, 'rotated', ['ann']);
  await actors.present('rotated', 'rotated-2');
  await both('rotation', 'rotated', await decide(actors, 'rotated', ['bob']));

  await actors.present('rejected', 'rejected-1');
  const rejected = await decide(actors, 'rejected', ['ann'], 'reject');
  await actors.operate('rejected', 'reset');
  await actors.present('rejected', 'rejected-1');
  await decide(actors, 'rejected', ['bob']);
  await actors.operate('rejected', 'retire');
  await both('rejection-reset-retire', 'rejected', rejected);

  await actors.present('revoked', 'revoked-1');
  await decide(actors, 'revoked', ['ann']);
  await actors.present('revoked', 'revoked-2', { revoked: ['revoked-1'] });
  await both('revocation', 'revoked', await decide(actors, 'revoked', ['bob']));

  const changed = await actors.openApproval({ ttl_seconds: 2 });
  await actors.eventually(() => actors.stateOf(changed.id), 'the approval');
  await actors.vote(changed.id, 'ann');
  await actors.change(changed.id, 'digest 2', 2);
  await actors.eventually(() => actors.stateOf(changed.id) === 'expired', 'the lapse');
  await actors.handle(approval(changed.id)).result();
  await keep(actors, 'changed-and-lapsed', approval(changed.id), encrypted);

  await actors.present('adopted', 'adopted-1');
  await decide(actors, 'adopted', ['ann']);
  const events = await actors.history(device('adopted'));
  const committed = events.findIndex((event) => event.activityTaskCompletedEventAttributes);
  const earlier = events.slice(committed).find((event) => event.workflowTaskCompletedEventAttributes);
  await actors.resetTo(device('adopted'), Number(earlier?.eventId));
  await actors.verify(device('adopted'));
  await actors.eventually(() => actors.store.audit.some(({ action }) => action === 'actor.adopted'), 'the adoption');
  await actors.catchUp('adopted');
  await keep(actors, 'adoption', device('adopted'), encrypted);
  for (const close of closing.toReversed()) await close();
}

async function recordLongLife(address: string): Promise<void> {
  const closing: (() => unknown)[] = [];
  const actors = await testActors({ after: (work) => void closing.push(work) }, { address });
  await actors.present('long', 'long-1');
  await actors.review('long');
  for (let round = 0; round < 10; round++) {
    await actors.present('long', 'long-1', { tags: [`round-${round}`] });
    await actors.catchUp('long');
  }
  await keep(actors, 'long-life', device('long'), false);
  for (const close of closing.toReversed()) await close();
}

const ordinary = await startOwnTemporal();
await record(ordinary.address, false);
await record(ordinary.address, true);
await ordinary.stop();
const hasty = await startOwnTemporal({ 'limit.historyCount.suggestContinueAsNew': 60 });
await recordLongLife(hasty.address);
await hasty.stop();
