// /api/devices: the fleet, one device, its history, and what people ask of it.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import type { Principal } from '#contracts/audit.ts';
import type { Clock } from '#contracts/deps.ts';
import { Exactly, ListQuery, ReviewBody } from '#contracts/http/common.ts';
import {
  Device,
  DeviceCounts,
  DeviceCountsQuery,
  DeviceList,
  DeviceListQuery,
  DeviceParams,
  HistoryList,
  ReasonBody,
  RevokeBody,
} from '#contracts/http/devices.ts';
import { DeviceExplanation } from '#contracts/http/explanation.ts';
import { TrustError } from '#contracts/problems.ts';
import type { DeviceOrder } from '#contracts/states.ts';
import type { Revocation } from '#store/denylist.ts';
import type { DevicePosition } from '#store/device-page.ts';
import type { DeviceRow, HistoryPosition, HistoryRow } from '#store/device.ts';
import type { DeviceFilter } from '#store/device-filter.ts';
import type { ActorNotifier } from './actor-notifier.ts';
import type { Actors } from './actors.ts';
import { signedIn } from './authorization.ts';
import { bodyMayBeLeftOut } from './body.ts';
import type { Cursors } from './cursors.ts';
import type { CountDevices } from './device-counts.ts';
import { actionId } from './idempotency.ts';
import { filterOf, readPage, type Page } from './pages.ts';
import { presentDevice, presentExplanation, presentHistory, type DevicePolicy } from './present-device.ts';
import { projectOf } from './projects.ts';
import { castVote, type VoteDeps } from './votes.ts';
import type { WorkflowLinks } from './workflow-links.ts';

export interface DevicesDeps extends VoteDeps {
  readonly devices: {
    list(
      project: string,
      filter: DeviceFilter,
      page: Page<DevicePosition> & { readonly order: DeviceOrder },
    ): Promise<readonly DeviceRow[]>;
    find(project: string, deviceId: string): Promise<DeviceRow | null>;
    /** Newest first. */
    history(project: string, deviceId: string, page: Page<HistoryPosition>): Promise<readonly HistoryRow[]>;
    /**
     * Denies the certificate for ever, in one transaction with its audit event.
     *
     * @throws TrustError `resource.not_found` | `device.no_certificate`
     */
    revoke(project: string, revocation: Revocation): Promise<void>;
  };
  readonly count: CountDevices;
  readonly actors: Pick<Actors, 'vote' | 'reset' | 'retire'>;
  readonly notifier: ActorNotifier;
  readonly cursors: Cursors;
  readonly links: WorkflowLinks;
  readonly policy: DevicePolicy;
  readonly clock: Clock;
}

