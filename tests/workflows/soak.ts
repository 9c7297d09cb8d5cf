// One device that never rests: facts about it one after the other, and how long the runs of its actor become by that.
import assert from 'node:assert/strict';
import { device, digestOf, type TestActors, certificate } from './actors.ts';

export interface RunLength {
  readonly events: number;
  readonly signals: number;
  readonly updates: number;
}

export interface Soaked {
  readonly runs: readonly RunLength[];
  readonly state: object;
  /** Facts that it was told of, from the first. */
  readonly told: number;
}

/** Facts that are told to the actor at once. */
const atOnce = 20;

/**
 * @param mayEnd asked with the facts up to then, from time to time
 * @returns every run of the actor, and how the device stands in the end, when it has taken in the last fact
 */
export async function soak(
  actors: TestActors,
  id: string,
  facts: readonly number[],
  mayEnd: (told: number) => boolean = () => false,
): Promise<Soaked> {
  await actors.present(id, id);
  const review = await actors.review(id);
  await actors.vote(review.id, 'ann');
  let told = 0;
  while (told < facts.length && !mayEnd(told)) {
    const some = facts.slice(told, told + atOnce);
    told += some.length;
    await Promise.all(
      some.map(async (fact) => {
        const tags = [`fact-${fact}`];
        actors.news.set(id, {
          observed: { digest: digestOf(tags), reported_tags: tags, hostname: null, platform: null },
          candidate: { certificate: certificate(id), generation: 1, seen_at: '2026-01-01T00:00:00.000Z' },
          inbox_through: fact,
          revoked: [],
          standing: null,
        });
        // Most are hints; some are asked about.
        if (fact % 5 === 0) await actors.catchUp(id);
        else await actors.announce(id);
      }),
    );
  }
  const last = facts[told - 1] ?? 0;
  await actors.catchUp(id);
  await actors.eventually(() => actors.grant(id).inbox_consumed === last, 'the last fact', 60_000);
  const { approved_at: _, pinned_certificate, pinned_fingerprint, ...grant } = actors.grant(id);
  assert.equal(pinned_fingerprint, certificate(id).fingerprint_sha256);
  return { runs: await runsOf(actors, id), state: { ...grant, pinned: pinned_certificate !== null }, told };
}

async function runsOf(actors: TestActors, id: string): Promise<RunLength[]> {
  const runs: RunLength[] = [];
  const query = `WorkflowId = '${actors.workflowId(device(id))}'`;
  for await (const { runId } of actors.client.workflow.list({ query })) {
    const events = await actors.history(device(id), runId);
    runs.push({
      events: events.length,
      signals: events.filter((event) => event.workflowExecutionSignaledEventAttributes).length,
      updates: events.filter((event) => event.workflowExecutionUpdateAcceptedEventAttributes).length,
    });
  }
  return runs;
}

/** What Temporal takes of one run, with room to spare. */
export function assertWithinLimits(runs: readonly RunLength[], mostEvents: number): void {
  for (const { events, signals, updates } of runs) {
    assert.ok(events <= mostEvents, `a run has ${events} events`);
    assert.ok(signals < 10_000, `a run has ${signals} signals`);
    assert.ok(updates < 2_000, `a run has ${updates} updates`);
  }
}
