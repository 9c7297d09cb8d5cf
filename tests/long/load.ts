// People and devices who go on whatever is broken, and write down every answer: what was promised must be found afterwards.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { chanceOf } from '#bench/simulate/chance.ts';
import { parseCertificate } from '#protocols/certificate.ts';
import type { Answer, Person, Stack, TestDevice } from '#tests/harness/stack.ts';

export interface DeviceRecord {
  readonly device: TestDevice;
  readonly fingerprint: string;
  readonly required: 1 | 2;
  /** Counters that were answered 200. */
  readonly accepted: Set<number>;
  /** The next one; sent again until it is known what became of it. */
  counter: number;
  /** Sent, and never answered: it may have been used. */
  uncertain: boolean;
  /** Whether a first contact was answered 202. */
  known: boolean;
  /** Who was told that the vote counts. */
  readonly voted: Set<Person>;
  /** Votes whose answer nobody heard; asked again with the same key. */
  readonly votes: Map<Person, string>;
  revocation: 'none' | 'asked' | 'answered';
  revocationKey: string;
  busy: boolean;
}

export interface Ledger {
  readonly devices: readonly DeviceRecord[];
  /** Answers by what was asked and how it ended. */
  readonly answers: ReadonlyMap<string, number>;
  /** What must never happen, seen while it happened. */
  readonly violations: readonly string[];
  /** Everything that was answered 2xx. */
  readonly accepted: number;
  readonly asked: number;
}

export interface Load {
  readonly ledger: Ledger;
  /** Until so many more requests were answered. */
  answered(more: number): Promise<void>;
  /** Ends when everybody has heard what became of what they asked. */
  stop(): Promise<void>;
}

interface LoadOptions {
  readonly seed: number;
  /** Devices that are there from the beginning. */
  readonly fleet: number;
  /** Devices at most, with those that come while it goes on. */
  readonly most: number;
}

/** Whoever was killed holds the key of a request for a minute; after that it is asked again. */
const heardWithinMs = 90_000;

type Outcome = Answer | null;
let loads = 0;

/** A connection that broke is an answer that nobody heard. */
async function heard(asked: Promise<Answer>): Promise<Outcome> {
  return asked.catch(() => null);
}