export const deviceRoutes: FastifyPluginAsyncTypebox<DevicesDeps> = async (app, deps) => {
  const { devices, actors, cursors } = deps;
  const present = (row: DeviceRow) => presentDevice(row, deps.clock.now(), deps.policy, deps.links);

  app.get(
    '/api/devices',
    {
      config: { access: 'device.read' },
      schema: {
        operationId: 'listDevices',
        tags: ['devices'],
        summary: 'Devices by id, newest first, or those first whose certificates end soonest',
        querystring: DeviceListQuery,
        response: { 200: DeviceList },
      },
    },
    async (request) => {
      const project = projectOf(request);
      const { order = 'device_id', ...filter } = filterOf(request.query);
      const { rows, next_cursor } = await readPage(
        cursors,
        ['devices', project, order, filter],
        request.query,
        (page: Page<Place>) => devices.list(project, filter, { ...page, order }),
        (row) => ({ device_id: row.device_id, at: timeFor[order](row) }),
      );
      return { items: rows.map(present), next_cursor };
    },
  );

  app.get(
    '/api/fleet/counts',
    {
      config: { access: 'device.read' },
      schema: {
        operationId: 'countDevices',
        tags: ['devices'],
        summary:
          'How many devices a list would have, by everything that it can be filtered by; some seconds old at most',
        querystring: DeviceCountsQuery,
        response: { 200: DeviceCounts },
      },
    },
    (request) => deps.count(projectOf(request), request.query),
  );

  app.get(
    '/api/devices/:device_id',
    {
      config: { access: 'device.read' },
      schema: {
        operationId: 'getDevice',
        tags: ['devices'],
        summary: 'One device',
        params: DeviceParams,
        response: { 200: Device },
      },
    },
    async (request) => present(await requireDevice(request, request.params.device_id)),
  );

  app.get(
    '/api/devices/:device_id/explanation',
    {
      config: { access: 'device.read' },
      schema: {
        operationId: 'explainDevice',
        tags: ['devices'],
        summary: 'Why a device has its tier, what holds it there, and what would change that',
        params: DeviceParams,
        response: { 200: DeviceExplanation },
      },
    },
    async (request) =>
      presentExplanation(await requireDevice(request, request.params.device_id), deps.clock.now(), deps.policy),
  );

  app.get(
    '/api/devices/:device_id/history',
    {
      config: { access: 'device.read' },
      schema: {
        operationId: 'getDeviceHistory',
        tags: ['devices'],
        summary: 'Every transition of a device, newest first, also of those that Temporal has let go of',
        params: DeviceParams,
        querystring: Exactly(ListQuery),
        response: { 200: HistoryList },
      },
    },
    async (request) => {
      const { project_id: project, device_id: id } = await requireDevice(request, request.params.device_id);
      const { rows, next_cursor } = await readPage(
        cursors,
        ['history', project, id],
        request.query,
        (page: Page<HistoryPosition>) => devices.history(project, id, page),
        ({ epoch, revision }) => ({ epoch, revision }),
      );
      return { items: rows.map(presentHistory), next_cursor };
    },
  );

  app.post(
    '/api/devices/:device_id/identity-review',
    {
      config: { access: 'identity.review' },
      schema: {
        operationId: 'reviewIdentity',
        tags: ['devices'],
        summary: 'Vote on the review that the device waits for',
        params: DeviceParams,
        body: ReviewBody,
        response: { 200: Device },
      },
    },
    async (request) => {
      const { device_id: id } = request.params;
      const { grant } = await requireDevice(request, id);
      if (!grant?.review) throw new TrustError('device.no_pending_review');
      await castVote(request, grant.review.id, request.body, deps);
      return present(await requireDevice(request, id));
    },
  );

  app.post(
    '/api/devices/:device_id/certificate/revoke',
    {
      // What takes trust away waits for nothing but Postgres.
      config: { access: 'certificate.revoke', sealing: 'not-needed' },
      schema: {
        operationId: 'revokeCertificate',
        tags: ['devices'],
        summary: 'Revoke the certificate of a device; holds at once, also while Temporal is away',
        params: DeviceParams,
        body: RevokeBody,
        response: { 200: Device },
      },
      preValidation: bodyMayBeLeftOut,
    },
    async (request) => {
      const { device_id: id } = request.params;
      const { project_id: project } = await requireDevice(request, id);
      await devices.revoke(project, {
        device_id: id,
        fingerprint_sha256: request.body.fingerprint_sha256 ?? null,
        reason: request.body.reason ?? null,
        by: principalOf(request),
        request_id: request.id,
      });
      deps.notifier.notify({ project, id }, false);
      return present(await requireDevice(request, id));
    },
  );

  for (const [action, access, summary] of [
    ['reset', 'device.reset', 'Clear pin and counter: the device starts again as pending'],
    ['retire', 'device.retire', 'Take the device out of service'],
  ] as const) {
    app.post(
      `/api/devices/:device_id/${action}`,
      {
        config: { access },
        schema: {
          operationId: `${action}Device`,
          tags: ['devices'],
          summary,
          params: DeviceParams,
          body: ReasonBody,
          response: { 200: Device },
        },
        preValidation: bodyMayBeLeftOut,
      },
      async (request) => {
        const { device_id: id } = request.params;
        const { project_id: project } = await requireDevice(request, id);
        await actors[action](
          { project, id },
          { by: principalOf(request), request_id: actionId(request), reason: request.body.reason ?? null },
        );
        return present(await requireDevice(request, id));
      },
    );
  }

  async function requireDevice(request: FastifyRequest, id: string): Promise<DeviceRow> {
    const row = await devices.find(projectOf(request), id);
    if (row === null) throw new TrustError('resource.not_found', { detail: 'There is no such device' });
    return row;
  }

  function principalOf(request: FastifyRequest): Principal {
    return { kind: 'user', id: signedIn(request).username, ip: deps.proxy.clientAddress(request) };
  }
};

type Place = { device_id: string; at: string | null };

const timeFor: Record<DeviceOrder, (row: DeviceRow) => string | null> = {
  device_id: () => null,
  first_seen: ({ liveness }) => liveness?.first_seen_at ?? null,
  certificate_end: ({ grant }) => grant?.pinned_certificate?.not_after ?? null,
};
