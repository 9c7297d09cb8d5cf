// Devices: the grant, which the actor writes; liveness, sightings and inbox, which the heartbeat path writes; the denylist.
import { Migration } from '@mikro-orm/migrations';
import { protectProjectTables } from './row-security.ts';

export class Devices extends Migration {
  override up(): void {
    this.addSql(`
CREATE TABLE device (
  project_id text NOT NULL REFERENCES project,
  device_id text NOT NULL CHECK (device_id ~ '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$'),
  state text NOT NULL CHECK (state IN ('pending', 'approved', 'rejected', 'expired', 'retired')),
  tier text NOT NULL CHECK (tier IN ('revoked', 'restricted', 'observed', 'monitored', 'trusted')),
  epoch integer NOT NULL,
  counter_epoch integer NOT NULL,
  review_generation integer NOT NULL,
  pinned_fingerprint text,
  pinned_certificate jsonb,
  pinned_not_after timestamptz(3),
  candidate_fingerprint text,
  rejected_fingerprints text[] NOT NULL,
  assigned_tags text[] NOT NULL,
  approvers text[] NOT NULL,
  review jsonb,
  applied_digest text,
  inbox_consumed bigint NOT NULL,
  reason text,
  approved_at timestamptz(3),
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  revision bigint NOT NULL,
  PRIMARY KEY (project_id, device_id)
);
CREATE INDEX device_pending ON device (project_id) WHERE state = 'pending';
CREATE INDEX device_pinned ON device (project_id, pinned_fingerprint) WHERE pinned_fingerprint IS NOT NULL;

-- Devices that nobody has decided about yet: from their first heartbeat to the first commit of their actor.
CREATE TABLE device_first_contact (
  project_id text NOT NULL,
  device_id text NOT NULL,
  seen_at timestamptz(3) NOT NULL,
  PRIMARY KEY (project_id, device_id)
);

-- Written at every heartbeat. Narrow, half empty and without an index on what changes, so that an update stays in its page.
CREATE TABLE device_liveness (
  project_id text NOT NULL REFERENCES project,
  device_id text NOT NULL CHECK (device_id ~ '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$'),
  first_seen_at timestamptz(3) NOT NULL,
  last_seen_at timestamptz(3) NOT NULL,
  signalled_at timestamptz(3),
  -- Since when there is something that the actor has not taken in; null when the last heartbeat found nothing.
  news_since timestamptz(3),
  heartbeat_counter bigint NOT NULL DEFAULT 0,
  inbox_seq bigint NOT NULL DEFAULT 0,
  counter_epoch integer,
  candidate_generation integer,
  candidate_fingerprint text,
  observed_digest text,
  PRIMARY KEY (project_id, device_id)
) WITH (fillfactor = 50);
CREATE INDEX device_liveness_news ON device_liveness (project_id, device_id) WHERE news_since IS NOT NULL;

CREATE TABLE device_observation (
  project_id text NOT NULL,
  device_id text NOT NULL,
  observed_digest text NOT NULL,
  hostname text,
  platform text,
  agent_version text,
  reported_tags text[] NOT NULL,
  posture jsonb NOT NULL,
  directory jsonb NOT NULL,
  certificate jsonb,
  observed_at timestamptz(3) NOT NULL,
  PRIMARY KEY (project_id, device_id)
);

CREATE TABLE device_candidate (
  project_id text NOT NULL,
  device_id text NOT NULL,
  fingerprint text NOT NULL,
  generation integer NOT NULL,
  certificate jsonb NOT NULL,
  pem text NOT NULL,
  seen_at timestamptz(3) NOT NULL,
  PRIMARY KEY (project_id, device_id)
);

CREATE TABLE device_inbox (
  project_id text NOT NULL,
  device_id text NOT NULL,
  seq bigint NOT NULL,
  kind text NOT NULL,
  payload jsonb NOT NULL,
  received_at timestamptz(3) NOT NULL,
  PRIMARY KEY (project_id, device_id, seq)
);

CREATE TABLE certificate_denylist (
  project_id text NOT NULL REFERENCES project,
  fingerprint_sha256 text NOT NULL CHECK (fingerprint_sha256 ~ '^[0-9a-f]{64}$'),
  device_id text NOT NULL,
  -- With the serial number, names the certificate whatever its signature is. Unknown when it was never seen here.
  issuer text,
  serial_number text,
  reason text,
  revoked_at timestamptz(3) NOT NULL,
  revoked_by text NOT NULL,
  PRIMARY KEY (project_id, fingerprint_sha256)
);
CREATE INDEX certificate_denylist_serial ON certificate_denylist (project_id, serial_number, issuer)
  WHERE serial_number IS NOT NULL;
CREATE INDEX certificate_denylist_revoked ON certificate_denylist (revoked_at);
`);
    const tables = [
      'device',
      'device_first_contact',
      'device_liveness',
      'device_observation',
      'device_candidate',
      'device_inbox',
      'certificate_denylist',
    ];
    this.addSql(protectProjectTables(tables));
    this.addSql(`
GRANT SELECT ON device, device_first_contact, device_liveness, device_observation, device_candidate, device_inbox,
  certificate_denylist TO sentinel_api, sentinel_worker;
GRANT INSERT ON certificate_denylist TO sentinel_api;
GRANT INSERT, UPDATE ON device TO sentinel_worker;
GRANT DELETE ON device_first_contact TO sentinel_worker;

-- The functions of the heartbeat path serve all projects at once; each item names its own.
GRANT SELECT ON device, certificate_denylist TO sentinel_heartbeat;
GRANT SELECT, INSERT ON device_first_contact TO sentinel_heartbeat;
GRANT SELECT, INSERT, UPDATE ON device_liveness, device_observation, device_candidate TO sentinel_heartbeat;
GRANT INSERT ON device_inbox TO sentinel_heartbeat;
CREATE POLICY any_project ON device FOR SELECT TO sentinel_heartbeat USING (true);
CREATE POLICY any_project ON certificate_denylist FOR SELECT TO sentinel_heartbeat USING (true);
CREATE POLICY any_project ON device_first_contact TO sentinel_heartbeat USING (true);
CREATE POLICY any_project ON device_liveness TO sentinel_heartbeat USING (true);
CREATE POLICY any_project ON device_observation TO sentinel_heartbeat USING (true);
CREATE POLICY any_project ON device_candidate TO sentinel_heartbeat USING (true);
CREATE POLICY any_project ON device_inbox FOR INSERT TO sentinel_heartbeat WITH CHECK (true);

GRANT SELECT ON device, device_first_contact, device_liveness, device_candidate, certificate_denylist
  TO sentinel_reconciler;
GRANT SELECT, DELETE ON device_inbox TO sentinel_reconciler;
CREATE POLICY looked_after ON device FOR SELECT TO sentinel_reconciler USING (true);
CREATE POLICY looked_after ON device_first_contact FOR SELECT TO sentinel_reconciler USING (true);
CREATE POLICY looked_after ON device_liveness FOR SELECT TO sentinel_reconciler USING (true);
CREATE POLICY looked_after ON device_candidate FOR SELECT TO sentinel_reconciler USING (true);
CREATE POLICY looked_after ON certificate_denylist FOR SELECT TO sentinel_reconciler USING (true);
CREATE POLICY looked_after ON device_inbox FOR SELECT TO sentinel_reconciler USING (true);
-- Only what the actor has taken in may go.
CREATE POLICY swept ON device_inbox FOR DELETE TO sentinel_reconciler USING (
  seq <= (SELECT d.inbox_consumed FROM device d
          WHERE d.project_id = device_inbox.project_id AND d.device_id = device_inbox.device_id)
);
`);
  }
}
