// People, their sessions, and the requests that they may repeat.
import { defineEntity, p } from '@mikro-orm/core';
import type { JsonObject } from '#contracts/deps.ts';
import { count, instant, textList } from './types.ts';

/** The live directory, without secrets. */
export const Operator = defineEntity({
  name: 'Operator',
  tableName: 'operator',
  properties: {
    username: p.text().primary(),
    roles: textList(),
    permissions: textList(),
    disabled: p.boolean(),
    synced_at: instant(),
  },
});

/** A token is only as good as its row: neither ended nor past `expires_at`. */
export const AdminSession = defineEntity({
  name: 'AdminSession',
  tableName: 'admin_session',
  properties: {
    id: p.uuid().primary(),
    username: p.text(),
    created_at: instant(),
    expires_at: instant(),
    last_used_at: instant().nullable(),
    ended_at: instant().nullable(),
    ended_by: p.text().nullable().lazy(),
    ip: p.text().nullable(),
    user_agent: p.text().nullable(),
  },
});

/** A better hash of a configured password, void when the setting changes. */
export const AdminPasswordRehash = defineEntity({
  name: 'AdminPasswordRehash',
  tableName: 'admin_password_rehash',
  properties: { configured_sha256: p.text().primary(), hash: p.text(), created_at: instant() },
});

export const TotpUse = defineEntity({
  name: 'TotpUse',
  tableName: 'totp_use',
  properties: { username: p.text().primary(), time_step: count().primary() },
});

export const SavedFilter = defineEntity({
  name: 'SavedFilter',
  tableName: 'saved_filter',
  properties: {
    project_id: p.text().primary(),
    username: p.text().primary(),
    name: p.text().primary(),
    query: p.json<JsonObject>(),
    saved_at: instant(),
  },
});

export const IdempotencyKey = defineEntity({
  name: 'IdempotencyKey',
  tableName: 'idempotency_key',
  properties: {
    project_id: p.text().primary(),
    principal: p.text().primary(),
    route: p.text().primary(),
    key: p.text().primary(),
    request_digest: p.text(),
    claim: p.uuid(),
    claimed_until: instant(),
    status: p.integer().nullable(),
    body: p.text().nullable(),
    created_at: instant(),
    expires_at: instant(),
  },
});
