// Events belong to a project that is there: one of any other could never be given its place in a chain.
import { Migration } from '@mikro-orm/migrations';

export class EventProjects extends Migration {
  override up(): void {
    for (const table of ['audit_event', 'outbox_event']) {
      // The owner is held to one project too, and whoever sees no row finds none that is wrong.
      this.addSql(`
ALTER TABLE ${table} NO FORCE ROW LEVEL SECURITY;
ALTER TABLE ${table} ADD FOREIGN KEY (project_id) REFERENCES project;
ALTER TABLE ${table} FORCE ROW LEVEL SECURITY;
`);
    }
  }
}
