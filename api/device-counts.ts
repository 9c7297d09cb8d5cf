// Counts of the fleet: one reading of it serves everybody who asks for the same in that moment, and is kept for a while.
import type { Clock } from '#contracts/deps.ts';
import type { DeviceCounts, DeviceCountsQuery } from '#contracts/http/devices.ts';
import { TrustError } from '#contracts/problems.ts';
import { deviceApprovalStates, livenessStates, rotationAdvice, trustTiers } from '#contracts/states.ts';
import type { DeviceGroup } from '#store/device-count.ts';
import type { DeviceFilter } from '#store/device-filter.ts';
import { createLanes } from './lanes.ts';

export interface DeviceCountsDeps {
  readonly count: (project: string, texts: Pick<DeviceFilter, 'tag' | 'search'>) => Promise<readonly DeviceGroup[]>;
  readonly clock: Clock;
}

export type CountDevices = (project: string, query: DeviceCountsQuery) => Promise<DeviceCounts>;

interface Reading {
  readonly groups: Promise<readonly DeviceGroup[]>;
  /** Null until it has ended. */
  ended: { readonly at: Date; readonly until: number } | null;
}

/** Counting may take this part of the database's time at most, whoever asks however often. */
const keptTimesDuration = 5;
const keptAtLeastMs = 1_000;
const keptAtMostMs = 20_000;
const keptReadings = 200;

/** Makes the function that counts. Two readings run at once, some more wait, and what comes on top is refused. */
export function createDeviceCounts({ count, clock }: DeviceCountsDeps): CountDevices {
  const readings = new Map<string, Reading>();
  const lanes = createLanes({
    width: 2,
    waiting: 20,
    refuse: () => new TrustError('service.overloaded', { facts: { retry_after_seconds: 5 } }),
  });

  function read(project: string, texts: Pick<DeviceFilter, 'tag' | 'search'>): Reading {
    const key = JSON.stringify([project, texts.tag ?? null, texts.search?.toLowerCase() ?? null]);
    const known = readings.get(key);
    if (known && (known.ended === null || clock.now().getTime() < known.ended.until)) return known;
    const reading: Reading = {
      ended: null,
      groups: lanes.run('', async () => {
        const from = clock.now().getTime();
        const groups = await count(project, texts);
        const at = clock.now();
        const keptMs = Math.min(keptAtMostMs, Math.max(keptAtLeastMs, (at.getTime() - from) * keptTimesDuration));
        reading.ended = { at, until: at.getTime() + keptMs };
        return groups;
      }),
    };
    readings.delete(key);
    readings.set(key, reading);
    for (const oldest of readings.keys()) {
      if (readings.size <= keptReadings) break;
      readings.delete(oldest);
    }
    // What failed is tried again by whoever asks next.
    reading.groups.catch(() => {
      if (readings.get(key) === reading) readings.delete(key);
    });
    return reading;
  }

  return async (project, { tag, search, ...facets }) => {
    const reading = read(project, {
      ...(tag === undefined ? {} : { tag }),
      ...(search === undefined ? {} : { search }),
    });
    const groups = await reading.groups;
    return { ...facetsOf(groups, facets), counted_at: (reading.ended?.at ?? clock.now()).toISOString() };
  };
}

type Facets = Omit<DeviceCountsQuery, 'tag' | 'search'>;

/** Sums up groups of devices that are alike. */
export function facetsOf(groups: readonly DeviceGroup[], filter: Facets): Omit<DeviceCounts, 'counted_at'> {
  const names = ['trust_tier', 'liveness', 'approval_state', 'rotation', 'pending_review', 'retired'] as const;
  type Facet = (typeof names)[number];
  /** Groups that every filter lets through, except that of the facet itself. */
  const besides = (facet: Facet | null) =>
    groups.filter((group) =>
      names.every((name) => name === facet || filter[name] === undefined || filter[name] === group[name]),
    );
  const sum = (some: readonly DeviceGroup[]) => some.reduce((total, { devices }) => total + devices, 0);
  const of = <Name extends string>(facet: Facet, values: readonly Name[]) => {
    const counted = besides(facet);
    return Object.fromEntries(
      values.map((value) => [value, sum(counted.filter((group) => String(group[facet]) === value))]),
    ) as Record<Name, number>;
  };
  return {
    matching: sum(besides(null)),
    trust_tier: of('trust_tier', trustTiers),
    liveness: of('liveness', livenessStates),
    approval_state: of('approval_state', deviceApprovalStates),
    rotation: of('rotation', rotationAdvice),
    pending_review: of('pending_review', ['true', 'false']),
    retired: of('retired', ['true', 'false']),
  };
}
