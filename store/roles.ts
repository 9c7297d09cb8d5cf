// The roles that processes act as. None can sign in: a login is a member of exactly one of them.
import type pg from 'pg';
import { TrustError } from '#contracts/problems.ts';

/** What each role is for; the grants are in the migrations. */
export const databaseRoles = {
  sentinel_api: 'Serves requests: reads a project, writes sessions, sightings and unsealed audit events.',
  sentinel_worker: 'Runs activities: writes what actors decided.',
  sentinel_sealer: 'Numbers and links audit and outbox rows; the only role that sets their hashes.',
  sentinel_heartbeat: 'Owns the functions of the heartbeat path; nobody signs in as it.',
  sentinel_reconciler: 'Owns the functions that look and sweep across projects; nobody signs in as it.',
} as const;
export type DatabaseRole = keyof typeof databaseRoles;

export const loginNames = {
  sentinel_api_login: 'sentinel_api',
  sentinel_worker_login: 'sentinel_worker',
  sentinel_sealer_login: 'sentinel_sealer',
} as const satisfies Record<string, DatabaseRole>;
export type LoginName = keyof typeof loginNames;
/** A role that a process may act as. */
export type ProcessRole = (typeof loginNames)[LoginName];

/** Roles belong to the server, not to a database: another one may be made ready at this moment. */
const attempts = 10;

/**
 * Makes the roles that are missing, and lets the owner act as each, which it needs to hand over functions and to serve
 * as the only login of a small installation.
 *
 * @throws TrustError `service.unavailable` when the owner may do neither
 */
export async function prepareRoles(client: pg.Client): Promise<void> {
  for (const role of Object.keys(databaseRoles)) {
    await retryWhileContended(async () => {
      if (!(await roleExists(client, role))) await client.query(`CREATE ROLE ${client.escapeIdentifier(role)} NOLOGIN`);
    });
    await retryWhileContended(async () => {
      const { rows } = await client.query<{ member: boolean }>(
        `SELECT pg_has_role(current_user, $1, 'SET') AS member`,
        [role],
      );
      // Without INHERIT: the owner has these rights only while it acts as the role.
      if (!rows[0]?.member)
        await client.query(`GRANT ${client.escapeIdentifier(role)} TO CURRENT_USER WITH SET TRUE, INHERIT FALSE`);
    });
  }
}

/**
 * Makes the logins of the processes, or gives them these passwords, and grants each its one role.
 *
 * @idempotent by login name
 */
export async function prepareLogins(
  client: pg.Client,
  passwords: Readonly<Partial<Record<LoginName, string>>>,
): Promise<void> {
  // A statement that fails is logged; these hold passwords. Not every owner may ask for that.
  await client.query(`SELECT set_config('log_min_error_statement', 'panic', false)
    WHERE has_parameter_privilege('log_min_error_statement', 'SET')`);
  for (const [login, role] of Object.entries(loginNames)) {
    const password = passwords[login as LoginName];
    if (password === undefined) continue;
    const name = client.escapeIdentifier(login);
    await retryWhileContended(async () => {
      // Who may not create databases may not say NOCREATEDB of an existing role either.
      const statement = (await roleExists(client, login))
        ? `ALTER ROLE ${name} LOGIN`
        : `CREATE ROLE ${name} LOGIN NOCREATEDB NOCREATEROLE`;
      await client.query(`${statement} PASSWORD ${client.escapeLiteral(password)}`);
    });
    await retryWhileContended(async () => {
      const { rows } = await client.query<{ granted: boolean }>(
        `SELECT EXISTS (SELECT FROM pg_auth_members m
           WHERE m.roleid = $1::text::regrole AND m.member = $2::text::regrole AND m.set_option) AS granted`,
        [role, login],
      );
      if (!rows[0]?.granted)
        await client.query(`GRANT ${client.escapeIdentifier(role)} TO ${name} WITH SET TRUE, INHERIT FALSE`);
    });
  }
}

async function roleExists(client: pg.Client, role: string): Promise<boolean> {
  const { rowCount } = await client.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [role]);
  return rowCount === 1;
}

async function retryWhileContended(work: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const { code, message } = error as { code?: string; message?: string };
      if (code === '42501') {
        throw new TrustError('service.unavailable', {
          detail: `The database owner cannot prepare its roles (${message ?? ''}). Give it CREATEROLE, or have an administrator create ${Object.keys(databaseRoles).join(', ')} and grant them to it WITH ADMIN OPTION.`,
          cause: error,
        });
      }
      // 42710 and 23505: somebody else made it first. XX000: "tuple concurrently updated".
      const contended = code === '42710' || code === '23505' || code === 'XX000';
      if (!contended || attempt === attempts) throw error;
    }
  }
}
