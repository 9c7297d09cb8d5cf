// The fleet in numbers, over all projects, for metrics: read behind the one who asks, so that a scrape never waits for a million rows.
import type { Clock, Log } from '#contracts/deps.ts';
import type { OpenApprovals } from '#store/approval.ts';
import type { DeviceGroup } from '#store/device-count.ts';

export interface FleetReading {
  readonly devices: readonly Pick<DeviceGroup, 'trust_tier' | 'liveness' | 'approval_state' | 'devices'>[];
  readonly approvals: readonly OpenApprovals[];
}

export interface FleetReadingDeps {
  readonly projects: () => Promise<readonly string[]>;
  readonly countDevices: (project: string) => Promise<readonly DeviceGroup[]>;
  readonly openApprovals: (project: string) => Promise<readonly OpenApprovals[]>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Counting reads every row, so it is done this seldom, however often somebody scrapes. */
const keptMs = 60_000;
/** What is older than this is not shown as if it were the present. */
const staleMs = 300_000;

/** Makes the function that tells the last reading and has it renewed when it is old. @throws Error when there is none */
export function createFleetReading(deps: FleetReadingDeps): () => Promise<FleetReading> {
  let last: { readonly at: number; readonly reading: FleetReading } | null = null;
  let startedAt = Number.NEGATIVE_INFINITY;
  let running: Promise<void> | null = null;

  async function read(): Promise<void> {
    const devices: DeviceGroup[] = [];
    const approvals: OpenApprovals[] = [];
    // One after another: a reading may take long, and nobody waits for it.
    for (const project of await deps.projects()) {
      devices.push(...(await deps.countDevices(project)).filter(({ retired }) => !retired));
      approvals.push(...(await deps.openApprovals(project)));
    }
    const groups = devices.map(({ trust_tier, liveness, approval_state, devices: count }) => ({
      trust_tier,
      liveness,
      approval_state,
      devices: count,
    }));
    last = { at: deps.clock.now().getTime(), reading: { devices: groups, approvals } };
  }

  return async () => {
    const now = deps.clock.now().getTime();
    if (running === null && now - startedAt >= keptMs) {
      startedAt = now;
      running = read()
        .catch((error: unknown) => deps.log.warn({ err: error }, 'the fleet could not be counted for metrics'))
        .finally(() => (running = null));
    }
    // Only the first one waits: there is nothing yet that it could be told.
    if (last === null) await running;
    if (last === null || now - last.at > staleMs) throw new Error('the fleet was not counted for a while');
    return last.reading;
  };
}
