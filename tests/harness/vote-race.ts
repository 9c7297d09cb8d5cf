// A race of votes: many people vote at once on many approvals, through several API processes, and each vote is accounted for.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { Agent, fetch } from 'undici';
import type { Approval } from '#contracts/http/approvals.ts';
import type { Stack } from './stack.ts';

export interface VoteRace {
  readonly stack: Stack;
  /** The API processes, which take turns. */
  readonly urls: readonly string[];
  /** Ids of open approvals. */
  readonly approvals: readonly string[];
  /** Tokens by name; all may vote but those in `mayNot`. */
  readonly voters: ReadonlyMap<string, string>;
  readonly mayNot: ReadonlySet<string>;
  readonly votes: number;
  readonly seed: number;
}

export interface RaceResult {
  /** How many answers had each status, retries not counted. */
  readonly answers: Readonly<Record<string, number>>;
  readonly counted: number;
  readonly retried: number;
  readonly slowestMs: number;
}

interface Cast {
  readonly approval: string;
  readonly by: string;
  readonly decision: 'approve' | 'reject';
  readonly key: string;
}

const atOnce = 64;
/** An answer that takes longer fails the race; the API promises one within 20 s. */
const answerWithinMs = 30_000;
const expected = new Set(['200', '403', '409', '429', '503']);

/**
 * Votes at random and then compares every answer with what the approvals hold: a vote that was answered 200 is there
 * once, and none is there that was not.
 */
export async function raceVotes(race: VoteRace): Promise<RaceResult> {
  const dispatcher = new Agent({
    connect: { ca: await readFile(race.stack.instance.ca_file, 'utf8') },
    connections: atOnce,
  });
  const answers: Record<string, number> = {};
  let slowestMs = 0;
  let retried = 0;
  /** The votes that were answered 200, by approval and person. */
  const accepted = new Map<string, Cast>();

  async function send(cast: Cast, url: string): Promise<{ status: number; code: string; retryAfter: number }> {
    const began = performance.now();
    const answer = await fetch(`${url}/api/approvals/${cast.approval}/review`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${race.voters.get(cast.by)}`,
        'content-type': 'application/json',
        'idempotency-key': cast.key,
      },
      body: JSON.stringify({ decision: cast.decision }),
      signal: AbortSignal.timeout(answerWithinMs),
      dispatcher,
    });
    const { code = '' } = (await answer.json()) as { code?: string };
    slowestMs = Math.max(slowestMs, performance.now() - began);
    return { status: answer.status, code, retryAfter: Number(answer.headers.get('retry-after') ?? 0) };
  }

  async function castOne(index: number, cast: Cast): Promise<void> {
    const url = race.urls[index % race.urls.length] ?? '';
    let answer = await send(cast, url);
    const status = String(answer.status);
    answers[status] = (answers[status] ?? 0) + 1;
    for (let again = 0; answer.status === 503; again += 1) {
      assert.match(answer.code, /^(control\.backlogged|service\.(unavailable|overloaded))$/);
      assert.ok(again < 60, 'a vote is taken or refused for good before long');
      retried += 1;
      await pause(answer.retryAfter * 100);
      // By the other process, with the same key: whoever took it, it counts once.
      answer = await send(cast, race.urls[(index + again + 1) % race.urls.length] ?? '');
      if (answer.code === 'request.in_progress') answer = { ...answer, status: 503, code: 'service.unavailable' };
    }
    assert.ok(expected.has(String(answer.status)), `${answer.status} ${answer.code}`);
    if (race.mayNot.has(cast.by)) return assert.equal(`${answer.status} ${answer.code}`, '403 auth.forbidden');
    if (answer.status === 409) return assert.match(answer.code, /^review\.(already_voted|closed)$/);
    if (answer.status === 429) return assert.equal(answer.code, 'rate.limited');
    assert.equal(answer.status, 200, answer.code);
    const name = `${cast.approval} ${cast.by}`;
    assert.equal(accepted.has(name), false, `${name} was answered 200 twice`);
    accepted.set(name, cast);
  }

  try {
    const next = numbersFrom(race.seed);
    const pick = <T>(items: readonly T[]): T => items[next() % items.length] as T;
    const names = [...race.voters.keys()];
    const casts = Array.from({ length: race.votes }, (): Cast => ({
      approval: pick(race.approvals),
      by: pick(names),
      decision: next() % 40 === 0 ? 'reject' : 'approve',
      key: randomUUID(),
    }));
    let index = 0;
    const runner = async (): Promise<void> => {
      for (let cast = casts[index]; cast !== undefined; cast = casts[index]) await castOne(index++, cast);
    };
    await Promise.all(Array.from({ length: atOnce }, runner));
  } finally {
    await dispatcher.close();
  }

  const reader = await race.stack.as('vic');
  let counted = 0;
  for (const id of race.approvals) {
    const { votes, state, required_approvals } = (await reader.approvals.get(id)) as Approval;
    counted += votes.length;
    const held = votes.map(({ by, decision }) => `${by} ${decision}`).toSorted();
    const answered = [...accepted.values()]
      .filter(({ approval }) => approval === id)
      .map(({ by, decision }) => `${by} ${decision}`)
      .toSorted();
    assert.deepEqual(held, answered, `the votes of ${id} are those that were answered 200, each once`);
    const rejected = votes.some(({ decision }) => decision === 'reject');
    const approvals = votes.filter(({ decision }) => decision === 'approve').length;
    if (rejected) assert.equal(state, 'rejected');
    else assert.equal(state, approvals >= required_approvals ? 'approved' : 'open');
  }
  return { answers, counted, retried, slowestMs: Math.round(slowestMs) };
}

/** The same numbers for the same seed (a linear congruence, Numerical Recipes). */
function numbersFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 8;
  };
}
