// How long a failed sign-in takes for somebody who exists and for nobody, each in turn so that both see the same machine.
import type { SignInDeps } from '#api/sign-in.ts';
import { fakeApi } from '#tests/fakes/api-over-fakes.ts';
import type { Cleanup } from './cleanup.ts';

export interface SignInTimes {
  /** Milliseconds. */
  readonly known: readonly number[];
  readonly unknown: readonly number[];
  /** Every different answer, without its request id. */
  readonly words: ReadonlySet<string>;
}

export async function signInTimes(
  t: Cleanup,
  {
    attempts,
    passwordHash,
    passwords = {},
    mayEnd = () => false,
  }: {
    readonly attempts: number;
    /** Asked with the attempts up to then. */
    readonly mayEnd?: (attempts: number) => boolean;
    readonly passwordHash: string;
    readonly passwords?: Partial<SignInDeps['passwords']>;
  },
): Promise<SignInTimes> {
  const unlimited = { succeeded: async () => {} };
  const { app } = await fakeApi(t, {
    people: [{ username: 'known', password_hash: passwordHash, roles: ['viewer'] }],
    passwords,
    // Limits would end it after five.
    signIn: { limiter: { attempt: async () => unlimited, attemptCode: async () => unlimited } },
  });
  const times = { known: [] as number[], other: [] as number[] };
  const words = new Set<string>();
  const warmUp = 20;
  for (let count = -warmUp; count < attempts / 2; count += 1) {
    if (count > 0 && mayEnd(2 * count)) break;
    // Names of one length, and the order swapped from pair to pair.
    const pair = ['known', 'other'] as const;
    for (const username of count % 2 === 0 ? pair : pair.toReversed()) {
      const payload = { username, password: 'not the password' };
      const began = performance.now();
      const answer = await app.inject({ method: 'POST', url: '/api/admin/login', payload });
      const took = performance.now() - began;
      words.add(`${answer.statusCode} ${JSON.stringify({ ...answer.json<object>(), request_id: '' })}`);
      if (count >= 0) times[username].push(took);
    }
  }
  return { known: times.known, unknown: times.other, words };
}

/** How likely one of the first is longer than one of the second: the statistic of Mann and Whitney, which no outlier moves. */
export function shareOfLonger(first: readonly number[], second: readonly number[]): number {
  const sorted = second.toSorted((a, b) => a - b);
  let longer = 0;
  for (const value of first) {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sorted[middle] ?? 0) < value) low = middle + 1;
      else high = middle;
    }
    longer += low;
  }
  return longer / (first.length * second.length);
}
