// /api/saved-filters: filters of the fleet that people keep under a name, each their own and nobody else's.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Clock } from '#contracts/deps.ts';
import { SavedFilter, SavedFilterBody, SavedFilterList, SavedFilterParams } from '#contracts/http/saved-filters.ts';
import { TrustError } from '#contracts/problems.ts';
import type { SavedFilterRow } from '#store/saved-filter.ts';
import { signedIn } from './authorization.ts';
import { projectOf } from './projects.ts';

export interface SavedFiltersDeps {
  readonly savedFilters: {
    list(project: string, username: string): Promise<readonly SavedFilterRow[]>;
    /** @throws TrustError `filter.too_many` */
    save(project: string, username: string, row: SavedFilterRow): Promise<void>;
    delete(project: string, username: string, name: string): Promise<boolean>;
  };
  readonly clock: Clock;
}

export const savedFilterRoutes: FastifyPluginAsyncTypebox<SavedFiltersDeps> = async (app, { savedFilters, clock }) => {
  app.get(
    '/api/saved-filters',
    {
      config: { access: 'device.read' },
      schema: {
        operationId: 'listSavedFilters',
        tags: ['devices'],
        summary: 'One’s own saved filters of the fleet, by name',
        response: { 200: SavedFilterList },
      },
    },
    async (request) => {
      const items = await savedFilters.list(projectOf(request), signedIn(request).username);
      return { items: items.map((row) => ({ ...row, query: { ...row.query } })), next_cursor: null };
    },
  );

  app.put(
    '/api/saved-filters/:name',
    {
      config: { access: 'device.read' },
      schema: {
        operationId: 'saveFilter',
        tags: ['devices'],
        summary: 'Keep a filter of the fleet under a name, in place of one that has it',
        params: SavedFilterParams,
        body: SavedFilterBody,
        response: { 200: SavedFilter },
      },
    },
    async (request) => {
      const row = { name: request.params.name, query: { ...request.body.query }, saved_at: clock.now().toISOString() };
      await savedFilters.save(projectOf(request), signedIn(request).username, row);
      return row;
    },
  );

  app.delete(
    '/api/saved-filters/:name',
    {
      config: { access: 'device.read' },
      schema: {
        operationId: 'deleteSavedFilter',
        tags: ['devices'],
        summary: 'Forget a saved filter',
        params: SavedFilterParams,
        response: { 204: {} },
      },
    },
    async (request, reply) => {
      const found = await savedFilters.delete(projectOf(request), signedIn(request).username, request.params.name);
      if (!found) throw new TrustError('resource.not_found');
      return reply.code(204).send();
    },
  );
};
