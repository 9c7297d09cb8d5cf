// Counts of the fleet, by everything that it can be filtered by.
import type { Clock } from '#contracts/deps.ts';
import type { DeviceCounts, DeviceCountsQuery } from '#contracts/http/devices.ts';
import { deviceApprovalStates, livenessStates, rotationAdvice, trustTiers } from '#contracts/states.ts';
import type { DeviceGroup } from '#store/device-count.ts';
import type { DeviceFilter } from '#store/device-filter.ts';
import { createKeptReadings } from './kept-readings.ts';

export interface DeviceCountsDeps {
  readonly count: (project: string, texts: Pick<DeviceFilter, 'tag' | 'search'>) => Promise<readonly DeviceGroup[]>;
  readonly clock: Clock;
}

export type CountDevices = (project: string, query: DeviceCountsQuery) => Promise<DeviceCounts>;

/** Makes the function that counts. */
export function createDeviceCounts({ count, clock }: DeviceCountsDeps): CountDevices {
  const groupsOf = createKeptReadings({
    read: ({ project, texts }: Readonly<{ project: string; texts: Pick<DeviceFilter, 'tag' | 'search'> }>) =>
      count(project, texts),
    keyOf: ({ project, texts: { tag, search } }) =>
      JSON.stringify([project, tag ?? null, search?.toLowerCase() ?? null]),
    atOnce: 2,
    clock,
  });
  return async (project, { tag, search, ...facets }) => {
    const texts = { ...(tag === undefined ? {} : { tag }), ...(search === undefined ? {} : { search }) };
    const { value: groups, at } = await groupsOf({ project, texts });
    return { ...facetsOf(groups, facets), counted_at: at.toISOString() };
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
