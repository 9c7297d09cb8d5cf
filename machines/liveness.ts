// Whether a device is heard: a matter of time alone, which never changes its tier.
import type { Settings } from '#contracts/settings.ts';
import type { Liveness } from '#contracts/states.ts';

export type LivenessPolicy = Pick<Settings, 'SENTINEL_DEVICE_STALE_SECONDS' | 'SENTINEL_DEVICE_OFFLINE_SECONDS'>;

export function livenessOf(lastSeenAt: string | null, now: string, policy: LivenessPolicy): Liveness {
  if (lastSeenAt === null) return 'offline';
  const silentSeconds = (Date.parse(now) - Date.parse(lastSeenAt)) / 1000;
  if (silentSeconds >= policy.SENTINEL_DEVICE_OFFLINE_SECONDS) return 'offline';
  return silentSeconds >= policy.SENTINEL_DEVICE_STALE_SECONDS ? 'stale' : 'online';
}
