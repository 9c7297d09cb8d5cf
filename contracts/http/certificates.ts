// /api/certificates: every certificate that counts, the one that ends first at the top.
import { Type, type Static } from 'typebox';
import { certificateRoles, planPeriods, rotationAdvice, trustTiers } from '../states.ts';
import { countsOf, Exactly, Instant, List, ListQuery, Names, Nullable } from './common.ts';
import { Certificate } from './devices.ts';

export const ListedCertificate = Type.Object({
  device_id: Type.String(),
  role: Names(certificateRoles),
  ...Certificate.properties,
  expired: Type.Boolean(),
  revoked: Type.Boolean(),
  trust_tier: Names(trustTiers),
});
export type ListedCertificate = Static<typeof ListedCertificate>;

export const CertificateListQuery = Exactly({
  ...ListQuery,
  rotation: Type.Optional(Names(rotationAdvice)),
  expiring_soon: Type.Optional(Type.Boolean()),
  expired: Type.Optional(Type.Boolean()),
  not_after_from: Type.Optional({ ...Instant, description: 'Ends at this time or later' }),
  not_after_before: Type.Optional({ ...Instant, description: 'Ends before this time' }),
  role: Type.Optional(Names(certificateRoles)),
  search: Type.Optional(
    Type.String({
      maxLength: 64,
      description: 'Part of the device id, the subject, the serial number or the fingerprint',
    }),
  ),
});
export type CertificateListQuery = Static<typeof CertificateListQuery>;
export const CertificateList = List(ListedCertificate);
export type CertificateList = Static<typeof CertificateList>;

export const CertificatePlanQuery = Exactly({ by: Type.Optional(Names(planPeriods)) });
export type CertificatePlanQuery = Static<typeof CertificatePlanQuery>;

const rotation = countsOf(rotationAdvice);

/** How many pinned certificates end when. Every number is of what the list has for the same filters. */
export const CertificatePlan = Type.Object({
  by: Names(planPeriods),
  certificates: Type.Integer({ description: 'All that are pinned' }),
  expired: Type.Integer(),
  expiring_soon: Type.Integer({ description: 'Expired ones are among them' }),
  rotation,
  periods: Type.Array(
    Type.Object({
      from: Nullable(Instant),
      before: Nullable(Instant),
      certificates: Type.Integer(),
      rotation,
    }),
    { description: 'In order and without gaps: first those that have ended, last those that end after all others' },
  ),
  counted_at: Instant,
});
export type CertificatePlan = Static<typeof CertificatePlan>;
