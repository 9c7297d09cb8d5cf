// People who go on whatever devices do: how long they wait for their lists, their revocations and their sign-ins.
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient, type Client } from '#client/client.ts';
import { createTransport } from '#client/node-transport.ts';
import { systemRandom } from '#contracts/deps.ts';
import { hashPassword } from '#protocols/password.ts';
import type { SettingTexts } from '#start/child-settings.ts';
import { spread } from './percentile.ts';
import type { Measurement } from './result.ts';

/** Everybody waits so long between an answer and the next request. */
const pauseMs = 100;
/** A sign-in is dear on purpose. */
const signInPauseMs = 1_000;
const user = { username: 'bench', password: 'a password of this bench' };

export type Kind = 'list' | 'look' | 'revoke' | 'sign in';

export interface Asked {
  readonly kind: Kind;
  readonly milliseconds: number;
  readonly answered: boolean;
}

export interface People {
  /** What was asked and ended since the last time. */
  take(): readonly Asked[];
  /** Resolves when nobody waits for an answer any more. */
  pause(): Promise<void>;
  resume(): void;
  stop(): Promise<void>;
}

/** The API has to know them. */
export async function peopleSettings(): Promise<SettingTexts> {
  const { username, password } = user;
  return {
    SENTINEL_ADMIN_USERS_JSON: JSON.stringify([
      { username, roles: ['admin'], password_hash: await hashPassword(password) },
    ]),
  };
}

/**
 * Five people, each with one request after the other: lists, a device, the audit trail, a revocation now and then. Another
 * one signs in again and again.
 *
 * @param spare devices that nobody needs, to be revoked one by one
 */
export async function startPeople(
  { url, ca }: { readonly url: string; readonly ca: string },
  { device, spare }: { readonly device: string; readonly spare: (index: number) => string },
): Promise<People> {
  const transport = createTransport({ ca });
  const client = (token: string | null): Client =>
    createClient({
      baseUrl: url,
      fetch: transport.fetch,
      random: systemRandom,
      attempts: 1,
      ...(token === null ? {} : { token }),
    });
  const { token } = await client(null).admin.login(user);
  const signedIn = client(token);
  let taken: Asked[] = [];
  let waiting = 0;
  let paused = false;
  let stopped = false;
  let revoked = 0;

  async function ask(kind: Kind, request: () => Promise<unknown>): Promise<void> {
    const began = performance.now();
    waiting += 1;
    // Whoever is not answered has waited all the same.
    const answered = await request().then(
      () => true,
      () => false,
    );
    waiting -= 1;
    taken.push({ kind, milliseconds: performance.now() - began, answered });
  }

  const requests: readonly (readonly [Kind, () => Promise<unknown>])[] = [
    ['list', () => signedIn.devices.list({ limit: 50 })],
    ['look', () => signedIn.devices.get(device)],
    ['list', () => signedIn.approvals.list({})],
    ['list', () => signedIn.audit.list({})],
    ['look', () => signedIn.admin.me()],
    ['revoke', () => signedIn.devices.revoke(spare((revoked += 1)), { reason: 'lost' })],
  ];

  async function work(first: number): Promise<void> {
    for (let turn = first; !stopped; turn += 1) {
      await sleep(pauseMs);
      const next = requests[turn % requests.length];
      if (!paused && next !== undefined) await ask(...next);
    }
  }

  async function comeAndGo(): Promise<void> {
    while (!stopped) {
      await sleep(signInPauseMs);
      if (!paused) await ask('sign in', () => client(null).admin.login(user));
    }
  }

  const working = Promise.all([...[0, 1, 2, 3, 4].map(work), comeAndGo()]);
  return {
    take() {
      const all = taken;
      taken = [];
      return all;
    },
    async pause() {
      paused = true;
      while (waiting > 0) await sleep(10);
    },
    resume: () => void (paused = false),
    async stop() {
      stopped = true;
      await working;
      await transport.close();
    },
  };
}

/** All of them, or one kind of what they ask. */
export function waits(label: string, asked: readonly Asked[], kind?: Kind): Measurement {
  const some = asked.filter((one) => kind === undefined || one.kind === kind);
  const failed = some.filter(({ answered }) => !answered).length;
  const { p50, p99 } = spread(some.map(({ milliseconds }) => milliseconds));
  return {
    label: `${label} (${some.length} requests, ${failed} without an answer)`,
    unit: 'ms',
    value: p50,
    p50,
    p99,
  };
}
