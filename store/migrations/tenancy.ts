// Organisations, projects and trust anchors; and what every later table is held to: no project, no rows.
import { Migration } from '@mikro-orm/migrations';

export class Tenancy extends Migration {
  override up(): void {
    this.addSql(`
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public
  TO sentinel_api, sentinel_worker, sentinel_sealer, sentinel_reconciler, sentinel_heartbeat;
GRANT SELECT ON schema_migration TO sentinel_api, sentinel_worker, sentinel_sealer;

CREATE TABLE organisation (
  id text PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  name text NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now()
);
CREATE TABLE project (
  id text PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  organisation_id text NOT NULL REFERENCES organisation,
  name text NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now()
);
INSERT INTO organisation (id, name) VALUES ('default', 'Default');
INSERT INTO project (id, organisation_id, name) VALUES ('default', 'default', 'Default');
GRANT SELECT ON organisation, project TO sentinel_api, sentinel_worker, sentinel_sealer;

CREATE TABLE trust_anchor (
  project_id text NOT NULL REFERENCES project,
  fingerprint_sha256 text NOT NULL CHECK (fingerprint_sha256 ~ '^[0-9a-f]{64}$'),
  subject text NOT NULL,
  pem text NOT NULL,
  created_at timestamptz(3) NOT NULL,
  retired_at timestamptz(3),
  PRIMARY KEY (project_id, fingerprint_sha256)
);
-- A chain decides the project of a device, so an authority in use belongs to one.
CREATE UNIQUE INDEX trust_anchor_one_project ON trust_anchor (fingerprint_sha256) WHERE retired_at IS NULL;

ALTER TABLE trust_anchor ENABLE ROW LEVEL SECURITY;
ALTER TABLE trust_anchor FORCE ROW LEVEL SECURITY;
CREATE POLICY own_project ON trust_anchor USING (project_id = current_setting('sentinel.project', true));
-- The API verifies chains before it knows the project.
CREATE POLICY any_project ON trust_anchor FOR SELECT TO sentinel_api USING (true);
GRANT SELECT, INSERT, UPDATE (retired_at) ON trust_anchor TO sentinel_api;
GRANT SELECT ON trust_anchor TO sentinel_worker;
`);
  }
}
