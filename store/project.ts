// Projects: everything that is kept belongs to one.
import { isProjectId } from '#contracts/ids.ts';
import type { Store } from './store.ts';

export async function projectExists(store: Store, id: string): Promise<boolean> {
  if (!isProjectId(id)) return false;
  return (await store.query('SELECT FROM project WHERE id = $1', [id])).length === 1;
}
