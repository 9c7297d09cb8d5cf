// The live directory in the database, without secrets: whose votes stand is asked here, in the transaction that counts them.
import { defaultProject } from '#contracts/ids.ts';
import { permissionNames, permissionsOf, type Permission, type Role } from '#contracts/permissions.ts';
import type { Store } from './store.ts';
import { type ProjectTransaction, withProject } from './with-project.ts';

export interface OperatorRow {
  readonly username: string;
  readonly roles: readonly Role[];
  readonly permissions: readonly Permission[];
  readonly disabled: boolean;
}

/** Replaces the directory. Who is not named may decide nothing from now on. */
export async function syncOperators(store: Store, operators: readonly OperatorRow[], now: string): Promise<void> {
  await withProject(store, defaultProject, async (tx) => {
    // Two processes that start at once write one after the other: neither a mixture of both, nor a deadlock.
    await tx.query('LOCK TABLE operator IN SHARE ROW EXCLUSIVE MODE');
    await tx.query(
      `WITH given AS MATERIALIZED (
         SELECT * FROM jsonb_to_recordset($1) AS o (username text, roles text[], permissions text[], disabled boolean)
       ), gone AS (
         DELETE FROM operator WHERE username NOT IN (SELECT g.username FROM given g)
       )
       INSERT INTO operator AS known (username, roles, permissions, disabled, synced_at)
       SELECT g.username, g.roles, g.permissions, g.disabled, $2 FROM given g
       ON CONFLICT (username) DO UPDATE SET
         roles = excluded.roles, permissions = excluded.permissions, disabled = excluded.disabled,
         synced_at = excluded.synced_at
       WHERE (known.roles, known.permissions, known.disabled)
         IS DISTINCT FROM (excluded.roles, excluded.permissions, excluded.disabled)`,
      [
        JSON.stringify(
          operators.map(({ username, roles, permissions, disabled }) => ({ username, roles, permissions, disabled })),
        ),
        now,
      ],
    );
  });
}

export async function listOperators(store: Store): Promise<readonly OperatorRow[]> {
  return store.query<OperatorRow>('SELECT username, roles, permissions, disabled FROM operator ORDER BY username');
}

/** Which of these people are active and have the permission, by the directory as it is now, or as a transaction sees it. */
export async function standingVoters(
  { query }: Store | ProjectTransaction,
  usernames: readonly string[],
  permission: string,
): Promise<readonly string[]> {
  if (!isPermission(permission)) return [];
  const active = await query<OperatorRow>(
    'SELECT username, roles, permissions, disabled FROM operator WHERE username = ANY ($1) AND NOT disabled',
    [usernames],
  );
  return active.filter((person) => permissionsOf(person).includes(permission)).map(({ username }) => username);
}

function isPermission(name: string): name is Permission {
  return (permissionNames as readonly string[]).includes(name);
}
