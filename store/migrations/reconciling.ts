// What looks across projects, as functions: a worker learns the names of what needs attention, and nothing more.
import { Migration } from '@mikro-orm/migrations';

const safely = `SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp`;

export class Reconciling extends Migration {
  override up(): void {
    this.addSql(`
-- Devices whose news has waited for longer than it takes to announce it. A device that was rejected or retired hears of
-- its news when it is reset.
CREATE FUNCTION devices_with_news(after_project text, after_device text, page_size integer, at timestamptz)
RETURNS TABLE (project_id text, device_id text) LANGUAGE sql STABLE ${safely} AS $$
  (SELECT l.project_id, l.device_id
  FROM public.device_liveness l
  LEFT JOIN public.device d ON d.project_id = l.project_id AND d.device_id = l.device_id
  WHERE l.news_since <= at - interval '10 seconds'
    AND (l.project_id, l.device_id) > (after_project, after_device)
    AND (d.device_id IS NULL OR (d.state NOT IN ('rejected', 'retired') AND (
      l.observed_digest IS DISTINCT FROM d.applied_digest
      OR l.inbox_seq > d.inbox_consumed
      OR ((l.candidate_fingerprint IS DISTINCT FROM d.candidate_fingerprint OR d.state = 'expired')
        AND NOT l.candidate_fingerprint = ANY (d.rejected_fingerprints)
        AND EXISTS (SELECT FROM public.device_candidate c
          WHERE c.project_id = l.project_id AND c.device_id = l.device_id
            AND c.fingerprint = l.candidate_fingerprint AND c.generation = d.review_generation
            AND NOT EXISTS (SELECT FROM public.certificate_denylist r WHERE r.project_id = l.project_id
              AND r.serial_number = c.certificate->>'serial_number' AND r.issuer = c.certificate->>'issuer' OFFSET 0)
          OFFSET 0)
        AND NOT EXISTS (SELECT FROM public.certificate_denylist r
          WHERE r.project_id = l.project_id AND r.fingerprint_sha256 = l.candidate_fingerprint OFFSET 0)))))
  ORDER BY 1, 2 LIMIT page_size)
  UNION
  -- A revocation holds without the actor; it still has to hear of it.
  (SELECT DISTINCT r.project_id, r.device_id
  FROM public.certificate_denylist r
  JOIN public.device d ON d.project_id = r.project_id AND d.device_id = r.device_id
  WHERE r.revoked_at BETWEEN at - interval '7 days' AND at - interval '10 seconds'
    AND (r.project_id, r.device_id) > (after_project, after_device)
    AND d.updated_at < r.revoked_at AND d.state NOT IN ('rejected', 'retired')
    AND (r.fingerprint_sha256 IN (d.pinned_fingerprint, d.candidate_fingerprint)
      OR (r.issuer = d.pinned_certificate->>'issuer' AND r.serial_number = d.pinned_certificate->>'serial_number')
      OR EXISTS (SELECT FROM public.device_candidate c
        WHERE c.project_id = d.project_id AND c.device_id = d.device_id AND c.fingerprint = d.candidate_fingerprint
          AND r.issuer = c.certificate->>'issuer' AND r.serial_number = c.certificate->>'serial_number' OFFSET 0))
  ORDER BY 1, 2 LIMIT page_size)
  ORDER BY 1, 2 LIMIT page_size
$$;

-- Actors that may be running, with the run that wrote their row last.
CREATE FUNCTION actor_runs(after_project text, after_id text, page_size integer)
RETURNS TABLE (project_id text, id text, kind text, subject_id text, run_id text) LANGUAGE sql STABLE ${safely} AS $$
  SELECT a.project_id, a.id, a.kind, a.subject_id, a.run_id
  FROM public.actor a
  WHERE (a.kind = 'device' OR a.state IN ('open', 'deciding'))
    AND (a.project_id, a.id) > (after_project, after_id)
  ORDER BY a.project_id, a.id LIMIT page_size
$$;

-- Removes what nobody will ask for again, a bounded number of rows at a time.
CREATE FUNCTION prune_lapsed(at timestamptz, batch_size integer)
RETURNS TABLE (inbox bigint, idempotency_keys bigint, sessions bigint, totp_uses bigint)
LANGUAGE sql VOLATILE ${safely} AS $$
  WITH taken_in AS (
    DELETE FROM public.device_inbox i WHERE i.ctid = ANY (ARRAY(
      SELECT o.ctid FROM public.device d
      JOIN public.device_inbox o ON o.project_id = d.project_id AND o.device_id = d.device_id
        AND o.seq <= d.inbox_consumed
      LIMIT batch_size)) RETURNING 1
  ), forgotten AS (
    DELETE FROM public.idempotency_key k WHERE k.ctid = ANY (ARRAY(
      SELECT o.ctid FROM public.idempotency_key o WHERE o.expires_at < at LIMIT batch_size)) RETURNING 1
  ), ended AS (
    DELETE FROM public.admin_session s WHERE s.ctid = ANY (ARRAY(
      SELECT o.ctid FROM public.admin_session o WHERE o.expires_at < at - interval '30 days' LIMIT batch_size)) RETURNING 1
  ), past AS (
    DELETE FROM public.totp_use u WHERE u.time_step < extract(epoch FROM at)::bigint / 30 - 120 RETURNING 1
  )
  SELECT (SELECT count(*) FROM taken_in), (SELECT count(*) FROM forgotten), (SELECT count(*) FROM ended),
    (SELECT count(*) FROM past)
$$;

REVOKE ALL ON FUNCTION devices_with_news, actor_runs, prune_lapsed FROM PUBLIC;
GRANT EXECUTE ON FUNCTION devices_with_news, actor_runs, prune_lapsed TO sentinel_worker;
GRANT CREATE ON SCHEMA public TO sentinel_reconciler;
ALTER FUNCTION devices_with_news OWNER TO sentinel_reconciler;
ALTER FUNCTION actor_runs OWNER TO sentinel_reconciler;
ALTER FUNCTION prune_lapsed OWNER TO sentinel_reconciler;
REVOKE CREATE ON SCHEMA public FROM sentinel_reconciler;
`);
  }
}
