// Records histories of both workflows as this release makes them: `npm run histories:record -- NAME [SCENARIO]`, everything
// once a release, and a single scenario when one is added.
//
// A recorded history is never changed: running actors have histories like it, and every later release must replay them.
import { gzipSync } from 'node:zlib';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type proto from '@temporalio/proto';
import type { AttestationPolicy } from '#contracts/attestation.ts';
import type { ActorRef } from '#contracts/ids.ts';
import type { IdentityPolicy } from '#contracts/policy.ts';
import { createDataConverter } from '#protocols/payload-codec.ts';
import { startOwnTemporal } from '#tests/harness/start-server.ts';
import { approval, device, testActors, type TestActors } from '#tests/workflows/actors.ts';
import { giveEvidence } from '#tests/workflows/evidence.ts';
import { encodeHistory, historyKeys, type RecordedHistory } from './recorded.ts';

const release = process.argv[2] ?? '';
if (!/^[a-z0-9.-]+$/.test(release)) throw new RangeError('say a name for the release, such as 0.1.0');

const only = process.argv[3];

/** One actor's whole history, run by run, the oldest first. */
async function keep(actors: TestActors, name: string, ref: ActorRef, encrypted: boolean): Promise<void> {
  if (only !== undefined && only !== name) return;
  const workflowId = actors.workflowId(ref);
  const histories: proto.temporal.api.history.v1.IHistory[] = [];
  for await (const { runId } of actors.client.workflow.list({ query: `WorkflowId = '${workflowId}'` })) {
    const history = await actors.client.workflow.getHandle(workflowId, runId).fetchHistory();
    // A run that has only just begun has nothing to replay.
    if (history.events?.some((event) => event.workflowTaskCompletedEventAttributes)) histories.push(history);
  }
  if (histories.length === 0) throw new Error(`${workflowId} has no history`);
  const began = ({ events }: proto.temporal.api.history.v1.IHistory): number =>
    Number(events?.[0]?.eventTime?.seconds) + Number(events?.[0]?.eventTime?.nanos) / 1e9;
  for (const [index, history] of histories.toSorted((a, b) => began(a) - began(b)).entries()) {
    const recorded: RecordedHistory = { workflow_id: workflowId, encrypted, history: encodeHistory(history) };
    const title = `${release}-${ref.kind}-${name}-${index + 1}${encrypted ? '-encrypted' : ''}`;
    const file = join(import.meta.dirname, `${title}.json.gz`);
    if (existsSync(file)) throw new Error(`${file} is there already: a recorded history is never changed`);
    writeFileSync(file, gzipSync(JSON.stringify(recorded), { level: 9 }));
  }
  process.stdout.write(`${ref.kind} ${name}: ${histories.length} runs\n`);
}

/** Actors for one recording. */
async function withActors(
  address: string,
  encrypted: boolean,
  policy: Partial<IdentityPolicy>,
  work: (actors: TestActors) => Promise<void>,
  attestation: Partial<AttestationPolicy> = {},
): Promise<void> {
  const closing: (() => unknown)[] = [];
  const converter = encrypted ? { dataConverter: createDataConverter(historyKeys, 'default') } : {};
  const end = { after: (close: () => unknown) => void closing.push(close) };
  const actors = await testActors(end, { address, policy, attestation, ...converter });
  for (const name of people) actors.store.standing.add(name);
  await work(actors);
  for (const close of closing.toReversed()) await close();
}

async function decide(
  actors: TestActors,
  id: string,
  voters: readonly string[],
  decision: 'approve' | 'reject' = 'approve',
): Promise<string> {
  const review = await actors.review(id);
  for (const voter of voters) await actors.vote(review.id, voter, { decision });
  return review.id;
}

/** A vote that comes a second time while what it decided is under way. */
async function repeat(actors: TestActors, id: string): Promise<string> {
  const review = await actors.review(id);
  const confirming = Promise.withResolvers<void>();
  actors.world.onCall = async (name) => {
    if (name === 'confirmVotes') await confirming.promise;
  };
  const request = `${review.id}-request`;
  const votes = [1, 2].map((n) => actors.vote(review.id, 'ann', { request, updateId: `${request}-${n}` }));
  const taken = async () => (await actors.acceptedBy(approval(review.id))) === 2;
  await actors.eventually(taken, 'the repetition');
  confirming.resolve();
  await Promise.all(votes);
  actors.world.onCall = async () => {};
  return review.id;
}

