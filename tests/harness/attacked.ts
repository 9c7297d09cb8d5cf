// An installation to be attacked: two API processes on one database, devices that need several people, and many people.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hash as argon2 } from '@node-rs/argon2';
import { Agent, fetch, type RequestInit } from 'undici';
import type { Device } from '#contracts/http/devices.ts';
import type { IssuedCertificate } from '#protocols/issue-certificate.ts';
import type { Cleanup } from './cleanup.ts';
import { eventually } from './eventually.ts';
import { startSecondApi, type SecondApi } from './second-api.ts';
import { startStack, type Stack, type TestDevice } from './stack.ts';

/** A device with this tag needs as many approvals as `requiredApprovals`. */
const sensitiveTag = 'payments';
const requiredApprovals = 5;

export interface Attacked {
  readonly stack: Stack;
  readonly second: SecondApi;
  /** Both API processes. */
  readonly urls: readonly [string, string];
  /** Eight people who may vote, beside those of every stack, by name: their passwords. */
  readonly voters: ReadonlyMap<string, string>;
  readonly totpSecret: string;
  tokenOf(username: string): Promise<string>;
  /** A connection to both processes with this certificate. */
  connect(identity?: Pick<IssuedCertificate, 'certificatePem' | 'keyPem'>): Promise<Connection>;
  reviewOf(id: string, kind?: string): Promise<NonNullable<Device['pending_review']>>;
  /** A device that one person has approved. */
  enrolled(id: string): Promise<TestDevice>;
  /** Approvals of new devices that need several votes; their ids. */
  openApprovals(prefix: string, count: number): Promise<string[]>;
}

/** Trust assertions are made for this one. */
export const attackedAudience = 'attacked';

export interface Told {
  readonly status: number;
  readonly code: string;
  readonly text: string;
  readonly requestId: string;
}

export interface Connection {
  send(url: string, init?: RequestInit & { json?: unknown }): Promise<Told>;
  close(): Promise<void>;
}

export async function startAttacked(t: Cleanup, settings: Record<string, string> = {}): Promise<Attacked> {
  const folder = await mkdtemp(join(tmpdir(), 'sentinel-attacked-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const voters = new Map(
    Array.from({ length: 8 }, (_, index) => [`voter-${index}`, `pass ${randomBytes(18).toString('base64url')}`]),
  );
  const totpSecret = base32(randomBytes(20));
  const people = await Promise.all(
    [...voters].map(async ([username, password]) => ({
      username,
      roles: ['approver'],
      // Cheap, since signing in is not what is tried here.
      password_hash: await argon2(password, { memoryCost: 8, timeCost: 1, parallelism: 1, outputLen: 32 }),
    })),
  );
  const withCode = {
    username: 'with-code',
    roles: ['viewer'],
    password_hash: people[0]?.password_hash,
    mfa_totp_secret: totpSecret,
  };
  const file = join(folder, 'people.json');
  await writeFile(file, JSON.stringify([...people, withCode]), { mode: 0o600 });
  const stack = await startStack(t, {
    SENTINEL_ADMIN_USERS_FILE: file,
    SENTINEL_SENSITIVE_TAGS: sensitiveTag,
    SENTINEL_SENSITIVE_IDENTITY_APPROVALS: String(requiredApprovals),
    SENTINEL_FIRST_CONTACT_RATE: '200',
    SENTINEL_TRUST_ASSERTION_ALLOWED_AUDIENCES: attackedAudience,
    ...settings,
  });
  const second = await startSecondApi(t, stack);
  const ca = await readFile(stack.instance.ca_file, 'utf8');

  async function connect(identity?: Pick<IssuedCertificate, 'certificatePem' | 'keyPem'>): Promise<Connection> {
    const own = identity === undefined ? {} : { cert: identity.certificatePem, key: identity.keyPem };
    const dispatcher = new Agent({ connect: { ca, ...own }, connections: 4 });
    const close = async (): Promise<void> => {
      if (!dispatcher.destroyed) await dispatcher.destroy();
    };
    t.after(close);
    return {
      async send(url, { json, ...init } = {}) {
        const answer = await fetch(url, {
          ...init,
          ...(json === undefined ? {} : { method: init.method ?? 'POST', body: JSON.stringify(json) }),
          headers: {
            ...(json === undefined ? {} : { 'content-type': 'application/json' }),
            ...(init.headers as Record<string, string> | undefined),
          },
          signal: init.signal ?? AbortSignal.timeout(25_000),
          redirect: 'manual',
          dispatcher,
        });
        const text = await answer.text();
        const isProblem = answer.headers.get('content-type')?.includes('problem+json') === true;
        const { code = '' } = isProblem ? (JSON.parse(text) as { code?: string }) : {};
        return { status: answer.status, code, text, requestId: answer.headers.get('x-request-id') ?? '' };
      },
      close,
    };
  }

  const vic = await stack.as('vic');
  const anonymous = await connect();

  async function reviewOf(id: string, kind = 'enrollment'): Promise<NonNullable<Device['pending_review']>> {
    return eventually(async () => {
      const { pending_review } = await vic.devices.get(id);
      if (pending_review?.kind !== kind) return null;
      const approval = await vic.approvals.get(pending_review.id).catch(() => null);
      return approval?.state === 'open' ? pending_review : null;
    }, `a ${kind} review of ${id}`);
  }

  return {
    stack,
    second,
    urls: [stack.instance.api_url, second.url],
    voters,
    totpSecret,
    async tokenOf(username) {
      const json = { username, password: voters.get(username) ?? username };
      const { status, text } = await anonymous.send(`${stack.instance.api_url}/api/admin/login`, { json });
      if (status !== 200) throw new Error(`${username} cannot sign in: ${status} ${text}`);
      return (JSON.parse(text) as { token: string }).token;
    },
    connect,
    reviewOf,
    async enrolled(id) {
      const device = await stack.device(id);
      const { status } = await device.heartbeat(1);
      if (status !== 202) throw new Error(`${id}: ${status}`);
      const { digest } = await reviewOf(id);
      await (await stack.as('ann')).devices.identityReview(id, { decision: 'approve', digest });
      return device;
    },
    async openApprovals(prefix, count) {
      const ids = Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
      const found: string[] = [];
      // A few at once: this is the way to the attack and no part of it.
      for (let index = 0; index < count; index += 10) {
        const some = ids.slice(index, index + 10);
        await Promise.all(
          some.map(async (id) => {
            const device = await stack.device(id);
            await device.heartbeat(1, { tags: [sensitiveTag] });
            await device.close();
          }),
        );
        for (const id of some) found.push((await reviewOf(id)).id);
      }
      return found;
    },
  };
}

function base32(bytes: Buffer): string {
  const bits = Array.from(bytes, (byte) => byte.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{5}/g) ?? [])
    .map((five) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[Number.parseInt(five, 2)])
    .join('');
}
