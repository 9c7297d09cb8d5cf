// The fleet in numbers, and the devices that somebody should look at.
import type { Device } from '#contracts/http/devices.ts';
import { trustTiers, type Liveness, type TrustTier } from '#contracts/states.ts';

export interface FleetSummary {
  readonly total: number;
  readonly tiers: Readonly<Record<TrustTier, number>>;
  readonly liveness: Readonly<Record<Liveness, number>>;
  readonly waiting: number;
  readonly attention: readonly Attention[];
}

export interface Attention {
  readonly device: Device;
  readonly why: string;
}

export function summarize(devices: readonly Device[]): FleetSummary {
  const tiers = Object.fromEntries(trustTiers.map((tier) => [tier, 0])) as Record<TrustTier, number>;
  const liveness: Record<Liveness, number> = { online: 0, stale: 0, offline: 0 };
  const attention: Attention[] = [];
  for (const device of devices) {
    tiers[device.trust_tier] += 1;
    liveness[device.liveness] += 1;
    const why = attentionFor(device);
    if (why !== null) attention.push({ device, why });
  }
  const waiting = devices.filter((device) => device.pending_review !== null).length;
  return { total: devices.length, tiers, liveness, waiting, attention };
}

/** The one thing that is most wrong with a device that is meant to work. */
function attentionFor(device: Device): string | null {
  if (device.retired || device.approval_state === 'rejected') return null;
  if (device.trust_tier === 'revoked') return 'Certificate revoked';
  if (device.attestation.state === 'failed') return 'Attestation failed';
  if (device.trust_tier === 'restricted') return 'Restricted';
  if (device.approval_state !== 'approved') return null;
  if (device.certificate?.rotation === 'required') return 'Rotation required';
  if (device.certificate?.expiring_soon === true) return 'Certificate expires soon';
  if (device.attestation.state === 'stale') return 'Evidence is stale';
  if (device.liveness !== 'online') return device.liveness === 'stale' ? 'Heartbeats overdue' : 'Offline';
  return null;
}
