// Devices of the overload bench, in a process of their own: each has a connection over mutual TLS and the agent's schedule.
// Told what to do, and answers, by messages.
import { setTimeout as sleep } from 'node:timers/promises';
import { runDevice } from '#agent/device.ts';
import type { HeartbeatOutcome } from '#agent/heartbeat-schedule.ts';
import { createAgentTransport } from '#agent/transport.ts';
import { createHeartbeatClient } from '#client/heartbeat.ts';
import { systemRandom } from '#contracts/deps.ts';
import { deviceId, heartbeatBody, type Fleet } from '../heartbeat/fleet-names.ts';
import type { Identity } from '../heartbeat/generator.ts';

export interface StartFleet {
  readonly kind: 'start';
  readonly url: string;
  readonly ca: string;
  readonly fleet: Fleet;
  readonly identities: readonly Identity[];
  readonly usedCounter: number;
  /** The first heartbeats are spread over this time. */
  readonly overMs: number;
}

export type FleetCommand =
  | StartFleet
  /** How many devices were answered since then, in milliseconds of Unix time, and how often what was answered since it was asked last. */
  | { readonly kind: 'heard'; readonly since: number };

export interface Heard {
  readonly devices: number;
  readonly outcomes: Readonly<Record<string, number>>;
}

const heardAt = new Map<string, number>();
let outcomes: Record<string, number> = {};

process.on('message', (command: FleetCommand) => {
  if (command.kind === 'start') start(command);
  else {
    const devices = [...heardAt.values()].filter((at) => at >= command.since).length;
    process.send?.({ devices, outcomes } satisfies Heard);
    outcomes = {};
  }
});
process.on('disconnect', () => process.exit());

function start({ fleet, overMs, ...options }: StartFleet): void {
  const copies = fleet.copies + 1;
  for (let index = 0; index < fleet.identities * copies; index += 1) {
    const identity = options.identities[index % fleet.identities];
    if (identity === undefined) throw new RangeError('an identity is missing');
    const id = deviceId(fleet, index % fleet.identities, Math.floor(index / fleet.identities));
    const delayMs = (overMs * index) / (fleet.identities * copies);
    void live(id, identity, delayMs, options);
  }
}

async function live(
  id: string,
  { certificate, key }: Identity,
  delayMs: number,
  { url, ca, usedCounter }: Pick<StartFleet, 'url' | 'ca' | 'usedCounter'>,
): Promise<void> {
  const { fetch } = createAgentTransport({ ca, certificate, key });
  let counter = usedCounter;
  const {
    device_id: _,
    heartbeat_counter: __,
    ...said
  } = JSON.parse(heartbeatBody(id, 0)) as never as Record<string, unknown>;
  await sleep(delayMs);
  await runDevice(
    {
      deviceId: id,
      send: createHeartbeatClient({ baseUrl: url, fetch, random: systemRandom }),
      nextCounter: async () => (counter += 1),
      observe: () => said as never,
      limits: { firstIntervalSeconds: 1, pendingSeconds: 15, longestSeconds: 300 },
      random: systemRandom,
      sleep: (ms, signal) => sleep(ms, undefined, { signal }),
      mayProceed: async () => {},
      onOutcome: (outcome) => note(id, outcome),
    },
    new AbortController().signal,
  );
}

function note(id: string, outcome: HeartbeatOutcome): void {
  const word = outcome.kind === 'answered' ? outcome.status : outcome.kind === 'refused' ? outcome.code : 'no answer';
  outcomes[word] = (outcomes[word] ?? 0) + 1;
  if (outcome.kind === 'answered') heardAt.set(id, Date.now());
}
