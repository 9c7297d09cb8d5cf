// What is not as it should be, from counts: each a filter of the fleet, the worst first.
import type { DeviceCounts, DeviceListQuery } from '#contracts/http/devices.ts';
import type { Tone } from './states.ts';

export interface Attention {
  readonly title: string;
  /** What it means, and what to do. */
  readonly advice: string;
  readonly tone: Tone;
  readonly devices: number;
  readonly filter: DeviceListQuery;
}

/** The devices that attention is asked for: those that people have approved and that are meant to work. */
export const working = { approval_state: 'approved', retired: false } as const satisfies DeviceListQuery;

/** @param counts of the working devices */
export function attentionFor({ trust_tier, liveness, rotation }: DeviceCounts): readonly Attention[] {
  const found: readonly Attention[] = [
    {
      title: 'Certificate revoked',
      advice: 'They are refused. Give them new certificates, or retire them.',
      tone: 'bad',
      devices: trust_tier.revoked,
      filter: { ...working, trust_tier: 'revoked' },
    },
    {
      title: 'Restricted',
      advice: 'Something is wrong with them. Each page says what.',
      tone: 'bad',
      devices: trust_tier.restricted,
      filter: { ...working, trust_tier: 'restricted' },
    },
    {
      title: 'Rotation required',
      advice: 'Their certificates end within days or have ended. Rotate them now.',
      tone: 'bad',
      devices: rotation.required,
      filter: { ...working, rotation: 'required', order: 'certificate_end' },
    },
    {
      title: 'Less trusted than approved',
      advice: 'A decision or evidence is missing. Each page says which.',
      tone: 'watch',
      devices: trust_tier.observed,
      filter: { ...working, trust_tier: 'observed' },
    },
    {
      title: 'Offline',
      advice: 'No heartbeat was accepted for long. See whether they should be running.',
      tone: 'watch',
      devices: liveness.offline,
      filter: { ...working, liveness: 'offline' },
    },
    {
      title: 'Heartbeats overdue',
      advice: 'They were heard a short while ago. Watch whether they come back.',
      tone: 'watch',
      devices: liveness.stale,
      filter: { ...working, liveness: 'stale' },
    },
    {
      title: 'Rotation recommended',
      advice: 'Their certificates end soon. Plan their rotation.',
      tone: 'watch',
      devices: rotation.recommended,
      filter: { ...working, rotation: 'recommended', order: 'certificate_end' },
    },
  ];
  return found.filter(({ devices }) => devices > 0);
}
