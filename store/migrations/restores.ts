// What it takes to find a restored database out: which row each actor should stand on, and revocations given back by who knows of them.
import { Migration } from '@mikro-orm/migrations';

export class Restores extends Migration {
  override up(): void {
    this.addSql(`
GRANT CREATE ON SCHEMA public TO sentinel_reconciler;
DROP FUNCTION actor_runs;
CREATE FUNCTION actor_runs(after_project text, after_id text, page_size integer)
RETURNS TABLE (project_id text, id text, kind text, subject_id text, run_id text, revision bigint, epoch integer,
  state text) LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT a.project_id, a.id, a.kind, a.subject_id, a.run_id, a.revision, a.epoch, a.state
  FROM public.actor a
  WHERE (a.kind = 'device' OR a.state IN ('open', 'deciding'))
    AND (a.project_id, a.id) > (after_project, after_id)
  ORDER BY a.project_id, a.id LIMIT page_size
$$;
REVOKE ALL ON FUNCTION actor_runs FROM PUBLIC;
GRANT EXECUTE ON FUNCTION actor_runs TO sentinel_worker;
ALTER FUNCTION actor_runs OWNER TO sentinel_reconciler;
REVOKE CREATE ON SCHEMA public FROM sentinel_reconciler;

-- An actor that adopts an older row gives back the revocations that it knows of: the list only ever grows.
GRANT INSERT ON certificate_denylist TO sentinel_worker;
`);
  }
}
