// /api/certificates: every certificate that counts, the one that ends first at the top.
import { Type, type Static } from 'typebox';
import { rotationAdvice, trustTiers } from '../states.ts';
import { Exactly, List, ListQuery, Names } from './common.ts';
import { Certificate } from './devices.ts';

export const certificateRoles = ['pinned', 'candidate'] as const;

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