/** Puts an actor back to after its first commit, and waits until it has found out. */
async function adopt(actors: TestActors, ref: ActorRef): Promise<void> {
  const events = await actors.history(ref);
  const committed = events.findIndex((event) => event.activityTaskCompletedEventAttributes);
  const earlier = events.slice(committed).find((event) => event.workflowTaskCompletedEventAttributes);
  await actors.resetTo(ref, Number(earlier?.eventId));
  await actors.verify(ref);
  const ofThis = ({ action, subject }: { readonly action: string; readonly subject: { readonly id: string } }) =>
    action === 'actor.adopted' && subject.id === ref.id;
  await actors.eventually(() => actors.store.audit.some(ofThis), 'the adoption');
}

async function recordDecisions(actors: TestActors, encrypted: boolean): Promise<void> {
  const both = async (name: string, id: string, approvalId: string): Promise<void> => {
    await actors.handle(approval(approvalId)).result();
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

  await actors.present('repeated', 'repeated-1');
  await both('repetition', 'repeated', await repeat(actors, 'repeated'));

  await actors.present('adopted', 'adopted-1', { tags: ['payments'] });
  const adopted = await decide(actors, 'adopted', ['ann']);
  await adopt(actors, approval(adopted));
  await actors.vote(adopted, 'bob');
  await adopt(actors, device('adopted'));
  await actors.catchUp('adopted');
  await both('adoption', 'adopted', adopted);
}

/** On a server that asks for evidence: a key that people bind, evidence that is confirmed, and evidence that is not. */
async function recordAttested(actors: TestActors, encrypted: boolean): Promise<void> {
  const told = (action: string) =>
    actors.eventually(() => actors.store.audit.some((entry) => entry.action === action), action);
  await actors.present('attested', 'attested-1');
  const enrollment = await decide(actors, 'attested', ['ann']);
  await actors.handle(approval(enrollment)).result();
  const given = giveEvidence('attested');
  await actors.attest('attested', given);
  const hardware = await decide(actors, 'attested', ['bob']);
  await told('device.attestation.confirmed');
  const standing = { ...given.standing, generation: 2, verdict: 2 };
  await actors.attest('attested', { ...given, standing, evidence: { changed: true } });
  await told('device.attestation.disputed');
  await actors.handle(approval(hardware)).result();
  await keep(actors, 'attestation', device('attested'), encrypted);
  await keep(actors, 'attestation', approval(hardware), encrypted);
}

async function recordLapses(actors: TestActors, encrypted: boolean): Promise<void> {
  await actors.present('lapsed', 'lapsed-1');
  const { id } = await actors.review('lapsed');
  await actors.eventually(() => actors.grant('lapsed').state === 'expired', 'the lapse');
  await actors.handle(approval(id)).result();
  await keep(actors, 'lapse', device('lapsed'), encrypted);
  await keep(actors, 'lapse', approval(id), encrypted);

  const changed = await actors.openApproval({ ttl_seconds: 2 });
  await actors.eventually(() => actors.stateOf(changed.id), 'the approval');
  await actors.vote(changed.id, 'ann');
  await actors.change(changed.id, 'digest 2', 2);
  await actors.handle(approval(changed.id)).result();
  await keep(actors, 'changed-and-lapsed', approval(changed.id), encrypted);
}

/** On a Temporal that suggests a new run early. */
async function recordLongLives(actors: TestActors, encrypted: boolean): Promise<void> {
  await actors.present('long', 'long-1');
  const review = await actors.review('long');
  for (let round = 0; round < 10; round++) {
    await actors.present('long', 'long-1', { tags: [`round-${round}`] });
    await actors.catchUp('long');
  }
  const { digest } = await actors.review('long');
  await actors.eventually(() => actors.store.approvals.get(review.id)?.digest === digest, 'the last change');
  await decide(actors, 'long', ['ann']);
  await actors.handle(approval(review.id)).result();
  await keep(actors, 'long-life', device('long'), encrypted);

  const { id } = await actors.openApproval({ required: people.length });
  for (const [index, person] of people.entries()) {
    await actors.vote(id, person);
    if (index < people.length - 1) await actors.verify(approval(id));
  }
  await actors.handle(approval(id)).result();
  await keep(actors, 'long-life', approval(id), encrypted);
}

const people = ['ann', 'bob', 'carl', ...Array.from({ length: 12 }, (_, n) => `voter-${n}`)];
const ordinary = await startOwnTemporal();
const hasty = await startOwnTemporal({ 'limit.historyCount.suggestContinueAsNew': 60 });
for (const encrypted of [false, true]) {
  await withActors(ordinary.address, encrypted, {}, (actors) => recordDecisions(actors, encrypted));
  await withActors(ordinary.address, encrypted, { review_ttl_seconds: 1 }, (actors) => recordLapses(actors, encrypted));
  await withActors(ordinary.address, encrypted, {}, (actors) => recordAttested(actors, encrypted), {
    provider: 'signed_measurement_v1',
  });
  await withActors(hasty.address, encrypted, {}, (actors) => recordLongLives(actors, encrypted));
}
await ordinary.stop();
await hasty.stop();
