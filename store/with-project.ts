// The one way to a transaction on the data of a project: row security lets through what belongs to it, and nothing else.
import { CompiledQuery } from 'kysely';
import { isProjectId } from '#contracts/ids.ts';
import { TrustError } from '#contracts/problems.ts';
import type { EntityManager } from './binding-driver.ts';
import { withProblemCode } from './errors.ts';
import type { Store } from './store.ts';

export interface ProjectTransaction {
  readonly project: string;
  readonly store: Store;
  /** Entities, for ordinary reads. Discarded with the transaction. */
  readonly entities: EntityManager;
  /** SQL with bound values. */
  readonly query: <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>;
}

/**
 * Runs `work` in one transaction that sees this project only, and commits when it returns.
 *
 * @throws TrustError `service.unavailable` when the database is away or somebody else was in the way: try again.
 */
export async function withProject<T>(
  store: Store,
  project: string,
  work: (tx: ProjectTransaction) => Promise<T>,
): Promise<T> {
  if (!isProjectId(project)) throw new TrustError('resource.not_found');
  try {
    return await store.entities().transactional(async (entities) => {
      const context = entities.getTransactionContext<TransactionContext>();
      if (!context) throw new TypeError('a transaction has a context');
      const query = async <Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> => {
        const { rows } = await context.executeQuery(CompiledQuery.raw(text, [...values]));
        return rows as Row[];
      };
      await query(`SELECT set_config('sentinel.project', $1, true)`, [project]);
      return await work({ project, store, entities, query });
    });
  } catch (error) {
    throw withProblemCode(error);
  }
}

interface TransactionContext {
  executeQuery(query: CompiledQuery): Promise<{ rows: unknown[] }>;
}
