// Organisations, projects and the authorities whose certificates identify devices.
import { defineEntity, p } from '@mikro-orm/core';
import { instant } from './types.ts';

export const Organisation = defineEntity({
  name: 'Organisation',
  tableName: 'organisation',
  properties: { id: p.text().primary(), name: p.text(), created_at: instant() },
});

export const Project = defineEntity({
  name: 'Project',
  tableName: 'project',
  properties: { id: p.text().primary(), organisation_id: p.text(), name: p.text(), created_at: instant() },
});

export const TrustAnchor = defineEntity({
  name: 'TrustAnchor',
  tableName: 'trust_anchor',
  properties: {
    project_id: p.text().primary(),
    fingerprint_sha256: p.text().primary(),
    subject: p.text(),
    pem: p.text(),
    created_at: instant(),
    retired_at: instant().nullable(),
  },
});
