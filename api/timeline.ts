// GET /api/devices/:device_id/timeline: all that happened to a device in one list, and when it was heard.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Clock } from '#contracts/deps.ts';
import { DeviceParams } from '#contracts/http/devices.ts';
import { DeviceTimeline, TimelineQuery, type TimelineEntry } from '#contracts/http/timeline.ts';
import { timelineKinds, type TimelineKind } from '#contracts/states.ts';
import { TrustError } from '#contracts/problems.ts';
import { livenessOf } from '#machines/liveness.ts';
import type { DeviceRow } from '#store/device.ts';
import type { Silence, TimelinePosition, TimelineRow } from '#store/timeline.ts';
import { presentAuditEvent } from './audit.ts';
import { requirePermission, signedIn } from './authorization.ts';
import type { Cursors } from './cursors.ts';
import { readPage, type Page } from './pages.ts';
import { countedBy, presentHistory, type DevicePolicy } from './present-device.ts';
import { projectOf } from './projects.ts';

export interface TimelineDeps {
  readonly findDevice: (project: string, deviceId: string) => Promise<DeviceRow | null>;
  readonly listTimeline: (
    project: string,
    deviceId: string,
    kinds: readonly TimelineKind[],
    page: Page<TimelinePosition>,
  ) => Promise<readonly TimelineRow[]>;
  /** Those that ended after a time, the newest first, and the newest in any case. */
  readonly listSilences: (project: string, deviceId: string, since: string) => Promise<readonly Silence[]>;
  readonly cursors: Cursors;
  readonly policy: DevicePolicy;
  readonly clock: Clock;
}

const presenceMs = 24 * 60 * 60 * 1000;

export const timelineRoutes: FastifyPluginAsyncTypebox<TimelineDeps> = async (app, deps) => {
  app.get(
    '/api/devices/:device_id/timeline',
    {
      config: { access: 'device.read' },
      schema: {
        operationId: 'getDeviceTimeline',
        tags: ['devices'],
        summary: 'Transitions, audit events and heartbeats after silence in one list, newest first',
        params: DeviceParams,
        querystring: TimelineQuery,
        response: { 200: DeviceTimeline },
      },
    },
    async (request) => {
      const project = projectOf(request);
      const { kind, ...query } = request.query;
      const person = signedIn(request);
      if (kind === 'audit') requirePermission(person, 'audit.read');
      // Without being asked for, what somebody may not read is left out.
      const readable = timelineKinds.filter((one) => one !== 'audit' || person.permissions.has('audit.read'));
      const kinds = kind === undefined ? readable : [kind];
      const row = await deps.findDevice(project, request.params.device_id);
      if (row === null) throw new TrustError('resource.not_found', { detail: 'There is no such device' });
      const id = row.device_id;
      const [{ rows, next_cursor }, presence] = await Promise.all([
        readPage(
          deps.cursors,
          ['timeline', project, id, kinds],
          query,
          (page: Page<TimelinePosition>) => deps.listTimeline(project, id, kinds, page),
          ({ at, kind: of, key }) => ({ at, kind: of, key }),
        ),
        presenceOf(project, row),
      ]);
      return { items: rows.map(presentEntry), next_cursor, kinds: [...kinds], presence };
    },
  );

  async function presenceOf(project: string, row: DeviceRow): Promise<DeviceTimeline['presence']> {
    const now = deps.clock.now();
    const [since, until] = [new Date(now.getTime() - presenceMs).toISOString(), now.toISOString()];
    const { first_seen_at = null, last_seen_at = null } = row.liveness ?? {};
    const liveness = livenessOf(last_seen_at, until, deps.policy);
    const silences = await deps.listSilences(project, row.device_id, since);
    const isOnline = liveness === 'online';
    return {
      liveness,
      last_seen_at,
      online_since: isOnline ? (silences[0]?.until ?? first_seen_at) : null,
      heartbeat_counter: countedBy(row),
      since,
      until,
      silences: [
        ...(isOnline ? [] : [{ from: last_seen_at ?? since, until }]),
        ...silences.filter(({ until: end }) => end > since),
        ...(first_seen_at !== null && first_seen_at > since ? [{ from: since, until: first_seen_at }] : []),
      ],
    };
  }
};

function presentEntry(row: TimelineRow): TimelineEntry {
  const { kind, at } = row;
  return {
    kind,
    at,
    transition: kind === 'transition' ? presentHistory(row.transition) : null,
    audit: kind === 'audit' ? presentAuditEvent(row.audit) : null,
    silence: kind === 'heartbeat' && row.silent_since !== null ? { from: row.silent_since, until: at } : null,
  };
}
