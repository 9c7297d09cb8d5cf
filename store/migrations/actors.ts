// Actors: the row that fences them, their permanent history, and the approvals that people decide.
import { Migration } from '@mikro-orm/migrations';
import { protectProjectTables } from './row-security.ts';

export class Actors extends Migration {
  override up(): void {
    this.addSql(`
CREATE TABLE actor (
  project_id text NOT NULL REFERENCES project,
  id text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('device', 'approval')),
  subject_id text NOT NULL,
  run_id text NOT NULL,
  revision bigint NOT NULL CHECK (revision > 0),
  epoch integer NOT NULL,
  commit_digest text NOT NULL,
  commit_result jsonb NOT NULL,
  machine_version integer NOT NULL,
  state text NOT NULL,
  snapshot jsonb NOT NULL,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  PRIMARY KEY (project_id, id)
);
CREATE INDEX actor_running ON actor (project_id, id) WHERE kind = 'device' OR state IN ('open', 'deciding');

CREATE TABLE actor_transition (
  project_id text NOT NULL,
  actor_id text NOT NULL,
  epoch integer NOT NULL,
  revision bigint NOT NULL,
  run_id text NOT NULL,
  at timestamptz(3) NOT NULL,
  event text NOT NULL,
  by jsonb NOT NULL,
  from_state text,
  to_state text NOT NULL,
  details jsonb NOT NULL,
  PRIMARY KEY (project_id, actor_id, epoch, revision)
);

CREATE TABLE approval (
  project_id text NOT NULL REFERENCES project,
  id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('enrollment', 'rotation', 'hardware')),
  subject_kind text NOT NULL,
  subject_id text NOT NULL,
  subject jsonb NOT NULL,
  digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
  state text NOT NULL CHECK (state IN ('open', 'deciding', 'approved', 'rejected', 'expired', 'cancelled')),
  requested_by jsonb NOT NULL,
  required_approvals integer NOT NULL CHECK (required_approvals > 0),
  permission text NOT NULL,
  votes jsonb NOT NULL,
  opened_at timestamptz(3) NOT NULL,
  expires_at timestamptz(3) NOT NULL,
  closed_at timestamptz(3),
  revision bigint NOT NULL,
  PRIMARY KEY (project_id, id)
);
CREATE INDEX approval_opened ON approval (project_id, opened_at, id);
CREATE INDEX approval_subject ON approval (project_id, subject_kind, subject_id, opened_at);
CREATE INDEX approval_open ON approval (project_id, opened_at, id) WHERE state IN ('open', 'deciding');

-- What is closed stays closed and is about the same thing. Two runs that both closed it may settle on less, never on more.
CREATE FUNCTION approval_stays_closed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  RAISE EXCEPTION 'approval % is closed', OLD.id USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER approval_stays_closed BEFORE UPDATE ON approval FOR EACH ROW
  WHEN (OLD.state IN ('approved', 'rejected', 'expired', 'cancelled') AND (
    NEW.state IN ('open', 'deciding') OR (NEW.state = 'approved' AND OLD.state <> 'approved')
    OR (OLD.digest, OLD.subject_kind, OLD.subject_id) IS DISTINCT FROM (NEW.digest, NEW.subject_kind, NEW.subject_id)))
  EXECUTE FUNCTION approval_stays_closed();

-- One row for each approval whose outcome took effect: nothing takes effect twice.
CREATE TABLE approval_consumption (
  project_id text NOT NULL,
  approval_id uuid NOT NULL,
  actor_id text NOT NULL,
  consumed_at timestamptz(3) NOT NULL,
  PRIMARY KEY (project_id, approval_id),
  FOREIGN KEY (project_id, approval_id) REFERENCES approval
);
`);
    this.addSql(protectProjectTables(['actor', 'actor_transition', 'approval', 'approval_consumption']));
    this.addSql(`
GRANT SELECT ON actor, actor_transition, approval, approval_consumption TO sentinel_api, sentinel_worker;
GRANT INSERT, UPDATE ON actor, approval TO sentinel_worker;
GRANT INSERT ON actor_transition, approval_consumption TO sentinel_worker;

GRANT SELECT ON actor, approval TO sentinel_reconciler;
CREATE POLICY looked_after ON actor FOR SELECT TO sentinel_reconciler USING (true);
CREATE POLICY looked_after ON approval FOR SELECT TO sentinel_reconciler USING (true);
`);
  }
}
