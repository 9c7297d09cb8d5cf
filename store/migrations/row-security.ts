// What every table of a project has from its first day: rows of one project at a time, for the owner too.

/** @param tables names of tables with a column `project_id`; constants of a migration, never input. */
export function protectProjectTables(tables: readonly string[]): string {
  return tables
    .map(
      (table) => `
ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE ${table} FORCE ROW LEVEL SECURITY;
CREATE POLICY own_project ON ${table} USING (project_id = current_setting('sentinel.project', true));`,
    )
    .join('\n');
}