export async function startLoad(stack: Stack, { seed, fleet, most }: LoadOptions): Promise<Load> {
  const chance = chanceOf(seed, 1);
  const run = `load${(loads += 1)}`;
  const devices: DeviceRecord[] = [];
  const answers = new Map<string, number>();
  const violations: string[] = [];
  let [asked, accepted, made] = [0, 0, 0];
  let stopping = false;
  const tokens = new Map<Person, string>();
  for (const person of ['ann', 'bob', 'sam', 'vic'] as const) tokens.set(person, await stack.token(person));

  function note(what: string, answer: Outcome): void {
    asked += 1;
    const name = `${what} ${answer === null ? 'unheard' : answer.status}`;
    answers.set(name, (answers.get(name) ?? 0) + 1);
    if (answer === null) return;
    if (answer.status < 300) accepted += 1;
    if (answer.status === 503 && answer.retryAfter === null) violations.push(`${what}: a 503 without Retry-After`);
    if (answer.status >= 500 && answer.status !== 503)
      violations.push(`${what}: ${answer.status} ${JSON.stringify(answer.body)}`);
  }

  const ask = async (person: Person, what: string, path: string, body?: object, key?: string): Promise<Outcome> => {
    const headers = {
      authorization: `Bearer ${tokens.get(person)}`,
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    };
    const answer = await heard(
      stack.request(path, body === undefined ? { headers } : { method: 'POST', headers, body }),
    );
    note(what, answer);
    return answer;
  };

  async function newcomer(): Promise<DeviceRecord> {
    const number = (made += 1);
    const id = `${run}-${number}`;
    const device = await stack.device(id);
    const record: DeviceRecord = {
      device,
      fingerprint: parseCertificate(device.certificate.certificatePem).fingerprintSha256,
      required: number % 3 === 0 ? 2 : 1,
      accepted: new Set(),
      counter: 1,
      uncertain: false,
      known: false,
      voted: new Set(),
      votes: new Map(),
      revocation: 'none',
      revocationKey: randomUUID(),
      busy: false,
    };
    devices.push(record);
    return record;
  }

  async function beat(record: DeviceRecord): Promise<void> {
    const { device, counter, accepted: used } = record;
    const revoked = record.revocation;
    const tags = record.required === 2 ? ['payments'] : [];
    const answer = await heard(device.heartbeat(counter, { tags }));
    note('heartbeat', answer);
    if (answer === null || answer.status === 503 || answer.status === 429) {
      record.uncertain ||= answer?.status !== 429;
      return;
    }
    const code = answer.body['code'];
    if (answer.status === 202) {
      // A pending device uses no counter up.
      record.known = true;
      record.uncertain = false;
    } else if (answer.status === 200) {
      if (used.has(counter)) violations.push(`${device.id}: counter ${counter} was accepted twice`);
      if (revoked === 'answered') violations.push(`${device.id}: accepted after its certificate was revoked`);
      used.add(counter);
      record.counter += 1;
      record.uncertain = false;
    } else if (code === 'heartbeat.replayed') {
      if (!record.uncertain) violations.push(`${device.id}: counter ${counter} was refused and never used`);
      record.counter += 1;
      record.uncertain = false;
    } else if (code === 'certificate.revoked' && record.revocation !== 'none') {
      record.uncertain = false;
    } else {
      violations.push(`${device.id}: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
  }

  async function replay(record: DeviceRecord): Promise<void> {
    const used = [...record.accepted];
    const counter = used[Math.floor(chance() * used.length)];
    if (counter === undefined) return;
    const answer = await heard(record.device.heartbeat(counter, { tags: record.required === 2 ? ['payments'] : [] }));
    note('replay', answer);
    if (answer !== null && answer.status < 300 && answer.body['status'] === 'accepted')
      violations.push(`${record.device.id}: counter ${counter} was accepted again`);
  }

  async function vote(record: DeviceRecord): Promise<void> {
    const person = record.voted.has('ann') ? 'bob' : 'ann';
    const known = record.votes.get(person);
    const path = `/api/devices/${record.device.id}`;
    if (known === undefined) {
      const seen = await ask('vic', 'look', path);
      if (seen?.status !== 200) return;
      const review = seen.body['pending_review'] as { approvals: number; required: number } | null;
      if (review === null || review.required !== record.required) return;
    }
    const key = known ?? randomUUID();
    record.votes.set(person, key);
    const answer = await ask(person, 'vote', `${path}/identity-review`, { decision: 'approve' }, key);
    if (answer === null || answer.status >= 500 || answer.body['code'] === 'request.in_progress') return;
    const taken = ['review.already_voted', 'review.closed', 'device.no_pending_review'];
    if (answer.status === 200) record.voted.add(person);
    else if (taken.includes(String(answer.body['code']))) {
      // Right only if the vote that nobody heard about was counted, which is looked up afterwards.
      if (known === undefined) violations.push(`${record.device.id}: ${JSON.stringify(answer.body)} to a first vote`);
      record.voted.add(person);
    } else if (answer.body['code'] !== 'review.changed') {
      violations.push(`${record.device.id}: ${answer.status} ${JSON.stringify(answer.body)} to a vote`);
    }
    if (record.voted.has(person)) record.votes.delete(person);
    else if (answer.body['code'] === 'review.changed') record.votes.delete(person);
  }

  async function revoke(record: DeviceRecord): Promise<void> {
    if (record.revocation === 'none') record.revocation = 'asked';
    const path = `/api/devices/${record.device.id}/certificate/revoke`;
    const answer = await ask('sam', 'revoke', path, { reason: 'lost' }, record.revocationKey);
    if (answer?.status === 200) record.revocation = 'answered';
    else if (answer !== null && answer.status !== 503 && answer.body['code'] !== 'request.in_progress')
      violations.push(`${record.device.id}: ${answer.status} ${JSON.stringify(answer.body)} to a revocation`);
  }

  async function next(record: DeviceRecord): Promise<void> {
    if (record.revocation === 'asked') return revoke(record);
    if (record.known && record.voted.size < record.required && chance() < 0.6) return vote(record);
    if (record.accepted.size > 0 && chance() < 0.15) return replay(record);
    if (record.accepted.size > 20 && record.revocation === 'none' && chance() < 0.01) return revoke(record);
    return beat(record);
  }

  /** Whether it is known of everything that was asked what became of it. */
  const settled = (record: DeviceRecord): boolean =>
    !record.uncertain &&
    record.known &&
    record.voted.size === record.required &&
    (record.revocation !== 'none' || record.accepted.size > 0) &&
    record.revocation !== 'asked';

  async function lane(): Promise<void> {
    for (;;) {
      const free = devices.filter((record) => !record.busy && (!stopping || !settled(record)));
      if (stopping && devices.every(settled)) return;
      const record =
        !stopping && made < most && chance() < 0.03 ? await newcomer() : free[Math.floor(chance() * free.length)];
      if (record === undefined) {
        await pause(20);
        continue;
      }
      record.busy = true;
      await next(record);
      record.busy = false;
      // What is away answers at once, and is not helped by being asked a thousand times a second.
      await pause(2 + chance() * 10);
    }
  }

  for (let n = 0; n < fleet; n += 1) await newcomer();
  const lanes = Promise.all(Array.from({ length: 8 }, lane));
  lanes.catch(() => {});
  return {
    ledger: {
      devices,
      answers,
      violations,
      get accepted() {
        return accepted;
      },
      get asked() {
        return asked;
      },
    },
    async answered(more) {
      const from = asked;
      while (asked < from + more) await pause(20);
    },
    async stop() {
      stopping = true;
      const limit = new AbortController();
      const late = pause(heardWithinMs, undefined, { signal: limit.signal }).then(async () => {
        const open = devices.filter((record) => !settled(record));
        const seen = await Promise.all(
          open.map(async ({ device, known, uncertain, voted, votes }) => ({
            id: device.id,
            known,
            uncertain,
            voted: [...voted],
            unheard: [...votes],
            looks: (await ask('vic', 'look', `/api/devices/${device.id}`))?.body,
          })),
        );
        throw new Error(`nobody heard in time what became of ${JSON.stringify(seen)}`);
      });
      late.catch(() => {});
      await Promise.race([lanes, late]);
      limit.abort();
    },
  };
}
