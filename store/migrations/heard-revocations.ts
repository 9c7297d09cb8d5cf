// Whether an actor has heard of a revocation is read from what it holds, not from when its row was last written: whatever
// is written in between, say a decision that was under way, would hide a revocation that was never announced.
import { Migration } from '@mikro-orm/migrations';

export class HeardRevocations extends Migration {
  override up(): void {
    this.addSql(`
GRANT CREATE ON SCHEMA public TO sentinel_reconciler;
DROP FUNCTION devices_with_news;
CREATE FUNCTION devices_with_news(after_project text, after_device text, page_size integer, at timestamptz)
RETURNS TABLE (project_id text, device_id text) LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
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
  -- A revocation holds without the actor; it still has to hear of it: of its pinned certificate once, and of one that is
  -- under review until that review is over.
  (SELECT DISTINCT r.project_id, r.device_id
  FROM public.certificate_denylist r
  JOIN public.device d ON d.project_id = r.project_id AND d.device_id = r.device_id
  WHERE r.revoked_at BETWEEN at - interval '7 days' AND at - interval '10 seconds'
    AND (r.project_id, r.device_id) > (after_project, after_device)
    AND d.state NOT IN ('rejected', 'retired')
    AND (
      r.fingerprint_sha256 = d.candidate_fingerprint
      OR EXISTS (SELECT FROM public.device_candidate c
        WHERE c.project_id = d.project_id AND c.device_id = d.device_id AND c.fingerprint = d.candidate_fingerprint
          AND r.issuer = c.certificate->>'issuer' AND r.serial_number = c.certificate->>'serial_number' OFFSET 0)
      OR ((r.fingerprint_sha256 = d.pinned_fingerprint
          OR (r.issuer = d.pinned_certificate->>'issuer' AND r.serial_number = d.pinned_certificate->>'serial_number'))
        AND ((d.review IS NOT NULL AND d.candidate_fingerprint IS NULL)
          OR NOT EXISTS (SELECT FROM public.actor a
            WHERE a.project_id = d.project_id AND a.id = 'device/' || d.project_id || '/' || d.device_id
              AND a.snapshot #> '{context,revoked_fingerprints}' @> to_jsonb(d.pinned_fingerprint) OFFSET 0))))
  ORDER BY 1, 2 LIMIT page_size)
  ORDER BY 1, 2 LIMIT page_size
$$;
REVOKE ALL ON FUNCTION devices_with_news FROM PUBLIC;
GRANT EXECUTE ON FUNCTION devices_with_news TO sentinel_worker;
ALTER FUNCTION devices_with_news OWNER TO sentinel_reconciler;
REVOKE CREATE ON SCHEMA public FROM sentinel_reconciler;
`);
  }
}
