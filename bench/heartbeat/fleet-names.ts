// The devices of a bench: some that were enrolled, each with a certificate of its own, and copies of them in the tables.

export interface Fleet {
  /** Begins the names of its devices. */
  readonly name: string;
  /** Devices with a certificate, and connections of a round. */
  readonly identities: number;
  /** Copies of each in the tables: they have the same certificate pinned. */
  readonly copies: number;
}

/** @param copy 0 for the device that was enrolled */
export function deviceId({ name }: Pick<Fleet, 'name'>, identity: number, copy: number): string {
  return copy === 0 ? `${name}-${identity}` : `${name}-${identity}-${copy}`;
}

/** A steady device says the same each time; all say the same, so that a copy is as steady as what it was copied from. */
export function heartbeatBody(device_id: string, heartbeat_counter: number, attestation?: object): string {
  return JSON.stringify({
    device_id,
    heartbeat_counter,
    agent_version: '1.4.2',
    hostname: 'kiosk.example',
    platform: 'linux 6.12 x86_64',
    tags: ['berlin', 'kiosk'],
    posture: { disk_encrypted: true, firewall: true, secure_boot: true, pending_updates: 3 },
    attestation,
  });
}
