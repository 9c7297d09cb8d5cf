// What people can do to a device: each act with its consequence, who may, and when it makes no sense.
import type { Client } from '#client/client.ts';
import type { Device } from '#contracts/http/devices.ts';
import type { Permission } from '#contracts/permissions.ts';

export interface DeviceAct {
  /** What is asked for. */
  readonly name: 'retire' | 'reset' | 'revoke';
  readonly verb: string;
  readonly permission: Permission;
  readonly summary: string;
  readonly consequences: readonly string[];
  readonly done: string;
  /** Why it makes no sense now. */
  readonly pointless: (device: Device) => string | null;
  readonly run: (client: Client, device: Device, body: { reason?: string }) => Promise<Device>;
}

export const deviceActs: readonly DeviceAct[] = [
  {
    name: 'retire',
    verb: 'Retire the device',
    permission: 'device.retire',
    summary: 'Takes it out of service. Its heartbeats are refused; what is known of it stays.',
    consequences: [
      'Its heartbeats are refused from now on.',
      'Its tier becomes restricted.',
      'A review that waits is cancelled. A reset takes the device back.',
    ],
    done: 'The device is retired',
    pointless: (device) => (device.retired ? 'It is retired already.' : null),
    run: (client, device, body) => client.devices.retire(device.device_id, body),
  },
  {
    name: 'reset',
    verb: 'Reset the device',
    permission: 'device.reset',
    summary: 'Forgets its certificate and counter, and lets it ask for approval again.',
    consequences: [
      'Its pinned certificate and heartbeat counter are cleared, and a new epoch begins.',
      'It is pending again until people approve it; you count as requester and cannot vote.',
      'A certificate that was revoked stays refused.',
    ],
    done: 'The device is reset',
    pointless: () => null,
    run: (client, device, body) => client.devices.reset(device.device_id, body),
  },
  {
    name: 'revoke',
    verb: 'Revoke the certificate',
    permission: 'certificate.revoke',
    summary: 'Takes its trust away at once. The certificate is refused for ever, also after a reset.',
    consequences: [
      'The certificate is refused at once and for ever, also after a reset.',
      'The tier becomes revoked; commands and access that depend on it end.',
      'With a new certificate the device can ask for approval again.',
    ],
    done: 'The certificate is revoked',
    pointless: (device) => {
      if (device.trust_tier === 'revoked') return 'Its certificate is revoked already.';
      return device.certificate === null ? 'It has no certificate to revoke.' : null;
    },
    run: (client, device, body) =>
      client.devices.revoke(device.device_id, {
        ...body,
        // What the person saw: if another certificate is pinned by now, it is not the one they meant.
        ...(device.certificate === null ? {} : { fingerprint_sha256: device.certificate.fingerprint_sha256 }),
      }),
  },
];
