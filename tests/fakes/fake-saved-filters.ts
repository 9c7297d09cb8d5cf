// Saved filters of people, in memory.
import type { SavedFiltersDeps } from '#api/saved-filters.ts';
import type { SavedFilterRow } from '#store/saved-filter.ts';

export function fakeSavedFilters(): SavedFiltersDeps['savedFilters'] {
  const kept = new Map<string, SavedFilterRow>();
  const key = (project: string, username: string, name = '') => JSON.stringify([project, username]) + name;
  return {
    list: async (project, username) =>
      [...kept]
        .filter(([of]) => of.startsWith(key(project, username)))
        .map(([, row]) => row)
        .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    save: async (project, username, row) => void kept.set(key(project, username, row.name), row),
    delete: async (project, username, name) => kept.delete(key(project, username, name)),
  };
}
