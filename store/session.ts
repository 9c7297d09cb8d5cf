// Sessions of people, what sign-in has to remember, and better hashes of configured passwords.
import type { AuditEntry } from '#contracts/audit.ts';
import { defaultProject, isUuid } from '#contracts/ids.ts';
import { record } from './audit.ts';
import { AdminSession } from './entities/people.ts';
import { newestFirst, type Page } from './page.ts';
import { plain, toInstant } from './plain.ts';
import type { Store } from './store.ts';
import { withProject } from './with-project.ts';

export interface StoredSession {
  readonly id: string;
  readonly username: string;
  readonly created_at: string;
  readonly expires_at: string;
  readonly last_used_at: string | null;
  readonly ended_at: string | null;
  readonly ip: string | null;
  readonly user_agent: string | null;
}

export type SessionPosition = { readonly created_at: string; readonly id: string };

export interface NewSession {
  readonly id: string;
  readonly username: string;
  readonly createdAt: string;
  readonly expiresAt: string;
  readonly ip: string;
  readonly userAgent: string | null;
}

/** A use is noted this often: who reads sessions wants to know the day, and requests are many. */
const noteUseSeconds = 60;

/** Events about sign-in belong to no project of their own; the first one keeps them. */
export async function openSession(store: Store, session: NewSession, audit: AuditEntry): Promise<void> {
  await withProject(store, defaultProject, async (tx) => {
    await tx.query(
      `INSERT INTO admin_session (id, username, created_at, expires_at, ip, user_agent)
       VALUES ($1, $2, $3, $4, $5, $6)`,
      [session.id, session.username, session.createdAt, session.expiresAt, session.ip, session.userAgent],
    );
    await record(tx, { audit: [audit] });
  });
}

/** The session as it is at this moment. Asked on every request, so that an ended one ends at once, in every process. */
export async function useSession(store: Store, id: string, now: string): Promise<StoredSession | null> {
  if (!isUuid(id)) return null;
  const [row] = await store.query<StoredSession>(
    `WITH used AS (
       UPDATE admin_session SET last_used_at = $2
       WHERE id = $1 AND ended_at IS NULL AND expires_at > $2
         AND coalesce(last_used_at <= $2::timestamptz - make_interval(secs => $3), true)
     )
     SELECT id, username, created_at, expires_at, last_used_at, ended_at, ip, user_agent
     FROM admin_session WHERE id = $1`,
    [id, now, noteUseSeconds],
  );
  return row ? toSession(row) : null;
}

export async function findSession(store: Store, id: string): Promise<StoredSession | null> {
  if (!isUuid(id)) return null;
  const row = await store.entities().findOne(AdminSession, { id });
  return row && plain<StoredSession>(row);
}

/** Lists the sessions of a person, or of everybody for null, the newest first. */
export async function listSessions(
  store: Store,
  username: string | null,
  page: Page<SessionPosition>,
): Promise<readonly StoredSession[]> {
  const { beyond, ...options } = newestFirst(['created_at', 'id'], page);
  const rows = await store
    .entities()
    .find(AdminSession, { ...(username === null ? {} : { username }), ...beyond }, options);
  return rows.map((row) => plain<StoredSession>(row));
}

/**
 * Ends a session and writes the event in one transaction. One that has ended stays as it is.
 *
 * @returns the session after it; null when there is none
 * @idempotent by session id
 */
export async function endSession(
  store: Store,
  id: string,
  audit: AuditEntry,
  now: string,
): Promise<StoredSession | null> {
  if (!isUuid(id)) return null;
  await withProject(store, defaultProject, async (tx) => {
    const ended = await tx.query(
      'UPDATE admin_session SET ended_at = $2, ended_by = $3 WHERE id = $1 AND ended_at IS NULL RETURNING id',
      [id, now, audit.actor.id],
    );
    if (ended.length > 0) await record(tx, { audit: [audit] });
  });
  return findSession(store, id);
}

export async function findPasswordRehash(store: Store, configuredSha256: string): Promise<string | null> {
  const [row] = await store.query<{ hash: string }>(
    'SELECT hash FROM admin_password_rehash WHERE configured_sha256 = $1',
    [configuredSha256],
  );
  return row?.hash ?? null;
}

export async function savePasswordRehash(
  store: Store,
  configuredSha256: string,
  hash: string,
  now: string,
): Promise<void> {
  await store.query(
    `INSERT INTO admin_password_rehash (configured_sha256, hash, created_at) VALUES ($1, $2, $3)
     ON CONFLICT (configured_sha256) DO UPDATE SET hash = excluded.hash, created_at = excluded.created_at`,
    [configuredSha256, hash, now],
  );
}

/** Uses up the time step of a one-time password. @returns false when it was used before */
export async function useTotpStep(store: Store, username: string, step: number): Promise<boolean> {
  const rows = await store.query(
    'INSERT INTO totp_use (username, time_step) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING time_step',
    [username, step],
  );
  return rows.length === 1;
}

/** @param row with times as the driver gives them */
function toSession(row: StoredSession): StoredSession {
  return {
    ...row,
    created_at: toInstant(row.created_at),
    expires_at: toInstant(row.expires_at),
    last_used_at: row.last_used_at && toInstant(row.last_used_at),
    ended_at: row.ended_at && toInstant(row.ended_at),
  };
}
