// A database for one test or file: a copy of a template that is migrated once a run.
import { createHmac, randomBytes } from 'node:crypto';
import pg from 'pg';
import { migrate, prepareLogins } from '#store/migrate.ts';
import { type LoginName, loginNames } from '#store/roles.ts';
import type { Cleanup } from './cleanup.ts';
import { serverAddress } from './servers.ts';

export interface TestDatabase {
  readonly name: string;
  /** Connects the owner, who migrates. */
  readonly ownerUrl: string;
  /** Connects a superuser, who sees past row-level security. */
  readonly superuserUrl: string;
  /** Connects as a process does. */
  readonly url: Readonly<Record<LoginName, string>>;
}

/** Several files may run at once, in processes of their own; they share a template by the run's name. */
const run = process.env['SENTINEL_TEST_RUN'] ?? randomBytes(6).toString('hex');
const template = `sentinel_template_${run}`;
const owner = 'sentinel';

/** Makes a database with the schema of this release, or with none, and nothing in it. It goes with the server. */
export async function testDatabase(_t?: Cleanup, { migrated = true } = {}): Promise<TestDatabase> {
  const serverUrl = await serverAddress('postgres');
  const name = `sentinel_test_${randomBytes(6).toString('hex')}`;
  await onConnection(serverUrl, async (client) => {
    if (migrated) await ensureTemplate(client, serverUrl);
    else await inTurn(client, () => ensureOwner(client, serverUrl));
    await client.query(`CREATE DATABASE ${name} OWNER ${owner} ${migrated ? `TEMPLATE ${template}` : ''}`);
  });
  return describe(serverUrl, name);
}

function describe(serverUrl: string, name: string): TestDatabase {
  const logins = Object.keys(loginNames) as LoginName[];
  return {
    name,
    ownerUrl: urlOf(serverUrl, name, owner),
    superuserUrl: Object.assign(new URL(serverUrl), { pathname: name }).href,
    url: Object.fromEntries(logins.map((login) => [login, urlOf(serverUrl, name, login)])) as TestDatabase['url'],
  };
}

/** What a statement answers on a connection of its own. */
export function rowsOf(url: string, text: string): Promise<Record<string, unknown>[]> {
  return onConnection(url, async (client) => (await client.query<Record<string, unknown>>(text)).rows);
}

/** Whoever comes first makes the template, and the others wait. */
async function ensureTemplate(client: pg.Client, serverUrl: string): Promise<void> {
  await inTurn(client, async () => {
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1 AND datistemplate', [template]);
    if (rowCount === 1) return;
    await ensureOwner(client, serverUrl);
    // What an attempt that failed has left is not a template yet.
    await client.query(`DROP DATABASE IF EXISTS ${template} WITH (FORCE)`);
    await client.query(`CREATE DATABASE ${template} OWNER ${owner}`);
    const ownerUrl = urlOf(serverUrl, template, owner);
    await migrate(ownerUrl);
    const logins = Object.keys(loginNames) as LoginName[];
    await prepareLogins(ownerUrl, Object.fromEntries(logins.map((login) => [login, passwordOf(serverUrl, login)])));
    await client.query(`ALTER DATABASE ${template} IS_TEMPLATE true`);
  });
}

/** Two processes of a run cannot change one role at once. */
async function inTurn(client: pg.Client, work: () => Promise<void>): Promise<void> {
  await client.query(`SELECT pg_advisory_lock(hashtext($1))`, [template]);
  try {
    await work();
  } finally {
    await client.query(`SELECT pg_advisory_unlock(hashtext($1))`, [template]);
  }
}

/** An owner with no more rights than an installation gives: it may make roles, and is no superuser. */
async function ensureOwner(client: pg.Client, serverUrl: string): Promise<void> {
  const { rowCount } = await client.query('SELECT FROM pg_roles WHERE rolname = $1', [owner]);
  await client.query(
    `${rowCount === 1 ? 'ALTER' : 'CREATE'} ROLE ${owner} LOGIN NOSUPERUSER NOCREATEDB CREATEROLE PASSWORD '${passwordOf(serverUrl, owner)}'`,
  );
}

/** The same for every process of a run, and of no use outside it. */
function passwordOf(serverUrl: string, login: string): string {
  return createHmac('sha256', new URL(serverUrl).password).update(login).digest('base64url');
}

function urlOf(serverUrl: string, database: string, login: string): string {
  return Object.assign(new URL(serverUrl), {
    username: login,
    password: passwordOf(serverUrl, login),
    pathname: database,
  }).href;
}

async function onConnection<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000, query_timeout: 60_000 });
  client.on('error', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
