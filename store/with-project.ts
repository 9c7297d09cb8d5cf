// The one way to a transaction on the data of a project: row security lets through what belongs to it, and nothing else.
import { CompiledQuery } from 'kysely';
import type pg from 'pg';
import { isProjectId } from '#contracts/ids.ts';
import { TrustError } from '#contracts/problems.ts';
import type { EntityManager } from './binding-driver.ts';
import { withProblemCode } from './errors.ts';
import type { Store } from './store.ts';

export interface ProjectStatements {
  readonly project: string;
  readonly store: Store;
  /** SQL with bound values. */
  readonly query: <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>;
}

export interface ProjectTransaction extends ProjectStatements {
  /** Entities, for ordinary reads. Discarded with the transaction. */
  readonly entities: EntityManager;
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
      await query(enterProject, [project]);
      return await work({ project, store, entities, query });
    });
  } catch (error) {
    throw withProblemCode(error);
  }
}

/**
 * The same for what is done with each heartbeat: without entities, and each text is planned once a connection, which costs
 * more than to run it. For texts that are always the same and look for rows by their key, so that the values make no
 * difference to the plan.
 *
 * @throws TrustError as `withProject`
 */
export async function withProjectStatements<T>(
  store: Store,
  project: string,
  work: (tx: ProjectStatements) => Promise<T>,
): Promise<T> {
  if (!isProjectId(project)) throw new TrustError('resource.not_found');
  try {
    const client = await store.pool.connect();
    try {
      return await transact(client, async () => {
        const query: ProjectStatements['query'] = async <Row>(text: string, values: readonly unknown[] = []) =>
          (await client.query({ name: nameOf(text), text, values: [...values] })).rows as Row[];
        await query(`${enterProject}, ${keepPlans}`, [project]);
        return work({ project, store, query });
      });
    } finally {
      client.release();
    }
  } catch (error) {
    throw withProblemCode(error);
  }
}

async function transact<T>(client: pg.PoolClient, work: () => Promise<T>): Promise<T> {
  await client.query('begin');
  try {
    const result = await work();
    await client.query('commit');
    return result;
  } catch (error) {
    // One that fails says less of what went wrong; the connection is given up then.
    await client.query('rollback').catch(() => {});
    throw error;
  }
}

const enterProject = `SELECT set_config('sentinel.project', $1, true)`;
/** Else a plan for the few values of one call looks cheaper than one for any, and each call is planned anew. */
const keepPlans = `set_config('plan_cache_mode', 'force_generic_plan', true)`;

/** Names of prepared statements, by their text. */
const names = new Map<string, string>();

function nameOf(text: string): string {
  let name = names.get(text);
  if (name === undefined) names.set(text, (name = `p${names.size + 1}`));
  return name;
}

interface TransactionContext {
  executeQuery(query: CompiledQuery): Promise<{ rows: unknown[] }>;
}
