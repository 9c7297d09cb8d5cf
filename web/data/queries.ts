// Everything the console reads, each with its key, its pace and its place in the cache.
import { ApiProblem } from '#client/api-problem.ts';
import type { Client } from '#client/client.ts';
import type { Me } from '#contracts/http/admin.ts';
import type { ApprovalListQuery } from '#contracts/http/approvals.ts';
import type { AuditListQuery } from '#contracts/http/audit.ts';
import type { CertificateListQuery } from '#contracts/http/certificates.ts';
import type { DeviceCountsQuery, DeviceListQuery } from '#contracts/http/devices.ts';
import type { PlanPeriod, TimelineKind } from '#contracts/states.ts';
import { infiniteQueryOptions, keepPreviousData, queryOptions } from '@tanstack/react-query';

/** First parts of the keys; live events name these. */
export type Area = 'devices' | 'approvals' | 'audit' | 'sessions' | 'health' | 'me' | 'saved-filters';

/** Liveness is computed when it is read and raises no event, so what shows it is read again at this pace. */
const livenessMs = 5_000;
const quietMs = 15_000;
const waitingLimit = 50;
/** The last few say how it came to this. */
const verdictLimit = 5;

export type Queries = ReturnType<typeof createQueries>;

export function createQueries(client: Client) {
  return {
    /** The signed-in person; null for a visitor. */
    me: () =>
      queryOptions({
        queryKey: ['me'] satisfies [Area],
        queryFn: ({ signal }): Promise<Me | null> => client.admin.me({ signal }).catch(visitor),
        staleTime: 60_000,
        refetchInterval: 60_000,
      }),
    devices: (query: DeviceListQuery) =>
      queryOptions({
        queryKey: ['devices', 'list', query] satisfies [Area, ...unknown[]],
        queryFn: ({ signal }) => client.devices.list(query, { signal }),
        refetchInterval: livenessMs,
        placeholderData: keepPreviousData,
      }),
    deviceCounts: (query: DeviceCountsQuery) =>
      queryOptions({
        queryKey: ['devices', 'counts', query] satisfies [Area, ...unknown[]],
        queryFn: ({ signal }) => client.devices.counts(query, { signal }),
        refetchInterval: quietMs,
        placeholderData: keepPreviousData,
      }),
    device: (id: string) =>
      queryOptions({
        queryKey: ['devices', 'one', id] satisfies [Area, ...unknown[]],
        queryFn: ({ signal }) => client.devices.get(id, { signal }),
        refetchInterval: livenessMs,
      }),
    explanation: (id: string) =>
      queryOptions({
        queryKey: ['devices', 'explanation', id] satisfies [Area, ...unknown[]],
        queryFn: ({ signal }) => client.devices.explanation(id, { signal }),
        refetchInterval: livenessMs,
      }),
    attestation: (id: string) =>
      queryOptions({
        queryKey: ['devices', 'attestation', id] satisfies [Area, ...unknown[]],
        queryFn: ({ signal }) => client.devices.attestation(id, { signal }),
        refetchInterval: quietMs,
      }),
    verdicts: (id: string) =>
      queryOptions({
        queryKey: ['devices', 'verdicts', id] satisfies [Area, ...unknown[]],
        queryFn: ({ signal }) => client.devices.verdicts(id, { limit: verdictLimit }, { signal }),
        refetchInterval: quietMs,
      }),
    timeline: (id: string, kind: TimelineKind | undefined) =>
      infiniteQueryOptions({
        queryKey: ['devices', 'timeline', id, kind ?? null] satisfies [Area, ...unknown[]],
        queryFn: ({ signal, pageParam }) =>
          client.devices.timeline(
            id,
            {
              limit: 50,
              ...(kind === undefined ? {} : { kind }),
              ...(pageParam === null ? {} : { cursor: pageParam }),
            },
            { signal },
          ),
        initialPageParam: null as string | null,
        getNextPageParam: (page) => page.next_cursor,
        refetchInterval: quietMs,
      }),
    certificates: (query: CertificateListQuery) =>
      queryOptions({
        queryKey: ['devices', 'certificates', query] satisfies [Area, ...unknown[]],
        queryFn: ({ signal }) => client.certificates.list(query, { signal }),
        refetchInterval: quietMs,
        placeholderData: keepPreviousData,
      }),
    certificatePlan: (by: PlanPeriod) =>
      queryOptions({
        queryKey: ['devices', 'certificate plan', by] satisfies [Area, ...unknown[]],
        queryFn: ({ signal }) => client.certificates.plan({ by }, { signal }),
        refetchInterval: quietMs,
        placeholderData: keepPreviousData,
      }),
    savedFilters: () =>
      queryOptions({
        queryKey: ['saved-filters'] satisfies [Area],
        queryFn: ({ signal }) => client.savedFilters.list({ signal }),
        staleTime: 60_000,
      }),
    approvals: (query: ApprovalListQuery) =>
      queryOptions({
        queryKey: ['approvals', 'list', query] satisfies [Area, ...unknown[]],
        queryFn: ({ signal }) => client.approvals.list(query, { signal }),
        refetchInterval: quietMs,
        placeholderData: keepPreviousData,
      }),
    waiting: () =>
      queryOptions({
        queryKey: ['approvals', 'waiting'] satisfies [Area, ...unknown[]],
        queryFn: ({ signal }) => client.approvals.list({ state: 'open', limit: waitingLimit }, { signal }),
        refetchInterval: quietMs,
      }),
    approval: (id: string) =>
      queryOptions({
        queryKey: ['approvals', 'one', id] satisfies [Area, ...unknown[]],
        queryFn: ({ signal }) => client.approvals.get(id, { signal }),
        refetchInterval: quietMs,
      }),
    audit: (query: AuditListQuery) =>
      queryOptions({
        queryKey: ['audit', 'list', query] satisfies [Area, ...unknown[]],
        queryFn: ({ signal }) => client.audit.list(query, { signal }),
        refetchInterval: quietMs,
        placeholderData: keepPreviousData,
      }),
    sessions: (of: 'me' | 'everybody') =>
      queryOptions({
        queryKey: ['sessions', of] satisfies [Area, ...unknown[]],
        queryFn: ({ signal }) => client.admin.sessions({ limit: 100, of }, { signal }),
        refetchInterval: quietMs,
      }),
    ready: () =>
      queryOptions({
        queryKey: ['health', 'ready'] satisfies [Area, ...unknown[]],
        queryFn: ({ signal }) => client.health.ready({ signal }),
        refetchInterval: livenessMs,
      }),
    reasons: (wanted: boolean) =>
      queryOptions({
        queryKey: ['health', 'reasons'] satisfies [Area, ...unknown[]],
        queryFn: ({ signal }) => client.health.reasons({ signal }),
        refetchInterval: livenessMs,
        enabled: wanted,
      }),
    live: () =>
      queryOptions({
        queryKey: ['health', 'live'] satisfies [Area, ...unknown[]],
        queryFn: ({ signal }) => client.health.live({ signal }),
        staleTime: 60_000,
      }),
  };
}

function visitor(error: unknown): null {
  if (isSignedOut(error)) return null;
  throw error;
}

/** Whether the API says that nobody is signed in any more. */
export function isSignedOut(error: unknown): boolean {
  return error instanceof ApiProblem && (error.code === 'auth.required' || error.code === 'auth.session_ended');
}

export function isMissing(error: unknown): boolean {
  return error instanceof ApiProblem && error.code === 'resource.not_found';
}
