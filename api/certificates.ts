// /api/certificates: what ends when, across the fleet.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Clock } from '#contracts/deps.ts';
import {
  CertificateList,
  CertificateListQuery,
  CertificatePlan,
  CertificatePlanQuery,
  type ListedCertificate,
} from '#contracts/http/certificates.ts';
import type { PlanPeriod } from '#contracts/states.ts';
import { certificateLife, dayMs } from '#machines/certificate-life.ts';
import { frameOfPlan, sumPlan } from '#machines/certificate-plan.ts';
import type { CertificateFilter, CertificatePosition, CertificateRow } from '#store/certificate.ts';
import type { Cursors } from './cursors.ts';
import { createKeptReadings } from './kept-readings.ts';
import { filterOf, readPage, type Page } from './pages.ts';
import { effectiveTierOf, presentCertificate, type DevicePolicy } from './present-device.ts';
import { projectOf } from './projects.ts';

export interface CertificatesDeps {
  readonly listCertificates: (
    project: string,
    filter: CertificateFilter,
    page: Page<CertificatePosition>,
  ) => Promise<readonly CertificateRow[]>;
  /** How many pinned ones end before the first bound, between each and the next, and from the last on. */
  readonly countCertificates: (project: string, bounds: readonly string[]) => Promise<readonly number[]>;
  readonly cursors: Cursors;
  readonly policy: DevicePolicy;
  readonly clock: Clock;
}

export const certificateRoutes: FastifyPluginAsyncTypebox<CertificatesDeps> = async (app, deps) => {
  app.get(
    '/api/certificates',
    {
      config: { access: 'device.read' },
      schema: {
        operationId: 'listCertificates',
        tags: ['certificates'],
        summary: 'Pinned certificates and those under review, the one that ends first at the top',
        querystring: CertificateListQuery,
        response: { 200: CertificateList },
      },
    },
    async (request) => {
      const project = projectOf(request);
      const now = deps.clock.now();
      const filter = filterOf(request.query);
      const range = rangeOf(filter, now, deps.policy);
      const { rows, next_cursor } = await readPage(
        deps.cursors,
        ['certificates', project, filter],
        request.query,
        async (page: Page<CertificatePosition>) =>
          range === null ? [] : deps.listCertificates(project, { ...range, ...others(filter) }, page),
        ({ not_after, device_id, role }) => ({ not_after, device_id, role }),
      );
      return { items: rows.map((row) => presentListed(row, now, deps.policy)), next_cursor };
    },
  );

  const plan = createKeptReadings({
    async read({ project, by }: { readonly project: string; readonly by: PlanPeriod }) {
      const frame = frameOfPlan(deps.clock.now().toISOString(), by, deps.policy);
      const counts = await deps.countCertificates(project, frame.bounds);
      return { counted_at: frame.now, ...sumPlan(frame, counts, deps.policy) };
    },
    keyOf: ({ project, by }) => JSON.stringify([project, by]),
    atOnce: 1,
    clock: deps.clock,
  });

  app.get(
    '/api/certificates/plan',
    {
      config: { access: 'device.read' },
      schema: {
        operationId: 'planCertificates',
        tags: ['certificates'],
        summary: 'How many pinned certificates end in which week or month; some seconds old at most',
        querystring: CertificatePlanQuery,
        response: { 200: CertificatePlan },
      },
    },
    async (request) => {
      const { by = 'week' } = request.query;
      const { periods, ...rest } = (await plan({ project: projectOf(request), by })).value;
      return { by, ...rest, periods: [...periods] };
    },
  );
};

const others = ({ role, search }: CertificateListQuery): CertificateFilter => ({
  ...(role === undefined ? {} : { role }),
  ...(search === undefined ? {} : { search }),
});

/** Every filter by time is a stretch of time, and all of them together one stretch; null when nothing can be in it. */
function rangeOf(
  { rotation, expiring_soon, expired, not_after_from, not_after_before }: CertificateListQuery,
  now: Date,
  policy: DevicePolicy,
): Pick<CertificateFilter, 'from' | 'before'> | null {
  const inDays = (days: number): number => now.getTime() + days * dayMs;
  const required = inDays(policy.SENTINEL_ROTATION_REQUIRED_DAYS);
  const recommended = Math.max(required, inDays(policy.SENTINEL_ROTATION_RECOMMENDED_DAYS));
  const soon = inDays(policy.SENTINEL_CERT_EXPIRING_SOON_DAYS);
  // Expired is what ended now or before.
  const past = now.getTime() + 1;
  const stretches: (readonly [from: number, before: number])[] = [];
  if (rotation === 'required') stretches.push([-Infinity, required]);
  if (rotation === 'recommended') stretches.push([required, recommended]);
  if (rotation === 'none') stretches.push([recommended, Infinity]);
  if (expiring_soon !== undefined) stretches.push(expiring_soon ? [-Infinity, soon] : [soon, Infinity]);
  if (expired !== undefined) stretches.push(expired ? [-Infinity, past] : [past, Infinity]);
  if (not_after_from !== undefined) stretches.push([Date.parse(not_after_from), Infinity]);
  if (not_after_before !== undefined) stretches.push([-Infinity, Date.parse(not_after_before)]);
  const from = Math.max(-Infinity, ...stretches.map(([start]) => start));
  const before = Math.min(Infinity, ...stretches.map(([, end]) => end));
  if (from >= before) return null;
  return {
    ...(from === -Infinity ? {} : { from: new Date(from).toISOString() }),
    ...(before === Infinity ? {} : { before: new Date(before).toISOString() }),
  };
}

function presentListed(row: CertificateRow, now: Date, policy: DevicePolicy): ListedCertificate {
  const at = now.toISOString();
  return {
    device_id: row.device_id,
    role: row.role,
    ...presentCertificate(row.certificate, now, policy),
    expired: certificateLife(row.certificate.not_after, at, policy).expired,
    revoked: row.revoked,
    trust_tier: effectiveTierOf(row, now, policy),
  };
}
