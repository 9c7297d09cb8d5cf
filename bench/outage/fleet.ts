// Devices of the outage bench, in a process of their own: each has a connection over mutual TLS and the agent's schedule.
// Told what to do, and answers, by messages.
import type { HeartbeatOutcome } from '#agent/heartbeat-schedule.ts';
import type { HeartbeatBody } from '#contracts/http/heartbeat.ts';
import { runLoneDevice } from '#tests/harness/lone-device.ts';
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
  const { device_id: _, heartbeat_counter: __, ...observation } = JSON.parse(heartbeatBody(id, 0)) as HeartbeatBody;
  const onOutcome = (outcome: HeartbeatOutcome): void => note(id, outcome);
  await runLoneDevice(
    { id, url, ca, certificate, key, usedCounter, observation, delayMs, onOutcome },
    new AbortController().signal,
  );
}

function note(id: string, outcome: HeartbeatOutcome): void {
  const word = outcome.kind === 'answered' ? outcome.status : outcome.kind === 'refused' ? outcome.code : 'no answer';
  outcomes[word] = (outcomes[word] ?? 0) + 1;
  if (outcome.kind === 'answered') heardAt.set(id, Date.now());
}
