// What time does to attestation: verdicts that changed nothing are cleared away, and standings that went stale are found.
import { Migration } from '@mikro-orm/migrations';

const safely = `SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp`;

export class AttestationSweeps extends Migration {
  override up(): void {
    this.addSql(`
-- Whether a basis is still used; also for the foreign key, which asks when one goes.
CREATE INDEX attestation_verdict_basis ON attestation_verdict (project_id, basis_digest);

GRANT SELECT, DELETE ON attestation_verdict, attestation_basis TO sentinel_reconciler;
GRANT SELECT ON device_attestation TO sentinel_reconciler;
CREATE POLICY looked_after ON attestation_verdict FOR SELECT TO sentinel_reconciler USING (true);
CREATE POLICY looked_after ON attestation_basis FOR SELECT TO sentinel_reconciler USING (true);
CREATE POLICY looked_after ON device_attestation FOR SELECT TO sentinel_reconciler USING (true);
-- No setting keeps them for less than a day.
CREATE POLICY swept ON attestation_verdict FOR DELETE TO sentinel_reconciler
  USING (NOT changed AND at < now() - interval '1 day');
CREATE POLICY swept ON attestation_basis FOR DELETE TO sentinel_reconciler
  USING (first_used_at < now() - interval '1 day');

-- Removes verdicts from before a time that moved no standing, but for the last one of each device, which its actor may
-- still ask for; and then what nobody was judged by since. A bounded number of rows at a time.
CREATE FUNCTION prune_verdicts(before timestamptz, batch_size integer)
RETURNS TABLE (verdicts bigint, bases bigint) LANGUAGE plpgsql VOLATILE ${safely} AS $$
DECLARE
  removed_verdicts bigint;
  removed_bases bigint;
BEGIN
  DELETE FROM public.attestation_verdict v WHERE v.ctid = ANY (ARRAY(
    SELECT o.ctid FROM public.attestation_verdict o
    WHERE NOT o.changed AND o.at < before
      AND NOT EXISTS (SELECT FROM public.device_attestation a
        WHERE a.project_id = o.project_id AND a.device_id = o.device_id AND a.verdict = o.verdict OFFSET 0)
    ORDER BY o.at LIMIT batch_size));
  GET DIAGNOSTICS removed_verdicts = ROW_COUNT;
  DELETE FROM public.attestation_basis b WHERE b.ctid = ANY (ARRAY(
    SELECT o.ctid FROM public.attestation_basis o
    WHERE o.first_used_at < before
      AND NOT EXISTS (SELECT FROM public.attestation_verdict v
        WHERE v.project_id = o.project_id AND v.basis_digest = o.digest OFFSET 0)
    LIMIT batch_size));
  GET DIAGNOSTICS removed_bases = ROW_COUNT;
  RETURN QUERY SELECT removed_verdicts, removed_bases;
END $$;

-- Of the next page of standings those that are verified by evidence that counts no longer, and the last one of the page
-- in any case, unless it is the end.
CREATE FUNCTION stale_standings(after_project text, after_device text, page_size integer, at timestamptz)
RETURNS TABLE (project_id text, device_id text, stale boolean, goes_on boolean) LANGUAGE sql STABLE ${safely} AS $$
  SELECT p.project_id, p.device_id, p.stale, p.goes_on FROM (
    SELECT a.project_id, a.device_id, a.state = 'verified' AND a.fresh_until <= at AS stale,
      row_number() OVER (ORDER BY a.project_id, a.device_id) = page_size AS goes_on
    FROM (
      SELECT * FROM public.device_attestation r
      WHERE (r.project_id, r.device_id) > (after_project, after_device)
      ORDER BY r.project_id, r.device_id LIMIT page_size) a) p
  WHERE p.stale OR p.goes_on
  ORDER BY 1, 2
$$;

REVOKE ALL ON FUNCTION prune_verdicts, stale_standings FROM PUBLIC;
GRANT EXECUTE ON FUNCTION prune_verdicts TO sentinel_worker;
GRANT EXECUTE ON FUNCTION stale_standings TO sentinel_api;
GRANT CREATE ON SCHEMA public TO sentinel_reconciler;
ALTER FUNCTION prune_verdicts OWNER TO sentinel_reconciler;
ALTER FUNCTION stale_standings OWNER TO sentinel_reconciler;
REVOKE CREATE ON SCHEMA public FROM sentinel_reconciler;
`);
  }
}
