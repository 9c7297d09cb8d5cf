// Heartbeats at a fixed rate that no answer slows down, in a process of their own: thousands of devices, each with a connection
// over mutual TLS, that take no notice of being refused. Told what to do, and answers, by messages.
import { createSecureContext, connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { deviceId, heartbeatBody, type Fleet } from '../heartbeat/fleet-names.ts';
import type { Identity } from '../heartbeat/generator.ts';
import { spread } from '../percentile.ts';
import { readAnswer } from './answer.ts';

export interface OpenFlood {
  readonly kind: 'open';
  readonly url: string;
  readonly ca: string;
  /** Speaks for all copies of one device; each has a connection. */
  readonly identity: Identity;
  readonly fleet: Fleet;
  readonly usedCounter: number;
}

export interface SendFlood {
  readonly kind: 'send';
  /** Heartbeats a second. */
  readonly rate: number;
  /** Not counted, before what is. */
  readonly leadMs: number;
  readonly measuredMs: number;
}

export type FloodCommand = OpenFlood | SendFlood | { readonly kind: 'counters' };

/** What became of the heartbeats in the time that counts. */
export interface Flood {
  readonly seconds: number;
  readonly sent: number;
  /** Were to be sent, and no connection was free: each waited for an answer. */
  readonly unsent: number;
  readonly accepted: number;
  readonly acceptedMs: { readonly p50: number; readonly p99: number };
  /** Of which some were accepted. */
  readonly devices: number;
  /** Answered 429 with a time to come back, and these times. */
  readonly refused: number;
  readonly rests: readonly number[];
  /** Everything else, by status; 0 is no answer: not within ten seconds, or the connection was closed. */
  readonly others: Readonly<Record<string, number>>;
  /** Of a core, that sending took: near 1 the sender is the bound. */
  readonly busy: number;
}

export interface FloodCounters {
  readonly answered: Uint32Array;
  readonly sent: Uint32Array;
}

export type FloodReply =
  | { readonly ok: true; readonly value: Flood | FloodCounters | null }
  | { readonly ok: false; readonly error: string };

interface Connection {
  readonly copy: number;
  readonly socket: TLSSocket;
  text: string;
  sentAt: number;
  waits: boolean;
}

const handshakesAtOnce = 32;
const answerWithinMs = 10_000;
const paceMs = 1;

let flooded: Flooded | null = null;

process.on('message', (command: FloodCommand) => {
  void carryOut(command).then(
    (value) => reply({ ok: true, value }),
    (error: unknown) => reply({ ok: false, error: (error as Error).message }),
  );
});
process.on('disconnect', () => process.exit());

function reply(message: FloodReply): void {
  process.send?.(message);
}

async function carryOut(command: FloodCommand): Promise<Flood | FloodCounters | null> {
  if (command.kind === 'open') {
    flooded = await open(command);
    return null;
  }
  if (flooded === null) throw new Error('nothing is open');
  return command.kind === 'send' ? flooded.send(command) : flooded.counters;
}

interface Flooded {
  readonly counters: FloodCounters;
  send(how: SendFlood): Promise<Flood>;
}

async function open({ url, ca, identity, fleet, usedCounter }: OpenFlood): Promise<Flooded> {
  const { hostname, port, host } = new URL(url);
  const secureContext = createSecureContext({ ca, cert: identity.certificate, key: identity.key });
  const copies = fleet.copies + 1;
  const fresh = (): Uint32Array => new Uint32Array(copies).fill(usedCounter);
  const counters: FloodCounters = { answered: fresh(), sent: fresh() };
  const free: Connection[] = [];
  /** The first of those that are free; those before it are used up. */
  let firstFree = 0;
  let waiting = 0;
  let heard: ((connection: Connection, status: number, rest: number | null) => void) | null = null;

  function answered(connection: Connection, status: number, rest: number | null): void {
    connection.text = '';
    connection.waits = false;
    waiting -= 1;
    heard?.(connection, status, rest);
  }

  function receive(connection: Connection, bytes: Buffer): void {
    connection.text += bytes.toString('latin1');
    const answer = readAnswer(connection.text);
    if (answer === null) return;
    if (answer.status === 200) counters.answered[connection.copy] = counters.sent[connection.copy] ?? 0;
    answered(connection, answer.status, answer.retryAfterSeconds);
    free.push(connection);
  }

  function beat(connection: Connection): void {
    const { copy } = connection;
    const counter = (counters.sent[copy] ?? 0) + 1;
    counters.sent[copy] = counter;
    const body = heartbeatBody(deviceId(fleet, 0, copy), counter);
    connection.sentAt = performance.now();
    connection.waits = true;
    waiting += 1;
    connection.socket.write(
      `POST /api/heartbeat HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      'latin1',
    );
  }

  /** Whoever has been free for longest, and is still connected. */
  function takeFree(): Connection | undefined {
    for (let connection = free[firstFree]; connection !== undefined; connection = free[firstFree]) {
      firstFree += 1;
      if (firstFree > copies) firstFree -= free.splice(0, firstFree).length;
      if (!connection.socket.destroyed) return connection;
    }
    return undefined;
  }

  async function untilNobodyWaits(): Promise<void> {
    const limit = performance.now() + answerWithinMs;
    while (waiting > 0 && performance.now() < limit) await sleep(10);
  }

  for (let from = 0; from < copies; from += handshakesAtOnce) {
    const some = Array.from({ length: Math.min(handshakesAtOnce, copies - from) }, (_, index) => from + index);
    const sockets = await Promise.all(some.map(() => connected({ hostname, port: Number(port), secureContext })));
    for (const [index, socket] of sockets.entries()) {
      const connection: Connection = { copy: from + index, socket, text: '', sentAt: 0, waits: false };
      socket.on('data', (bytes: Buffer) => receive(connection, bytes));
      socket.on('error', () => {});
      socket.once('close', () => connection.waits && answered(connection, 0, null));
      // The server closes a connection soon that never says anything.
      beat(connection);
    }
  }
  await untilNobodyWaits();

  return {
    counters,
    async send({ rate, leadMs, measuredMs }) {
      const accepted: number[] = [];
      const devices = new Set<number>();
      const rests: number[] = [];
      const others: Record<string, number> = {};
      let [due, sent, unsent, measuring] = [0, 0, 0, false];
      heard = ({ copy, sentAt }, status, rest) => {
        if (!measuring) return;
        if (status === 200) {
          accepted.push(performance.now() - sentAt);
          devices.add(copy);
        } else if (status === 429 && rest !== null) rests.push(rest);
        else others[status] = (others[status] ?? 0) + 1;
      };
      const began = performance.now();
      let [measuredFrom, cpuBefore] = [began, process.cpuUsage()];
      for (let elapsed = 0; elapsed < leadMs + measuredMs; elapsed = performance.now() - began) {
        if (!measuring && elapsed >= leadMs) {
          measuring = true;
          [measuredFrom, cpuBefore] = [performance.now(), process.cpuUsage()];
        }
        for (; due < (rate * elapsed) / 1000; due += 1) {
          const connection = takeFree();
          if (connection !== undefined) beat(connection);
          if (measuring && connection !== undefined) sent += 1;
          else if (measuring) unsent += 1;
        }
        await sleep(paceMs);
      }
      const seconds = (performance.now() - measuredFrom) / 1000;
      const cpu = process.cpuUsage(cpuBefore);
      measuring = false;
      await untilNobodyWaits();
      if (waiting > 0) others['0'] = (others['0'] ?? 0) + waiting;
      heard = null;
      return {
        ...{ seconds, sent, unsent, rests, others },
        accepted: accepted.length,
        devices: devices.size,
        acceptedMs: spread(accepted),
        refused: rests.length,
        busy: (cpu.user + cpu.system) / 1e6 / seconds,
      };
    },
  };
}

async function connected(options: {
  readonly hostname: string;
  readonly port: number;
  readonly secureContext: SecureContext;
}): Promise<TLSSocket> {
  const socket = connectTls({ host: options.hostname, ...options });
  await once(socket, 'secureConnect');
  return socket;
}
