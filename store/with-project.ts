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

export interface ProjectOptions {
  /**
   * Each text is planned once a connection and not each time, which costs more than to run it. For texts that are always the
   * same and look for rows by their key: what the values are makes no difference to the plan.
   */
  readonly keepsPlans?: boolean;
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
  { keepsPlans = false }: ProjectOptions = {},
): Promise<T> {
  if (!isProjectId(project)) throw new TrustError('resource.not_found');
  try {
    return await store.entities().transactional(async (entities) => {
      const context = entities.getTransactionContext<TransactionContext>();
      if (!context) throw new TypeError('a transaction has a context');
      const query = async <Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> => {
        const { rows } = await context.executeQuery(
          keepsPlans ? prepared(text, values) : CompiledQuery.raw(text, [...values]),
        );
        return rows as Row[];
      };
      await query(keepsPlans ? `${enterProject}, ${keepPlans}` : enterProject, [project]);
      return await work({ project, store, entities, query });
    });
  } catch (error) {
    throw withProblemCode(error);
  }
}

const enterProject = `SELECT set_config('sentinel.project', $1, true)`;
/** Else a plan for the few values of one call looks cheaper than one for any, and each call is planned anew. */
const keepPlans = `set_config('plan_cache_mode', 'force_generic_plan', true)`;

/** Names of prepared statements, by their text. */
const names = new Map<string, string>();

/** What the connection's library takes for a prepared statement, in the place of a text: the query builder passes it on. */
function prepared(text: string, values: readonly unknown[]): CompiledQuery {
  let name = names.get(text);
  if (name === undefined) names.set(text, (name = `p${names.size + 1}`));
  return CompiledQuery.raw({ name, text } as unknown as string, [...values]);
}

interface TransactionContext {
  executeQuery(query: CompiledQuery): Promise<{ rows: unknown[] }>;
}
