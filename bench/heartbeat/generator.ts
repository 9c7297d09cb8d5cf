// Sends heartbeats in a closed loop, in a process of its own: each connection sends its next heartbeat when the last one was
// answered. Counters rise for each device. Told what to do, and answers, by messages.
import autocannon from 'autocannon';
import { setTimeout as sleep } from 'node:timers/promises';
import { spread } from '../percentile.ts';
import { cpuSecondsOfGroups } from '../process-groups.ts';
import { deviceId, heartbeatBody, type Fleet } from './fleet-names.ts';
import { createMeasurements } from './measurements.ts';

export interface Identity {
  readonly certificate: string;
  readonly key: string;
  /** With which it signs what it measures, in PEM; each heartbeat answers the challenge of the one before then. */
  readonly measurementKey?: string;
}

export interface OpenFleet {
  readonly kind: 'fleet';
  /** What rounds call it. */
  readonly name: string;
  readonly fleet: Fleet;
  readonly url: string;
  readonly identities: readonly Identity[];
  /** Connections with the certificate of each, which share its copies; one when not said. */
  readonly connectionsEach?: number;
  /** Counters up to this one are used. */
  readonly usedCounter: number;
}

export interface RunRound {
  readonly kind: 'round';
  /** The name under which it was opened. */
  readonly fleet: string;
  /** Not counted: connections are opened, and code gets warm. */
  readonly leadMs: number;
  readonly measuredMs: number;
  /** The first of processes whose time is read when counting begins and ends. */
  readonly groups: ProcessGroups;
}

/** The first process of each. */
export type ProcessGroups = Readonly<Record<string, number>>;

export interface Round {
  readonly answered: number;
  readonly seconds: number;
  readonly p50: number;
  readonly p99: number;
  readonly processorMs: Readonly<Record<string, number>>;
}

/** What became of the heartbeats of one identity. */
export interface Counters {
  /** The counter last answered and last sent, by copy. */
  readonly answered: Uint32Array;
  readonly sent: Uint32Array;
  /** Heartbeats that were answered, of all copies together. */
  answers: number;
}

export type Command = OpenFleet | RunRound | { readonly kind: 'counters'; readonly fleet: string };
export type Reply =
  | { readonly ok: true; readonly value: Round | readonly Counters[] | null }
  | { readonly ok: false; readonly error: string };

interface Sender extends OpenFleet {
  readonly counters: readonly Counters[];
}

const senders = new Map<string, Sender>();

process.on('message', (command: Command) => {
  void carryOut(command).then(
    (value) => reply({ ok: true, value }),
    (error: unknown) => reply({ ok: false, error: (error as Error).message }),
  );
});
process.on('disconnect', () => process.exit());

function reply(message: Reply): void {
  process.send?.(message);
}

async function carryOut(command: Command): Promise<Round | readonly Counters[] | null> {
  if (command.kind === 'fleet') {
    const { fleet, usedCounter } = command;
    const fresh = (): Uint32Array => new Uint32Array(fleet.copies + 1).fill(usedCounter);
    const counters = command.identities.map(() => ({ answered: fresh(), sent: fresh(), answers: 0 }));
    senders.set(command.name, { ...command, counters });
    return null;
  }
  const sender = senders.get(command.fleet);
  if (sender === undefined) throw new Error(`no fleet is named ${command.fleet}`);
  return command.kind === 'counters' ? sender.counters : runRound(sender, command);
}

async function runRound(sender: Sender, { leadMs, measuredMs, groups }: RunRound): Promise<Round> {
  let measuring = false;
  const times: number[] = [];
  const refused = new Map<string, number>();
  const fail = (what: string): void => void refused.set(what, (refused.get(what) ?? 0) + 1);
  const report: Report = {
    answered(milliseconds) {
      if (measuring) times.push(milliseconds);
    },
    fail,
  };
  const instances = sender.identities.map((identity, index) => connect(sender, index, identity, report));
  const pids = Object.values(groups);
  await sleep(leadMs);
  const began = performance.now();
  const before = cpuSecondsOfGroups(pids);
  measuring = true;
  await sleep(measuredMs);
  measuring = false;
  const after = cpuSecondsOfGroups(pids);
  const seconds = (performance.now() - began) / 1000;
  for (const { instance } of instances) instance.stop();
  await Promise.all(instances.map(({ done }) => done));
  if (refused.size > 0) throw new Error(`${sender.name}: ${JSON.stringify(Object.fromEntries(refused))}`);
  if (times.length === 0) throw new Error(`${sender.name}: nothing was answered`);
  return {
    answered: times.length,
    seconds,
    ...spread(times),
    processorMs: Object.fromEntries(
      Object.keys(groups).map((name, index) => [name, ((after[index] ?? 0) - (before[index] ?? 0)) * 1000]),
    ),
  };
}

interface Report {
  answered(milliseconds: number): void;
  fail(what: string): void;
}

/** The connections with one certificate, which autocannon has for a whole run only: so each certificate is a run. */
function connect(sender: Sender, index: number, { certificate, key, measurementKey }: Identity, report: Report) {
  const { fleet, url, connectionsEach = 1 } = sender;
  /** A device is spoken for by one connection only. */
  const copies = Math.floor((fleet.copies + 1) / connectionsEach);
  const counters = sender.counters[index] as Counters;
  const { answered, sent } = counters;
  let connected = 0;
  const instance = autocannon(
    {
      url,
      method: 'POST',
      connections: connectionsEach,
      // Stopped from outside.
      duration: 600,
      sampleInt: 100,
      tlsOptions: { cert: certificate, key },
      headers: { 'content-type': 'application/json' },
      setupClient(client) {
        const lane = connected;
        connected += 1;
        let copy = lane;
        const measure = measurementKey === undefined ? null : createMeasurements(measurementKey);
        // Said before each request, also before the first.
        (client as NodeJS.EventEmitter).on('request', () => {
          if (copies > 1) copy = lane + connectionsEach * Math.floor(Math.random() * copies);
          const counter = (sent[copy] ?? 0) + 1;
          sent[copy] = counter;
          const id = deviceId(fleet, index, copy);
          client.setBody(heartbeatBody(id, counter, measure?.answer(id)));
        });
        if (measure !== null) client.on('body', (body: Buffer) => measure.ask(body));
        client.on('response', (status, _bytes, milliseconds) => {
          if (status < 200 || status > 299) return report.fail(`status ${status}`);
          answered[copy] = sent[copy] ?? 0;
          counters.answers += 1;
          report.answered(milliseconds);
        });
      },
    },
    (error) => {
      if (error) report.fail((error as Error).message);
    },
  );
  instance.on('reqError', (error: Error) => report.fail(error.message));
  return { instance, done: new Promise((resolve) => instance.on('done', resolve)) };
}
