// How many devices have news that nobody takes in, for those who ask whether all is well: a number and no names.
import { Migration } from '@mikro-orm/migrations';

export class WaitingNews extends Migration {
  override up(): void {
    this.addSql(`
CREATE FUNCTION waiting_news(at timestamptz, most integer) RETURNS integer LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT count(*)::integer FROM public.devices_with_news('', '', most, at)
$$;
REVOKE ALL ON FUNCTION waiting_news FROM PUBLIC;
GRANT EXECUTE ON FUNCTION waiting_news TO sentinel_api;
GRANT CREATE ON SCHEMA public TO sentinel_reconciler;
ALTER FUNCTION waiting_news OWNER TO sentinel_reconciler;
REVOKE CREATE ON SCHEMA public FROM sentinel_reconciler;
`);
  }
}
