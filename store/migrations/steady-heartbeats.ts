// A steady heartbeat, which says nothing new, is judged and written down by one update; `heartbeat_batch` judges the others.
import { Migration } from '@mikro-orm/migrations';

/** Looked up by key whatever the statistics say: the plan is made once and the tables grow a thousandfold. */
const byKey = `SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
  SET plan_cache_mode = force_generic_plan`;
const safely = `SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp`;

export class SteadyHeartbeats extends Migration {
  override up(): void {
    this.addSql(`
-- A constraint is checked at every update of a row, and this one was a sixth of what a heartbeat costs. The name of a row
-- is checked when it is written.
ALTER TABLE device_liveness DROP CONSTRAINT device_liveness_device_id_check;
CREATE FUNCTION requires_device_id() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  RAISE EXCEPTION '% is no name of a device', NEW.device_id USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER requires_device_id AFTER INSERT OR UPDATE OF device_id ON device_liveness FOR EACH ROW
  WHEN (NEW.device_id !~ '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$') EXECUTE FUNCTION requires_device_id();

-- Accepts the heartbeats for which heartbeat_batch would write nothing but their time and counter, and leaves all others
-- as they are. Columns of text come with one line an item, which is read in a fraction of the time that an array takes.
-- Answers with a line for each item that it accepted: its place, tier, epoch, and the end of the pinned certificate.
-- Rows are locked in the order of their keys, as they are updated.
CREATE FUNCTION heartbeat_steady(
  projects text, devices text, fingerprints text, issuers text, serials text, counters bigint[], digests text,
  at timestamptz, signal_interval_seconds integer, silence_seconds integer
) RETURNS text LANGUAGE plpgsql ${safely} ${byKey} AS $$
#variable_conflict use_column
DECLARE
  signalled_before CONSTANT timestamptz := at - make_interval(secs => signal_interval_seconds);
  silent_before CONSTANT timestamptz := at - make_interval(secs => silence_seconds);
  accepted text;
BEGIN
  WITH updated AS (
    UPDATE public.device_liveness l SET
      last_seen_at = greatest(l.last_seen_at, at),
      heartbeat_counter = coalesce(i.counter, l.heartbeat_counter)
    FROM (
      SELECT u.* FROM unnest(string_to_array(projects, E'\\n'), string_to_array(devices, E'\\n'),
        string_to_array(fingerprints, E'\\n'), string_to_array(issuers, E'\\n'), string_to_array(serials, E'\\n'),
        counters, string_to_array(digests, E'\\n'))
        WITH ORDINALITY AS u (project_id, device_id, fingerprint, issuer, serial, counter, digest, item)
      ORDER BY u.project_id, u.device_id
    ) i
    JOIN public.device g ON g.project_id = i.project_id AND g.device_id = i.device_id
    WHERE l.project_id = i.project_id AND l.device_id = i.device_id
      AND i.issuer IS NOT NULL AND i.serial IS NOT NULL
      AND g.state = 'approved' AND g.pinned_fingerprint = i.fingerprint
      AND l.counter_epoch = g.counter_epoch AND (i.counter IS NULL OR i.counter > l.heartbeat_counter)
      -- No news, and none that was told of before.
      AND l.observed_digest = i.digest AND g.applied_digest = i.digest
      AND l.inbox_seq <= g.inbox_consumed
      AND (l.candidate_fingerprint IS NULL OR l.candidate_fingerprint = g.candidate_fingerprint
        OR l.candidate_generation IS DISTINCT FROM g.review_generation)
      AND l.news_since IS NULL
      AND l.signalled_at > signalled_before AND l.last_seen_at >= silent_before
      AND NOT EXISTS (SELECT FROM public.certificate_denylist r
        WHERE r.project_id = i.project_id AND r.fingerprint_sha256 = i.fingerprint OFFSET 0)
      AND NOT EXISTS (SELECT FROM public.certificate_denylist r
        WHERE r.project_id = i.project_id AND r.serial_number = i.serial AND r.issuer = i.issuer OFFSET 0)
    RETURNING i.item, g.tier, g.epoch, g.pinned_not_after
  )
  SELECT string_agg(concat_ws(',', u.item, u.tier, u.epoch, u.pinned_not_after), E'\\n') INTO accepted FROM updated u;
  RETURN accepted;
END $$;
REVOKE ALL ON FUNCTION heartbeat_steady FROM PUBLIC;
GRANT EXECUTE ON FUNCTION heartbeat_steady TO sentinel_api;
GRANT CREATE ON SCHEMA public TO sentinel_heartbeat;
ALTER FUNCTION heartbeat_steady OWNER TO sentinel_heartbeat;
REVOKE CREATE ON SCHEMA public FROM sentinel_heartbeat;
`);
  }
}
