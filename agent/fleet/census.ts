// After a run: what the API has on record about each device, compared with what the devices did.
import type { Client } from '#client/client.ts';
import type { Device } from '#contracts/http/devices.ts';
import type { Judge } from './judge.ts';
import type { Known } from './oracle.ts';

export interface Census {
  /** Devices of this fleet that the API knows. */
  readonly found: number;
  /** How many of them are on record with each version of the agent. */
  readonly versions: Readonly<Record<string, number>>;
}

interface Difference {
  readonly expected: string;
  readonly answered: string;
  readonly detail: string;
}

const pageSize = 500;

/** @param fleet first part of the names of its devices */
export async function takeCensus(client: Client, fleet: string, judge: Judge, signal: AbortSignal): Promise<Census> {
  const records = await listFleet(client, `${fleet}-`, signal);
  const versions: Record<string, number> = {};
  for (const { agent_version } of records.values()) {
    const version = agent_version ?? 'none';
    versions[version] = (versions[version] ?? 0) + 1;
  }
  for (const [deviceId, known] of judge.all()) {
    for (const difference of differences(known, records.get(deviceId) ?? null))
      judge.object(deviceId, 'census', difference);
  }
  return { found: records.size, versions };
}

async function listFleet(client: Client, prefix: string, signal: AbortSignal): Promise<ReadonlyMap<string, Device>> {
  const found = new Map<string, Device>();
  let cursor: string | undefined;
  do {
    const page = await client.devices.list(
      { search: prefix, limit: pageSize, ...(cursor === undefined ? {} : { cursor }) },
      { signal },
    );
    for (const device of page.items) if (device.device_id.startsWith(prefix)) found.set(device.device_id, device);
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
  return found;
}

/** What is on record and cannot have come about. */
export function differences(known: Known, record: Device | null): Difference[] {
  if (record === null) {
    if (known.seen !== 'yes') return [];
    return [{ expected: 'on record', answered: 'unknown', detail: 'the API has forgotten this device' }];
  }
  if (known.seen === 'no') {
    return [{ expected: 'unknown', answered: 'on record', detail: 'nothing that was accepted made this device known' }];
  }
  const states = { waiting: ['pending'], approving: ['pending', 'approved'], rejecting: ['pending', 'rejected'] };
  const found: (Difference | null)[] = [];
  const { identity, counter, versions } = known;
  if (identity === 'unknown') return [];
  found.push(
    unlike(
      'approval_state',
      identity in states ? states[identity as keyof typeof states] : [identity],
      record.approval_state,
    ),
  );
  if (identity === 'approved') {
    const recorded = record.heartbeat_counter ?? 0;
    if (recorded < counter.used || recorded > counter.perhaps)
      found.push({
        expected: `heartbeat_counter ${counter.used} to ${counter.perhaps}`,
        answered: String(recorded),
        detail: 'the counter on record is not one that was used',
      });
    const pins = known.rotation?.decision === 'approve' ? [known.rotation.fingerprint] : [];
    found.push(
      unlike('fingerprint_sha256', [...pins, known.pinned ?? ''], record.certificate?.fingerprint_sha256 ?? 'none'),
    );
    if (versions.length > 0) found.push(unlike('agent_version', versions, record.agent_version ?? 'none'));
  }
  return found.flatMap((difference) => difference ?? []);
}

function unlike(field: string, expected: readonly string[], answered: string): Difference | null {
  if (expected.includes(answered)) return null;
  return {
    expected: `${field} ${expected.join(' or ')}`,
    answered,
    detail: `${field} on record is not what the device and its approver brought about`,
  };
}
