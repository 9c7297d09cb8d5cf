// Filters of the fleet that people keep under a name, each for themselves.
import { Migration } from '@mikro-orm/migrations';
import { protectProjectTables } from './row-security.ts';

export class SavedFilters extends Migration {
  override up(): void {
    this.addSql(`
CREATE TABLE saved_filter (
  project_id text NOT NULL REFERENCES project,
  username text NOT NULL,
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
  query jsonb NOT NULL CHECK (pg_column_size(query) <= 2000),
  saved_at timestamptz(3) NOT NULL,
  PRIMARY KEY (project_id, username, name)
);
`);
    this.addSql(protectProjectTables(['saved_filter']));
    this.addSql(`GRANT SELECT, INSERT, UPDATE, DELETE ON saved_filter TO sentinel_api;`);
  }
}
