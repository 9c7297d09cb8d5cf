// What thieves and broken software send beside a device's own heartbeat; none of it may use up the counter that it carries.
import type { Clock } from '#contracts/deps.ts';
import type { HeartbeatBody } from '#contracts/http/heartbeat.ts';
import type { DevelopmentCa } from '#protocols/development-ca.ts';
import type { Request } from './exchange.ts';
import { issueIdentity, type FleetIdentity } from './identity.ts';
import type { DevicePlan, MishapKind } from './plan.ts';

export interface HostileDeps {
  readonly ca: DevelopmentCa;
  /** An authority that the server knows nothing of. */
  readonly foreignCa: () => Promise<DevelopmentCa>;
  readonly clock: Clock;
}

/** The heartbeat that is imitated, and the connection of its device. */
export interface Imitated {
  readonly plan: DevicePlan;
  readonly heartbeat: number;
  readonly body: HeartbeatBody;
  readonly identity: FleetIdentity;
  readonly fetch: NonNullable<Request['fetch']>;
}

const dayMs = 86_400_000;
const badCounters: readonly unknown[] = [undefined, 0, -1, 1.5, '7', 2 ** 53];

/** Null for a mishap that is none of these. */
export async function hostileRequest(
  act: MishapKind,
  { plan, heartbeat, body, identity, fetch }: Imitated,
  { ca, foreignCa, clock }: HostileDeps,
): Promise<Request | null> {
  const { deviceId, neighbourId } = plan;
  switch (act) {
    case 'bad_counter': {
      const heartbeat_counter = badCounters[heartbeat % badCounters.length];
      return { act, body: { ...body, heartbeat_counter }, identity, fetch };
    }
    case 'unknown_field':
      return { act, body: { ...body, ...{ surprise: true } }, identity, fetch, wellFormed: false };
    case 'wrong_name':
      return { act, body: { ...body, device_id: neighbourId }, identity, fetch };
    case 'no_certificate':
      return { act, body, identity: null };
    case 'foreign_authority':
      return { act, body, identity: await issueIdentity(await foreignCa(), deviceId, { issuedBy: 'somebody' }) };
    case 'expired_certificate': {
      const now = clock.now().getTime();
      const validity = { notBefore: new Date(now - 2 * dayMs), notAfter: new Date(now - dayMs) };
      return { act, body, identity: await issueIdentity(ca, deviceId, validity) };
    }
    case 'wrong_usage':
      return { act, body, identity: await issueIdentity(ca, deviceId, { usage: 'server' }) };
    default:
      return null;
  }
}
