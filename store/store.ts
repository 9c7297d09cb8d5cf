// The way into the database: one pool of connections that act as one role, and what every query needs besides.
import { MikroORM } from '@mikro-orm/core';
import type pg from 'pg';
import type { Clock, Json, Log, Random, Tracer } from '#contracts/deps.ts';
import { BindingDriver, type EntityManager } from './binding-driver.ts';
import { connectionConfig } from './connection.ts';
import { entities } from './entities/list.ts';
import { withProblemCode } from './errors.ts';
import { giveBackLostConnections } from './lost-connections.ts';
import { requireCurrentSchema } from './migrate.ts';
import type { ProcessRole } from './roles.ts';
import { traceStatements } from './traced-statements.ts';

export interface StoreOptions {
  /** Connects a login that is a member of `role`; anything else it may do is given up. */
  readonly databaseUrl: string;
  readonly role: ProcessRole;
  /** Connections, at most. */
  readonly pool: number;
  readonly clock: Clock;
  readonly random: Pick<Random, 'uuid'>;
  /** RFC 8785 form of a value, in UTF-8: what audit events are hashed as. */
  readonly canonicalBytes: (value: Json) => Uint8Array;
  readonly log: Log;
  /** Gets a span for each statement; nothing is wrapped when absent. */
  readonly tracer?: Tracer | undefined;
}

export interface Store {
  readonly role: ProcessRole;
  readonly databaseUrl: string;
  readonly clock: Clock;
  readonly random: Pick<Random, 'uuid'>;
  readonly canonicalBytes: (value: Json) => Uint8Array;
  readonly log: Log;
  readonly pool: pg.Pool;
  /** A unit of work of its own, outside any project: it sees installation-wide tables only. */
  readonly entities: () => EntityManager;
  /** One statement outside any project. Rows of projects are out of its reach, except for roles that serve all of them. */
  readonly query: <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>;
  readonly close: () => Promise<void>;
}

/**
 * Connects, and makes sure that the database has the schema of this release.
 *
 * @throws TrustError `service.unavailable`
 */
export async function createStore(options: StoreOptions): Promise<Store> {
  const { databaseUrl, role, clock, random, canonicalBytes, log } = options;
  const orm = new MikroORM<BindingDriver>({
    driver: BindingDriver,
    entities: [...entities],
    clientUrl: databaseUrl,
    driverOptions: { ...connectionConfig(databaseUrl, role), max: options.pool },
    implicitTransactions: false,
    logger: (message) => log.warn({}, message),
    colors: false,
  });
  const connection = orm.em.getDriver().getConnection();
  const store: Store = {
    role,
    databaseUrl,
    clock,
    random,
    canonicalBytes,
    log,
    pool: await connection.getNativeClient(),
    entities: () => orm.em.fork(),
    async query<Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
      try {
        return (await store.pool.query(text, [...values])).rows as Row[];
      } catch (error) {
        throw withProblemCode(error);
      }
    },
    close: () => orm.close(true),
  };
  giveBackLostConnections(store.pool);
  if (options.tracer !== undefined) traceStatements(store.pool, options.tracer);
  try {
    await requireCurrentSchema(store.pool);
  } catch (error) {
    await store.close();
    throw withProblemCode(error);
  }
  return store;
}
