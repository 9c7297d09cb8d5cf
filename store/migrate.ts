// Brings a database to the schema of this release, and keeps processes from running on any other.
import { createHash } from 'node:crypto';
import { Migrator } from '@mikro-orm/migrations';
import { MikroORM } from '@mikro-orm/postgresql';
import pg from 'pg';
import { TrustError } from '#contracts/problems.ts';
import { migrations } from './migrations/list.ts';
import { prepareLogins as prepareLoginRoles, prepareRoles, type LoginName } from './roles.ts';

const tableName = 'schema_migration';
/** Everybody who migrates this database waits for the one who began. */
const lockKey = createHash('sha256').update('sentinel schema').digest().readBigInt64BE().toString();

export interface SchemaStatus {
  /** In the code, not in the database. */
  readonly pending: readonly string[];
  /** In the database, not in the code: it was written by a newer release. */
  readonly unknown: readonly string[];
}

/**
 * Applies what is missing, in one transaction.
 *
 * @param ownerUrl Connects the owner of the database, who needs CREATEROLE the first time.
 * @param options.to Stops after this migration; for tests of upgrades.
 * @throws TrustError `service.unavailable` when the database was written by a newer release
 * @idempotent by migration name; concurrent calls wait for each other
 */
export async function migrate(ownerUrl: string, options: { to?: string } = {}): Promise<{ applied: string[] }> {
  return asOwner(ownerUrl, async (client) => {
    await client.query('SELECT pg_advisory_lock($1)', [lockKey]);
    requireNotNewer(await readStatus(client));
    await prepareRoles(client);
    const orm = new MikroORM({
      clientUrl: ownerUrl,
      entities: [],
      discovery: { warnWhenNoEntities: false },
      extensions: [Migrator],
      migrations: { tableName, migrationsList: [...migrations], snapshot: false, silent: true },
      pool: { min: 0, max: 2 },
    });
    try {
      const applied = await orm.migrator.up(options);
      return { applied: applied.map(({ name }) => name) };
    } finally {
      await orm.close(true);
    }
  });
}

/** Makes the logins of the processes; see `roles.ts`. */
export async function prepareLogins(
  ownerUrl: string,
  passwords: Readonly<Partial<Record<LoginName, string>>>,
): Promise<void> {
  await asOwner(ownerUrl, (client) => prepareLoginRoles(client, passwords));
}

export async function schemaStatus(url: string): Promise<SchemaStatus> {
  return asOwner(url, readStatus);
}

/** @throws TrustError `service.unavailable` unless the database has exactly the schema of this release */
export async function requireCurrentSchema(client: Queryable): Promise<void> {
  const status = await readStatus(client);
  requireNotNewer(status);
  if (status.pending.length > 0) {
    throw new TrustError('service.unavailable', {
      detail: `The database is older than this release (${status.pending.join(', ')}). Run: sentinel migrate`,
    });
  }
}

interface Queryable {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}

async function readStatus(client: Queryable): Promise<SchemaStatus> {
  const { rows: found } = await client.query('SELECT to_regclass($1) IS NOT NULL AS found', [`public.${tableName}`]);
  const executed = (found as { found: boolean }[])[0]?.found
    ? ((await client.query('SELECT name FROM public.schema_migration ORDER BY id')).rows as { name: string }[])
    : [];
  const applied = new Set(executed.map(({ name }) => name));
  const known = new Set<string>(migrations.map(({ name }) => name));
  return {
    pending: [...known].filter((name) => !applied.has(name)),
    unknown: [...applied].filter((name) => !known.has(name)),
  };
}

function requireNotNewer({ unknown }: SchemaStatus): void {
  if (unknown.length === 0) return;
  throw new TrustError('service.unavailable', {
    detail: `The database was written by a newer release (${unknown.join(', ')}). Run that release, or restore a backup.`,
  });
}

async function asOwner<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'sentinel migrate',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  });
  client.on('error', () => {});
  try {
    await client.connect();
  } catch (cause) {
    throw new TrustError('service.unavailable', { detail: 'The database cannot be reached.', cause });
  }
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => {});
  }
}
