// Filters of the fleet that a person keeps: theirs alone, and not many.
import type { JsonObject } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { SavedFilter } from './entities/people.ts';
import { plain } from './plain.ts';
import type { Store } from './store.ts';
import { withProject } from './with-project.ts';

export interface SavedFilterRow {
  readonly name: string;
  readonly query: JsonObject;
  readonly saved_at: string;
}

/** So many each person keeps in a project. */
export const savedFiltersLimit = 50;

/** By name. There are never more than the limit. */
export async function listSavedFilters(
  store: Store,
  project: string,
  username: string,
): Promise<readonly SavedFilterRow[]> {
  const rows = await withProject(store, project, (tx) =>
    tx.entities.find(SavedFilter, { project_id: project, username }, { orderBy: { name: 'asc' } }),
  );
  return rows.map((row) => {
    const { name, query, saved_at } = plain<SavedFilterRow>(row);
    return { name, query, saved_at };
  });
}

/**
 * Keeps a filter, in place of the one that had this name.
 *
 * @throws TrustError `filter.too_many`
 * @idempotent by name
 */
export async function saveFilter(store: Store, project: string, username: string, row: SavedFilterRow): Promise<void> {
  await withProject(store, project, async (tx) => {
    // One at a time for each person, so that two at once do not both take the last place.
    await tx.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`saved_filter ${project} ${username}`]);
    const saved = await tx.query(
      `INSERT INTO saved_filter (project_id, username, name, query, saved_at)
       SELECT $1, $2, $3, $4, $5
       WHERE (SELECT count(*) FROM saved_filter WHERE project_id = $1 AND username = $2 AND name <> $3) < $6
       ON CONFLICT (project_id, username, name) DO UPDATE SET query = excluded.query, saved_at = excluded.saved_at
       RETURNING name`,
      [project, username, row.name, JSON.stringify(row.query), row.saved_at, savedFiltersLimit],
    );
    if (saved.length === 0) throw new TrustError('filter.too_many', { facts: { limit: savedFiltersLimit } });
  });
}

/** @returns whether there was one @idempotent by name */
export async function deleteSavedFilter(
  store: Store,
  project: string,
  username: string,
  name: string,
): Promise<boolean> {
  const rows = await withProject(store, project, (tx) =>
    tx.query('DELETE FROM saved_filter WHERE project_id = $1 AND username = $2 AND name = $3 RETURNING name', [
      project,
      username,
      name,
    ]),
  );
  return rows.length > 0;
}
