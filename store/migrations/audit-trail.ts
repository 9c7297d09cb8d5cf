// The audit trail and the outbox: rows come with the change, the sealer alone gives them their place, nobody alters them.
import { Migration } from '@mikro-orm/migrations';
import { protectProjectTables } from './row-security.ts';

export class AuditTrail extends Migration {
  override up(): void {
    this.addSql(`
CREATE TABLE audit_event (
  project_id text NOT NULL,
  id uuid NOT NULL,
  -- Order of insertion, for the sealer; means nothing once the row has its sequence.
  position bigint GENERATED ALWAYS AS IDENTITY,
  sequence bigint CHECK (sequence > 0),
  occurred_at timestamptz(3) NOT NULL,
  category text NOT NULL CHECK (category IN ('auth', 'identity', 'command', 'policy', 'integration', 'operations',
    'recovery', 'update', 'audit')),
  action text NOT NULL,
  actor_kind text NOT NULL CHECK (actor_kind IN ('user', 'device', 'workload', 'system')),
  actor_id text NOT NULL,
  actor_ip text,
  subject_kind text NOT NULL,
  subject_id text NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('success', 'refused', 'failed')),
  details jsonb NOT NULL,
  request_id text,
  canonical bytea NOT NULL,
  previous_hash text CHECK (previous_hash ~ '^[0-9a-f]{64}$'),
  hash text CHECK (hash ~ '^[0-9a-f]{64}$'),
  created_at timestamptz(3) NOT NULL,
  PRIMARY KEY (project_id, id),
  CHECK (num_nulls(sequence, previous_hash, hash) IN (0, 3))
);

CREATE TABLE outbox_event (
  project_id text NOT NULL,
  id uuid NOT NULL,
  position bigint GENERATED ALWAYS AS IDENTITY,
  sequence bigint CHECK (sequence > 0),
  occurred_at timestamptz(3) NOT NULL,
  type text NOT NULL,
  subject_kind text NOT NULL,
  subject_id text NOT NULL,
  data jsonb NOT NULL,
  canonical bytea NOT NULL,
  previous_hash text CHECK (previous_hash ~ '^[0-9a-f]{64}$'),
  hash text CHECK (hash ~ '^[0-9a-f]{64}$'),
  created_at timestamptz(3) NOT NULL,
  PRIMARY KEY (project_id, id),
  CHECK (num_nulls(sequence, previous_hash, hash) IN (0, 3))
);

CREATE UNIQUE INDEX audit_event_sequence ON audit_event (project_id, sequence) WHERE sequence IS NOT NULL;
CREATE UNIQUE INDEX outbox_event_sequence ON outbox_event (project_id, sequence) WHERE sequence IS NOT NULL;
CREATE INDEX audit_event_unsealed ON audit_event (project_id, position) WHERE sequence IS NULL;
CREATE INDEX outbox_event_unsealed ON outbox_event (project_id, position) WHERE sequence IS NULL;
CREATE INDEX audit_event_subject ON audit_event (project_id, subject_kind, subject_id, sequence);
CREATE INDEX audit_event_actor ON audit_event (project_id, actor_id, sequence);

CREATE TABLE audit_head (
  project_id text NOT NULL REFERENCES project,
  stream text NOT NULL CHECK (stream IN ('audit', 'outbox')),
  sequence bigint NOT NULL,
  hash text NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$'),
  PRIMARY KEY (project_id, stream)
);

-- Over the heads of all projects; holds no event.
CREATE TABLE audit_checkpoint (
  id uuid PRIMARY KEY,
  at timestamptz(3) NOT NULL,
  heads jsonb NOT NULL,
  key_id text NOT NULL,
  envelope jsonb NOT NULL
);
CREATE INDEX audit_checkpoint_at ON audit_checkpoint (at, id);

CREATE TABLE sealer_status (
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  last_success_at timestamptz(3),
  last_checkpoint_at timestamptz(3),
  last_error text
);
INSERT INTO sealer_status DEFAULT VALUES;

CREATE FUNCTION event_begins_unsealed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  RAISE EXCEPTION '% rows begin without a place in the chain', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE FUNCTION event_never_changes() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
  unplaced record;
BEGIN
  IF TG_OP <> 'UPDATE' THEN
    RAISE EXCEPTION '% rows are kept', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
  END IF;
  unplaced := NEW;
  unplaced.sequence := NULL;
  unplaced.previous_hash := NULL;
  unplaced.hash := NULL;
  -- The one change in the life of a row: the sealer gives it its place, once.
  IF current_user <> 'sentinel_sealer' OR NEW.sequence IS NULL OR unplaced IS DISTINCT FROM OLD THEN
    RAISE EXCEPTION '% rows never change', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER begins_unsealed BEFORE INSERT ON audit_event FOR EACH ROW
  WHEN (num_nonnulls(NEW.sequence, NEW.previous_hash, NEW.hash) > 0) EXECUTE FUNCTION event_begins_unsealed();
CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON audit_event FOR EACH ROW
  EXECUTE FUNCTION event_never_changes();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit_event EXECUTE FUNCTION event_never_changes();
CREATE TRIGGER begins_unsealed BEFORE INSERT ON outbox_event FOR EACH ROW
  WHEN (num_nonnulls(NEW.sequence, NEW.previous_hash, NEW.hash) > 0) EXECUTE FUNCTION event_begins_unsealed();
CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON outbox_event FOR EACH ROW
  EXECUTE FUNCTION event_never_changes();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON outbox_event EXECUTE FUNCTION event_never_changes();
`);
    this.addSql(protectProjectTables(['audit_event', 'outbox_event', 'audit_head']));
    this.addSql(`
GRANT SELECT, INSERT (project_id, id, occurred_at, category, action, actor_kind, actor_id, actor_ip, subject_kind,
  subject_id, outcome, details, request_id, canonical, created_at) ON audit_event TO sentinel_api, sentinel_worker;
GRANT SELECT, INSERT (project_id, id, occurred_at, type, subject_kind, subject_id, data, canonical, created_at)
  ON outbox_event TO sentinel_api, sentinel_worker;
GRANT SELECT ON audit_head, audit_checkpoint, sealer_status TO sentinel_api, sentinel_worker;

GRANT SELECT, UPDATE (sequence, previous_hash, hash) ON audit_event, outbox_event TO sentinel_sealer;
GRANT SELECT, INSERT, UPDATE (sequence, hash) ON audit_head TO sentinel_sealer;
GRANT SELECT, INSERT ON audit_checkpoint TO sentinel_sealer;
GRANT SELECT, UPDATE ON sealer_status TO sentinel_sealer;
CREATE POLICY sealed ON audit_event TO sentinel_sealer USING (true);
CREATE POLICY sealed ON outbox_event TO sentinel_sealer USING (true);
CREATE POLICY sealed ON audit_head TO sentinel_sealer USING (true);

-- How long the oldest row of any project has waited; for roles that see one project at a time.
CREATE FUNCTION seal_lag_seconds(at timestamptz) RETURNS double precision
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT coalesce(greatest(0, extract(epoch FROM at - least(
    (SELECT min(created_at) FROM public.audit_event WHERE sequence IS NULL),
    (SELECT min(created_at) FROM public.outbox_event WHERE sequence IS NULL)))), 0)
$$;
REVOKE ALL ON FUNCTION seal_lag_seconds FROM PUBLIC;
GRANT EXECUTE ON FUNCTION seal_lag_seconds TO sentinel_api, sentinel_worker;
GRANT CREATE ON SCHEMA public TO sentinel_sealer;
ALTER FUNCTION seal_lag_seconds OWNER TO sentinel_sealer;
REVOKE CREATE ON SCHEMA public FROM sentinel_sealer;
`);
  }
}
