// Publishes what time has done: a device whose evidence counts no longer has lost its tier already, whether anybody looks or not.
import type { Clock, Log } from '#contracts/deps.ts';
import type { DeviceKey, Sweep } from '#store/reconcile.ts';
import type { Attestation } from './attestation.ts';
import type { DeviceRef } from './actors.ts';

export interface StaleEvidenceDeps {
  /** Of the next page of standings, those that have gone stale. */
  readonly staleStandings: (after: DeviceKey | null, limit: number, now: Date) => Promise<Sweep<DeviceKey, DeviceKey>>;
  readonly attestation: Pick<Attestation, 'lowerStale'>;
  readonly notify: (device: DeviceRef) => void;
  readonly clock: Clock;
  readonly log: Pick<Log, 'error'>;
  readonly intervalMs?: number;
  readonly pageSize?: number;
}

export interface StaleEvidence {
  /** Looks at the next page, and goes round. Never rejects. */
  sweep(): Promise<void>;
  close(): Promise<void>;
}

export function createStaleEvidence(deps: StaleEvidenceDeps): StaleEvidence {
  const { attestation, clock, log, intervalMs = 5_000, pageSize = 5_000 } = deps;
  let after: DeviceKey | null = null;
  let sweeping: Promise<void> | null = null;

  async function sweepPage(): Promise<void> {
    const { items, next } = await deps.staleStandings(after, pageSize, clock.now());
    for (const [project, devices] of Map.groupBy(items, (item) => item.project)) {
      const lowered = await attestation.lowerStale(
        project,
        devices.map(({ device_id }) => device_id),
      );
      for (const id of lowered) deps.notify({ project, id });
    }
    after = next;
  }

  function sweep(): Promise<void> {
    sweeping ??= sweepPage()
      .catch((error: unknown) => log.error({ err: error }, 'stale evidence was not announced; this is tried again'))
      .finally(() => (sweeping = null));
    return sweeping;
  }

  const timer = setInterval(() => void sweep(), intervalMs);
  timer.unref();

  return {
    sweep,
    async close() {
      clearInterval(timer);
      await sweeping;
    },
  };
}
