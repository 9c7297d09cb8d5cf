// One of many simulated devices in a process: its own connection over mutual TLS, and the agent's own schedule.
import { setTimeout as sleep } from 'node:timers/promises';
import { runDevice, type DeviceDeps, type Observation } from '#agent/device.ts';
import { createAgentTransport } from '#agent/transport.ts';
import { createHeartbeatClient, type SendHeartbeat } from '#client/heartbeat.ts';
import { systemRandom } from '#contracts/deps.ts';

export interface LoneDevice {
  readonly id: string;
  readonly url: string;
  /** PEM. */
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
  /** Counters up to this one are used. */
  readonly usedCounter: number;
  readonly observation: Observation;
  readonly delayMs: number;
  readonly onOutcome: DeviceDeps['onOutcome'];
  /** Watches what is sent. */
  readonly around?: (send: SendHeartbeat) => SendHeartbeat;
}

/** Runs until the signal aborts. */
export async function runLoneDevice(device: LoneDevice, signal: AbortSignal): Promise<void> {
  const { id, url, ca, certificate, key, observation, delayMs, onOutcome, around = (send) => send } = device;
  const transport = createAgentTransport({ ca, certificate, key });
  const send = createHeartbeatClient({ baseUrl: url, fetch: transport.fetch, random: systemRandom });
  let counter = device.usedCounter;
  try {
    await sleep(delayMs, undefined, { signal });
    await runDevice(
      {
        deviceId: id,
        send: around(send),
        nextCounter: async () => (counter += 1),
        observe: () => observation,
        limits: { firstIntervalSeconds: 1, pendingSeconds: 15, longestSeconds: 300 },
        random: systemRandom,
        sleep: (ms, waiting) => sleep(ms, undefined, { signal: waiting }),
        mayProceed: async () => {},
        onOutcome,
      },
      signal,
    );
  } finally {
    transport.close();
  }
}
