// People: the live directory, sessions, what sign-in has to remember, and idempotency keys.
import { Migration } from '@mikro-orm/migrations';
import { protectProjectTables } from './row-security.ts';

export class People extends Migration {
  override up(): void {
    this.addSql(`
-- Of the whole installation, and without secrets: these stay in the settings.
CREATE TABLE operator (
  username text PRIMARY KEY,
  roles text[] NOT NULL,
  permissions text[] NOT NULL,
  disabled boolean NOT NULL,
  synced_at timestamptz(3) NOT NULL
);

CREATE TABLE admin_session (
  id uuid PRIMARY KEY,
  username text NOT NULL,
  created_at timestamptz(3) NOT NULL,
  expires_at timestamptz(3) NOT NULL,
  last_used_at timestamptz(3),
  ended_at timestamptz(3),
  ended_by text,
  ip text,
  user_agent text
);
CREATE INDEX admin_session_username ON admin_session (username, created_at, id);
CREATE INDEX admin_session_expiry ON admin_session (expires_at);

CREATE TABLE admin_password_rehash (
  configured_sha256 text PRIMARY KEY CHECK (configured_sha256 ~ '^[0-9a-f]{64}$'),
  hash text NOT NULL,
  created_at timestamptz(3) NOT NULL
);

-- Time steps whose one-time password was used: none counts twice.
CREATE TABLE totp_use (
  username text NOT NULL,
  time_step bigint NOT NULL,
  PRIMARY KEY (username, time_step)
);

CREATE TABLE idempotency_key (
  project_id text NOT NULL,
  principal text NOT NULL,
  route text NOT NULL,
  key text NOT NULL,
  request_digest text NOT NULL,
  -- Who works on it, and until when nobody else may: a process that died must not hold the key for a day.
  claim uuid NOT NULL,
  claimed_until timestamptz(3) NOT NULL,
  status integer,
  body text,
  created_at timestamptz(3) NOT NULL,
  expires_at timestamptz(3) NOT NULL,
  PRIMARY KEY (project_id, principal, route, key)
);
CREATE INDEX idempotency_key_expiry ON idempotency_key (expires_at);
`);
    this.addSql(protectProjectTables(['idempotency_key']));
    this.addSql(`
GRANT SELECT, INSERT, UPDATE, DELETE ON operator, idempotency_key TO sentinel_api;
GRANT SELECT, INSERT, UPDATE ON admin_session, admin_password_rehash TO sentinel_api;
GRANT SELECT, INSERT ON totp_use TO sentinel_api;
GRANT SELECT ON operator TO sentinel_worker;

GRANT SELECT, DELETE ON idempotency_key, admin_session, totp_use TO sentinel_reconciler;
CREATE POLICY swept ON idempotency_key FOR SELECT TO sentinel_reconciler USING (expires_at < now());
CREATE POLICY swept_away ON idempotency_key FOR DELETE TO sentinel_reconciler USING (expires_at < now());
ALTER TABLE admin_session ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_people ON admin_session TO sentinel_api USING (true);
CREATE POLICY swept ON admin_session FOR SELECT TO sentinel_reconciler USING (expires_at < now());
CREATE POLICY swept_away ON admin_session FOR DELETE TO sentinel_reconciler USING (expires_at < now());
`);
  }
}
