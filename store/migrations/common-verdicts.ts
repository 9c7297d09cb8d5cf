// What the verdicts of a device that goes on have in common, keys and certificates above all, is kept once for all of them.
import { Migration } from '@mikro-orm/migrations';
import { protectProjectTables } from './row-security.ts';

export class CommonVerdicts extends Migration {
  override up(): void {
    this.addSql(`
CREATE TABLE attestation_common (
  project_id text NOT NULL REFERENCES project,
  -- Over the content and the digest of the basis.
  digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
  basis_digest text NOT NULL,
  content jsonb NOT NULL,
  first_used_at timestamptz(3) NOT NULL,
  PRIMARY KEY (project_id, digest),
  FOREIGN KEY (project_id, basis_digest) REFERENCES attestation_basis (project_id, digest)
);
CREATE INDEX attestation_common_basis ON attestation_common (project_id, basis_digest);

-- Verdicts from before are whole, and name their basis themselves.
ALTER TABLE attestation_verdict
  ADD COLUMN common_digest text,
  ALTER COLUMN basis_digest DROP NOT NULL,
  ADD FOREIGN KEY (project_id, common_digest) REFERENCES attestation_common (project_id, digest),
  ADD CHECK ((common_digest IS NULL) <> (basis_digest IS NULL));
DROP INDEX attestation_verdict_basis;
CREATE INDEX attestation_verdict_basis ON attestation_verdict (project_id, basis_digest) WHERE basis_digest IS NOT NULL;
CREATE INDEX attestation_verdict_common ON attestation_verdict (project_id, common_digest) WHERE common_digest IS NOT NULL;
`);
    this.addSql(protectProjectTables(['attestation_common']));
    this.addSql(`
GRANT SELECT, INSERT ON attestation_common TO sentinel_api;
GRANT SELECT ON attestation_common TO sentinel_worker;
GRANT SELECT, DELETE ON attestation_common TO sentinel_reconciler;
CREATE POLICY looked_after ON attestation_common FOR SELECT TO sentinel_reconciler USING (true);
-- No setting keeps verdicts for less than a day.
CREATE POLICY swept ON attestation_common FOR DELETE TO sentinel_reconciler
  USING (first_used_at < now() - interval '1 day');

DROP FUNCTION prune_verdicts;
-- Removes verdicts from before a time that moved no standing, but for the last one of each device, which its actor may
-- still ask for; then what only these had in common, and bases that nobody was judged by since. A bounded number of rows.
CREATE FUNCTION prune_verdicts(before timestamptz, batch_size integer)
RETURNS TABLE (verdicts bigint, commons bigint, bases bigint) LANGUAGE plpgsql VOLATILE
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  removed_verdicts bigint;
  removed_commons bigint := 0;
  removed_bases bigint := 0;
  projects text[];
  digests text[];
  left_over record;
BEGIN
  WITH removed AS (
    DELETE FROM public.attestation_verdict v WHERE v.ctid = ANY (ARRAY(
      SELECT o.ctid FROM public.attestation_verdict o
      WHERE NOT o.changed AND o.at < before
        AND NOT EXISTS (SELECT FROM public.device_attestation a
          WHERE a.project_id = o.project_id AND a.device_id = o.device_id AND a.verdict = o.verdict OFFSET 0)
      ORDER BY o.at LIMIT batch_size))
    RETURNING v.project_id, v.common_digest),
  referred AS (
    SELECT r.project_id, r.common_digest, count(*) AS verdicts FROM removed r GROUP BY 1, 2)
  SELECT coalesce(sum(r.verdicts), 0), array_agg(r.project_id) FILTER (WHERE r.common_digest IS NOT NULL),
    array_agg(r.common_digest) FILTER (WHERE r.common_digest IS NOT NULL)
  INTO removed_verdicts, projects, digests FROM referred r;
  FOR left_over IN
    SELECT c.project_id, c.digest
    FROM unnest(projects, digests) r (project_id, digest)
    JOIN public.attestation_common c ON c.project_id = r.project_id AND c.digest = r.digest
    WHERE NOT EXISTS (SELECT FROM public.attestation_verdict v
      WHERE v.project_id = c.project_id AND v.common_digest = c.digest OFFSET 0)
  LOOP
    BEGIN
      DELETE FROM public.attestation_common c WHERE c.project_id = left_over.project_id AND c.digest = left_over.digest;
      IF FOUND THEN removed_commons := removed_commons + 1; END IF;
    EXCEPTION WHEN foreign_key_violation THEN
      NULL; -- A verdict of this very moment has it in common as well, and takes it along when it goes.
    END;
  END LOOP;
  BEGIN
    DELETE FROM public.attestation_basis b WHERE b.ctid = ANY (ARRAY(
      SELECT o.ctid FROM public.attestation_basis o
      WHERE o.first_used_at < before
        AND NOT EXISTS (SELECT FROM public.attestation_common c
          WHERE c.project_id = o.project_id AND c.basis_digest = o.digest OFFSET 0)
        AND NOT EXISTS (SELECT FROM public.attestation_verdict v
          WHERE v.project_id = o.project_id AND v.basis_digest = o.digest OFFSET 0)
      LIMIT batch_size));
    GET DIAGNOSTICS removed_bases = ROW_COUNT;
  EXCEPTION WHEN foreign_key_violation THEN
    removed_bases := 0; -- One is used again; the next sweep finds the others.
  END;
  RETURN QUERY SELECT removed_verdicts, removed_commons, removed_bases;
END $$;
REVOKE ALL ON FUNCTION prune_verdicts FROM PUBLIC;
GRANT EXECUTE ON FUNCTION prune_verdicts TO sentinel_worker;
GRANT CREATE ON SCHEMA public TO sentinel_reconciler;
ALTER FUNCTION prune_verdicts OWNER TO sentinel_reconciler;
REVOKE CREATE ON SCHEMA public FROM sentinel_reconciler;
`);
  }
}
