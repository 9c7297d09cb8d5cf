// Silences of devices: when one that was not heard for long is heard again, the statement that hears it writes one row. What
// a device did is then told without a row for each heartbeat. And the orders that its timeline is read in.
import { Migration } from '@mikro-orm/migrations';
import { protectProjectTables } from './row-security.ts';

/** Looked up by key whatever the statistics say: the plan is made once and the tables grow a thousandfold. */
const byKey = `SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off`;
const safely = `SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp`;

/**
 * Whether a certificate is on the denylist: this one, or one that its issuer gave the same number. `OFFSET 0` has each
 * look-up made by its key: without it the whole list may be read for a batch.
 */
const denied = (fingerprint: string, issuer: string, serial: string): string => `(
        EXISTS (SELECT FROM public.certificate_denylist r
          WHERE r.project_id = i.project_id AND r.fingerprint_sha256 = ${fingerprint} OFFSET 0)
        OR EXISTS (SELECT FROM public.certificate_denylist r
          WHERE r.project_id = i.project_id AND r.serial_number = ${serial} AND r.issuer = ${issuer} OFFSET 0))`;

/** Of one device; older ones go when a new one comes. */
const silencesKept = 200;

export class DeviceTimeline extends Migration {
  override up(): void {
    this.addSql(`
CREATE TABLE device_silence (
  project_id text NOT NULL REFERENCES project,
  device_id text NOT NULL,
  from_at timestamptz(3) NOT NULL,
  until_at timestamptz(3) NOT NULL,
  PRIMARY KEY (project_id, device_id, until_at)
);
CREATE INDEX actor_transition_at ON actor_transition (project_id, actor_id, at, epoch, revision);
CREATE INDEX audit_event_subject_at ON audit_event (project_id, subject_kind, subject_id, occurred_at, sequence);
`);
    this.addSql(protectProjectTables(['device_silence']));
    this.addSql(`
GRANT SELECT ON device_silence TO sentinel_api;
GRANT SELECT, INSERT, DELETE ON device_silence TO sentinel_heartbeat;
CREATE POLICY any_project ON device_silence TO sentinel_heartbeat USING (true);

GRANT CREATE ON SCHEMA public TO sentinel_heartbeat;
DROP FUNCTION heartbeat_batch;
-- Judges one batch, at most one item a device. Rows that exist are locked in the order of their keys before anything is
-- written, new ones are inserted in that order afterwards: two batches cannot wait for each other in a circle.
CREATE FUNCTION heartbeat_batch(
  projects text[], devices text[], fingerprints text[], issuers text[], serials text[], counters bigint[],
  digests text[], acknowledgements jsonb,
  at timestamptz, pending_limit integer, signal_interval_seconds integer, news_interval_seconds integer,
  inbox_limit integer, silence_seconds integer
) RETURNS TABLE (
  item integer, code text, first_contact boolean, signal boolean, needs_observation boolean, needs_candidate boolean,
  acknowledged boolean, state text, tier text, epoch integer, pinned_fingerprint text, pinned_not_after timestamptz,
  pinned_revoked boolean, candidate_generation integer
) LANGUAGE plpgsql ${safely} ${byKey} AS $$
#variable_conflict use_column
DECLARE
  silent_before CONSTANT timestamptz := at - make_interval(secs => silence_seconds);
BEGIN
  RETURN QUERY
  WITH input AS MATERIALIZED (
    SELECT i.ordinality::integer AS item, i.project_id, i.device_id, i.fingerprint, i.issuer, i.serial, i.counter,
      i.digest
    FROM unnest(projects, devices, fingerprints, issuers, serials, counters, digests)
      WITH ORDINALITY AS i (project_id, device_id, fingerprint, issuer, serial, counter, digest, ordinality)
  ), locked AS MATERIALIZED (
    SELECT i.*, true AS seen_before, l.last_seen_at, l.signalled_at, l.news_since, l.heartbeat_counter, l.inbox_seq, l.counter_epoch AS counted_epoch,
      l.candidate_generation, l.candidate_fingerprint, l.observed_digest
    FROM input i JOIN public.device_liveness l ON l.project_id = i.project_id AND l.device_id = i.device_id
    ORDER BY l.project_id, l.device_id
    FOR UPDATE OF l
  ), reported AS (
    SELECT * FROM locked
    UNION ALL
    SELECT i.*, false, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL FROM input i WHERE i.item NOT IN (SELECT l.item FROM locked l)
  ), known AS MATERIALIZED (
    SELECT i.item, i.project_id, i.device_id, i.fingerprint, i.counter, i.digest,
      i.seen_before, i.last_seen_at, i.signalled_at, i.news_since, i.inbox_seq, i.observed_digest,
      CASE WHEN i.counted_epoch = g.counter_epoch THEN i.heartbeat_counter ELSE 0 END AS last_counter,
      -- The certificate under review, unless its review closed or it was turned down since.
      CASE WHEN i.candidate_generation = coalesce(g.review_generation, 0)
          AND NOT coalesce(i.candidate_fingerprint = ANY (g.rejected_fingerprints), false)
          AND NOT EXISTS (SELECT FROM public.certificate_denylist r
            WHERE r.project_id = i.project_id AND r.fingerprint_sha256 = i.candidate_fingerprint OFFSET 0)
          AND NOT EXISTS (SELECT FROM public.device_candidate c JOIN public.certificate_denylist r
            ON r.project_id = c.project_id AND r.serial_number = c.certificate->>'serial_number'
              AND r.issuer = c.certificate->>'issuer'
            WHERE c.project_id = i.project_id AND c.device_id = i.device_id AND c.fingerprint = i.candidate_fingerprint
            OFFSET 0)
        THEN i.candidate_fingerprint END AS candidate,
      g.device_id IS NOT NULL AS granted, g.state, g.tier, g.epoch, g.counter_epoch, g.review_generation,
      g.pinned_fingerprint, g.pinned_not_after, g.rejected_fingerprints,
      g.candidate_fingerprint AS reviewed, g.applied_digest, g.inbox_consumed,
      v.revoked,
      -- What a steady device shows is what is pinned.
      CASE WHEN i.fingerprint = g.pinned_fingerprint THEN v.revoked ELSE ${denied(
        'g.pinned_fingerprint',
        `g.pinned_certificate->>'issuer'`,
        `g.pinned_certificate->>'serial_number'`,
      )} END AS pinned_revoked
    FROM reported i
    CROSS JOIN LATERAL (SELECT ${denied('i.fingerprint', 'i.issuer', 'i.serial')} AS revoked) v
    LEFT JOIN public.device g ON g.project_id = i.project_id AND g.device_id = i.device_id
  ), unseen AS MATERIALIZED (
    SELECT k.item, k.project_id, row_number() OVER (PARTITION BY k.project_id ORDER BY k.device_id) AS place
    FROM known k WHERE NOT k.seen_before AND NOT k.granted AND NOT k.revoked
  ), room AS MATERIALIZED (
    SELECT u.project_id, pending_limit
      - (SELECT count(*) FROM (SELECT FROM public.device d
          WHERE d.project_id = u.project_id AND d.state = 'pending' LIMIT pending_limit) waiting)
      - (SELECT count(*) FROM (SELECT FROM public.device_first_contact c
          WHERE c.project_id = u.project_id LIMIT pending_limit) untouched) AS places
    FROM (SELECT DISTINCT unseen.project_id FROM unseen) u
  ), judged AS MATERIALIZED (
    SELECT k.*,
      CASE
        WHEN k.revoked THEN 'certificate.revoked'
        WHEN k.item IN (SELECT u.item FROM unseen u JOIN room r ON r.project_id = u.project_id
          WHERE u.place > r.places) THEN 'rate.limited'
        WHEN NOT k.seen_before AND NOT k.granted THEN 'pending'
        -- The row was lost; judged once it is there again.
        WHEN NOT k.seen_before THEN 'retry'
        WHEN k.state = 'rejected' THEN 'device.rejected'
        WHEN k.state = 'retired' THEN 'device.retired'
        WHEN k.state = 'approved' AND (k.fingerprint IS NULL OR k.fingerprint = k.pinned_fingerprint) THEN
          CASE WHEN k.counter <= k.last_counter THEN 'heartbeat.replayed' ELSE 'accepted' END
        WHEN k.fingerprint = ANY (k.rejected_fingerprints) THEN 'device.rejected'
        WHEN k.fingerprint IS NOT NULL AND k.candidate <> k.fingerprint THEN 'device.other_certificate_pending'
        ELSE 'pending'
      END AS code
    FROM known k
  ), weighed AS MATERIALIZED (
    SELECT j.*,
      -- An approved device is observed through its pinned certificate only.
      j.code = 'accepted' OR (j.code = 'pending' AND j.state IS DISTINCT FROM 'approved') AS alive,
      j.code = 'pending' AND j.fingerprint IS NOT NULL AND j.candidate IS NULL AS becomes_candidate,
      -- Who is not identified acknowledges nothing, and an inbox that nobody empties takes no more.
      j.code = 'accepted' AND j.fingerprint IS NOT NULL
        AND j.inbox_seq - coalesce(j.inbox_consumed, 0) < inbox_limit AS acknowledged
    FROM judged j
  ), acknowledgement AS MATERIALIZED (
    SELECT w.item, w.project_id, w.device_id, a.kind, a.payload,
      w.inbox_seq + row_number() OVER (PARTITION BY w.item ORDER BY a.position) AS seq
    FROM jsonb_to_recordset(acknowledgements) AS a (item integer, position integer, kind text, payload jsonb)
    JOIN weighed w ON w.item = a.item AND w.acknowledged
  ), received AS MATERIALIZED (
    SELECT a.item, max(a.seq) AS seq FROM acknowledgement a GROUP BY a.item
  ), compared AS MATERIALIZED (
    SELECT w.*, coalesce(r.seq, w.inbox_seq) AS new_inbox_seq,
      -- What the actor has not taken in. Levels, not edges: it stays news until the grant says otherwise.
      NOT w.granted
        OR w.becomes_candidate
        OR (w.candidate IS NOT NULL AND (w.candidate IS DISTINCT FROM w.reviewed OR w.state = 'expired'))
        OR CASE WHEN w.alive THEN w.digest ELSE w.observed_digest END IS DISTINCT FROM w.applied_digest
        OR coalesce(r.seq, w.inbox_seq) > w.inbox_consumed AS news
    FROM weighed w LEFT JOIN received r ON r.item = w.item
  ), decided AS MATERIALIZED (
    SELECT c.*, c.code IN ('accepted', 'pending') AND (
        -- Somebody may be waiting for it; what is announced again can wait, each time twice as long: actors that do not
        -- keep up must not be kept from it by being told so.
        (c.news AND (c.news_since IS NULL OR c.becomes_candidate))
        OR coalesce(c.signalled_at <= at - make_interval(secs => CASE
          WHEN NOT c.news THEN signal_interval_seconds
          ELSE greatest(news_interval_seconds, least(300, extract(epoch FROM c.signalled_at - c.news_since)))
        END), true)) AS signal
    FROM compared c
  ), inserted AS (
    INSERT INTO public.device_liveness AS l (project_id, device_id, first_seen_at, last_seen_at, signalled_at,
      news_since, candidate_generation, candidate_fingerprint)
    SELECT d.project_id, d.device_id, at, at, CASE WHEN d.code = 'pending' THEN at END,
      CASE WHEN d.code = 'pending' THEN at END,
      CASE WHEN d.becomes_candidate THEN 0 END, CASE WHEN d.becomes_candidate THEN d.fingerprint END
    FROM decided d WHERE NOT d.seen_before AND d.code IN ('pending', 'retry')
    ORDER BY d.project_id, d.device_id
    ON CONFLICT DO NOTHING
    RETURNING l.project_id, l.device_id
  ), contacted AS (
    INSERT INTO public.device_first_contact (project_id, device_id, seen_at)
    SELECT d.project_id, d.device_id, at
    FROM decided d JOIN inserted n ON n.project_id = d.project_id AND n.device_id = d.device_id
    WHERE d.code = 'pending'
    ORDER BY d.project_id, d.device_id
    ON CONFLICT DO NOTHING
  ), updated AS (
    UPDATE public.device_liveness l SET
      last_seen_at = CASE WHEN d.alive THEN greatest(l.last_seen_at, at) ELSE l.last_seen_at END,
      signalled_at = CASE WHEN d.signal THEN at ELSE l.signalled_at END,
      news_since = CASE WHEN d.news THEN coalesce(l.news_since, at) END,
      heartbeat_counter = CASE WHEN d.code = 'accepted' THEN coalesce(d.counter, d.last_counter)
        ELSE l.heartbeat_counter END,
      counter_epoch = CASE WHEN d.code = 'accepted' THEN d.counter_epoch ELSE l.counter_epoch END,
      inbox_seq = d.new_inbox_seq,
      candidate_generation = CASE WHEN d.becomes_candidate THEN coalesce(d.review_generation, 0)
        ELSE l.candidate_generation END,
      candidate_fingerprint = CASE WHEN d.becomes_candidate THEN d.fingerprint ELSE l.candidate_fingerprint END
    FROM decided d
    WHERE l.project_id = d.project_id AND l.device_id = d.device_id
      AND d.seen_before AND (d.alive OR d.becomes_candidate OR d.signal)
  ), silent AS MATERIALIZED (
    -- None of them in a batch of steady devices, and then nothing below is looked up.
    SELECT d.project_id, d.device_id, d.last_seen_at FROM decided d
    WHERE d.last_seen_at < silent_before AND d.alive
  ), remembered AS (
    INSERT INTO public.device_silence (project_id, device_id, from_at, until_at)
    SELECT s.project_id, s.device_id, s.last_seen_at, at FROM silent s
    ON CONFLICT DO NOTHING
  ), outlived AS (
    DELETE FROM public.device_silence o USING silent s
    WHERE o.project_id = s.project_id AND o.device_id = s.device_id AND o.until_at <= (
      SELECT k.until_at FROM public.device_silence k
      WHERE k.project_id = s.project_id AND k.device_id = s.device_id
      ORDER BY k.until_at DESC OFFSET ${silencesKept - 1} LIMIT 1)
  ), kept AS (
    INSERT INTO public.device_inbox (project_id, device_id, seq, kind, payload, received_at)
    SELECT a.project_id, a.device_id, a.seq, a.kind, a.payload, at FROM acknowledgement a
  )
  SELECT d.item,
    -- Another batch brought this device in at the same moment: judged against what that one wrote.
    CASE WHEN NOT d.seen_before AND d.code = 'pending'
        AND (d.project_id, d.device_id) NOT IN (SELECT n.project_id, n.device_id FROM inserted n)
      THEN 'retry' ELSE d.code END,
    NOT d.granted AND NOT d.seen_before AND d.code = 'pending',
    d.signal,
    d.alive AND d.digest IS DISTINCT FROM d.observed_digest,
    d.code = 'pending' AND d.fingerprint IS NOT NULL AND NOT EXISTS (
      SELECT FROM public.device_candidate c
      WHERE c.project_id = d.project_id AND c.device_id = d.device_id AND c.fingerprint = d.fingerprint
        AND c.generation = coalesce(d.review_generation, 0) OFFSET 0),
    d.acknowledged,
    d.state, d.tier, d.epoch, d.pinned_fingerprint, d.pinned_not_after, d.pinned_revoked,
    coalesce(d.review_generation, 0)
  FROM decided d
  ORDER BY d.item;
END $$;
REVOKE ALL ON FUNCTION heartbeat_batch FROM PUBLIC;
GRANT EXECUTE ON FUNCTION heartbeat_batch TO sentinel_api;
ALTER FUNCTION heartbeat_batch OWNER TO sentinel_heartbeat;
REVOKE CREATE ON SCHEMA public FROM sentinel_heartbeat;
`);
  }
}
