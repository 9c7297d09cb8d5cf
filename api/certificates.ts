// /api/certificates: what ends soon, across the fleet.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Clock } from '#contracts/deps.ts';
import { CertificateList, CertificateListQuery, type ListedCertificate } from '#contracts/http/certificates.ts';
import { certificateLife, dayMs } from '#machines/certificate-life.ts';
import { effectiveTier } from '#machines/effective-tier.ts';
import type { CertificateFilter, CertificatePosition, CertificateRow } from '#store/certificate.ts';
import type { Cursors } from './cursors.ts';
import { filterOf, readPage, type Page } from './pages.ts';
import { presentCertificate, type DevicePolicy } from './present-device.ts';
import { projectOf } from './projects.ts';

export interface CertificatesDeps {
  readonly listCertificates: (
    project: string,
    filter: CertificateFilter,
    page: Page<CertificatePosition>,
  ) => Promise<readonly CertificateRow[]>;
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
};

const others = ({ role, search }: CertificateListQuery): CertificateFilter => ({
  ...(role === undefined ? {} : { role }),
  ...(search === undefined ? {} : { search }),
});

/** Every filter by time is a stretch of time, and all of them together one stretch; null when nothing can be in it. */
function rangeOf(
  { rotation, expiring_soon, expired }: CertificateListQuery,
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
    trust_tier: effectiveTier(
      {
        grant: row.grant,
        pinned_not_after: row.pinned_not_after,
        pinned_revoked: row.pinned_revoked,
        attestation: 'not_required',
        identity_verified: policy.SENTINEL_REQUIRE_DEVICE_MTLS,
      },
      at,
    ).tier,
  };
}
