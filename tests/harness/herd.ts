// Many devices in this process, as the agent is: a connection over mutual TLS each, and the agent's own schedule.
import type { HeartbeatOutcome } from '#agent/heartbeat-schedule.ts';
import type { DevelopmentCa } from '#protocols/development-ca.ts';
import { runLoneDevice } from './lone-device.ts';

export interface Herd {
  readonly ids: readonly string[];
  /** When each was last answered with 200 or 202, by a clock that never goes back. */
  readonly heardAt: ReadonlyMap<string, number>;
  /** Those that have sent a heartbeat and wait for the answer. */
  readonly waiting: ReadonlySet<string>;
  /** How often what was answered. */
  readonly outcomes: ReadonlyMap<string, number>;
  stop(): Promise<void>;
}

export interface HerdOptions {
  readonly ca: DevelopmentCa;
  readonly url: string;
  readonly count: number;
  /** The first heartbeats are spread over this time. */
  readonly overMs: number;
}

export async function startHerd({ ca, url, count, overMs }: HerdOptions): Promise<Herd> {
  const ids = Array.from({ length: count }, (_, index) => `herd-${index + 1}`);
  const heardAt = new Map<string, number>();
  const waiting = new Set<string>();
  const outcomes = new Map<string, number>();
  const stopping = new AbortController();
  const certificates = new Map<string, { certificatePem: string; keyPem: string }>();
  for (const id of ids) certificates.set(id, await ca.issueDevice({ deviceId: id }));

  const note = (id: string, outcome: HeartbeatOutcome): void => {
    const word =
      outcome.kind === 'answered' ? outcome.status : outcome.kind === 'refused' ? outcome.code : outcome.kind;
    outcomes.set(word, (outcomes.get(word) ?? 0) + 1);
    if (outcome.kind === 'answered') heardAt.set(id, performance.now());
  };
  const live = async (id: string, index: number): Promise<void> => {
    const identity = certificates.get(id);
    if (identity === undefined) throw new TypeError(`${id} has a certificate`);
    await runLoneDevice(
      {
        id,
        url,
        ca: ca.caCertificatePem,
        certificate: identity.certificatePem,
        key: identity.keyPem,
        usedCounter: 0,
        observation: { agent_version: '1.0.0', hostname: `${id}.example`, platform: 'linux' },
        delayMs: (overMs * index) / count,
        onOutcome: (outcome) => note(id, outcome),
        around:
          (send) =>
          async (...asked) => {
            waiting.add(id);
            try {
              return await send(...asked);
            } finally {
              waiting.delete(id);
            }
          },
      },
      stopping.signal,
    );
  };
  const running = Promise.allSettled(ids.map(live));
  return {
    ids,
    heardAt,
    waiting,
    outcomes,
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
