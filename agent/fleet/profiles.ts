// What the simulated devices say about themselves: varied, and the same after every restart.
import type { Observation } from '../device.ts';

export interface Profile {
  readonly deviceId: string;
  readonly site: (typeof sites)[number];
  /** What is observed at the given heartbeat since the start; now and then it changes, as with real devices. */
  observe(heartbeat: number): Observation;
}

const kinds = [
  { site: 'fra', role: 'edge', platform: 'linux-x64', os_version: 'Debian 13.2', tags: ['edge', 'site:fra'] },
  {
    site: 'ber',
    role: 'desk',
    platform: 'windows-x64',
    os_version: 'Windows 11 24H2',
    tags: ['workplace', 'site:ber'],
  },
  { site: 'muc', role: 'mac', platform: 'darwin-arm64', os_version: 'macOS 15.6', tags: ['workplace', 'site:muc'] },
  { site: 'ham', role: 'pos', platform: 'linux-arm64', os_version: 'Ubuntu 24.04.3', tags: ['kiosk', 'site:ham'] },
  // Sensitive only where SENTINEL_SENSITIVE_TAGS says so.
  {
    site: 'fra',
    role: 'db',
    platform: 'linux-x64',
    os_version: 'RHEL 9.6',
    tags: ['production', 'payments', 'site:fra'],
  },
  { site: 'lab', role: 'bench', platform: 'linux-arm64', os_version: 'Fedora 43', tags: ['lab'] },
] as const;
/** Heartbeats after which a device finds other updates waiting. */
const updatesChangeEvery = 40;

export const sites = ['fra', 'ber', 'muc', 'ham', 'lab'] as const;

/** @param fleet first part of the names of its devices */
export function profileOf(fleet: string, index: number): Profile {
  const kind = kinds[index % kinds.length] ?? kinds[0];
  const number = String(index + 1).padStart(3, '0');
  const steady = {
    agent_version: index % 5 === 3 ? '0.0.9' : '0.1.0',
    hostname: `${kind.site}-${kind.role}-${number}.example`,
    platform: kind.platform,
    tags: [...kind.tags],
    posture: {
      os_version: kind.os_version,
      disk_encrypted: index % 7 !== 5,
      firewall_enabled: true,
      secure_boot: kind.role !== 'bench',
      screen_lock_seconds: kind.role === 'desk' || kind.role === 'mac' ? 300 : null,
    },
  };
  return {
    deviceId: `${fleet}-${number}`,
    site: kind.site,
    observe: (heartbeat) => {
      const round = Math.floor(heartbeat / updatesChangeEvery);
      return { ...steady, posture: { ...steady.posture, pending_updates: (index * 3 + round) % 5 } };
    },
  };
}
