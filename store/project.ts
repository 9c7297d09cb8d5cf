// Projects: everything that is kept belongs to one.
import { isProjectId } from '#contracts/ids.ts';
import type { Store } from './store.ts';

export async function projectExists(store: Store, id: string): Promise<boolean> {
  if (!isProjectId(id)) return false;
  return (await store.query('SELECT FROM project WHERE id = $1', [id])).length === 1;
}

/** Projects in a fixed order, at most `limit` of them. */
export async function listProjects(store: Store, limit: number): Promise<readonly string[]> {
  const rows = await store.query<{ id: string }>('SELECT id FROM project ORDER BY id LIMIT $1', [limit]);
  return rows.map(({ id }) => id);
}
