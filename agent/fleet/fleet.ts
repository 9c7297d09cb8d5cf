// The simulated devices of one process: their identities first, then each from its time on.
import { join } from 'node:path';
import { keepIdentity, type FleetIdentity } from './identity.ts';
import { runMember, type MemberDeps } from './member.ts';
import type { DevicePlan } from './plan.ts';

export interface ReadyDevice {
  readonly plan: DevicePlan;
  readonly identity: FleetIdentity;
}

/** Writing a file waits for the disk most of the time. */
const identitiesAtOnce = 16;

/** Loads or makes the identity of each device. One that cannot be made is reported, and the others go on. */
export async function prepareDevices(
  deps: Pick<MemberDeps, 'directory' | 'ca' | 'clock' | 'random' | 'log' | 'tally'>,
  plans: readonly DevicePlan[],
  signal: AbortSignal,
): Promise<readonly ReadyDevice[]> {
  const ready: ReadyDevice[] = [];
  const left = plans.values();
  const prepare = async (): Promise<void> => {
    for (const plan of left) {
      if (signal.aborted) return;
      const { deviceId, clock } = plan;
      const notBefore = clock.aheadMs > 0 ? new Date(deps.clock.now().getTime() + clock.aheadMs) : undefined;
      try {
        const file = join(deps.directory, deviceId, 'identity.pem');
        ready.push({ plan, identity: await keepIdentity(file, deviceId, deps, notBefore) });
      } catch (error) {
        cannotRun(deps, deviceId, error);
      }
    }
  };
  await Promise.all(Array.from({ length: identitiesAtOnce }, prepare));
  return ready.toSorted((a, b) => a.plan.index - b.plan.index);
}

/** Runs the devices until the signal aborts. */
export async function runFleet(deps: MemberDeps, devices: readonly ReadyDevice[], signal: AbortSignal): Promise<void> {
  const members = devices.map(async ({ plan, identity }) => {
    try {
      await deps.sleep(plan.startMs, signal);
      await runMember(deps, plan, identity, signal);
    } catch (error) {
      // A damaged file of one device must not end the others.
      if (!signal.aborted) cannotRun(deps, plan.deviceId, error);
    }
  });
  await Promise.all(members);
}

function cannotRun({ log, tally }: Pick<MemberDeps, 'log' | 'tally'>, deviceId: string, error: unknown): void {
  tally.broken(deviceId, (error as Error).message);
  log.error({ device_id: deviceId, err: error }, 'This device cannot run');
}
