// Sessions, rehashed passwords, used one-time codes and audit events of the API, in memory.
import type { AuditEntry } from '#contracts/audit.ts';
import type { SignInDeps } from '#api/sign-in.ts';
import type { SessionsDeps } from '#api/sessions.ts';
import type { NewSession, StoredSession } from '#store/session.ts';

export function fakeSessions(now: () => Date) {
  const rows = new Map<string, StoredSession>();
  const audit: AuditEntry[] = [];
  const rehashes = new Map<string, string>();
  const steps = new Set<string>();

  function add(session: Pick<NewSession, 'id' | 'username' | 'createdAt' | 'expiresAt'> & Partial<NewSession>): void {
    const {
      id,
      username,
      createdAt: created_at,
      expiresAt: expires_at,
      ip = null,
      userAgent: user_agent = null,
    } = session;
    rows.set(id, { id, username, created_at, expires_at, last_used_at: null, ended_at: null, ip, user_agent });
  }

  const store: SessionsDeps['sessions'] = {
    get: async (id) => rows.get(id) ?? null,
    async list(username, { limit, after }) {
      const order = (row: { created_at: string; id: string }) => `${row.created_at} ${row.id}`;
      return [...rows.values()]
        .filter((row) => (username ?? row.username) === row.username && (after === null || order(row) < order(after)))
        .toSorted((a, b) => (order(a) < order(b) ? 1 : -1))
        .slice(0, limit);
    },
    async end(id, entry) {
      const row = rows.get(id);
      if (row === undefined || row.ended_at !== null) return row ?? null;
      const ended = { ...row, ended_at: now().toISOString() };
      rows.set(id, ended);
      audit.push(entry);
      return ended;
    },
  };

  const signIn: Pick<SignInDeps, 'rehashes' | 'useTotpStep' | 'openSession' | 'audit'> = {
    rehashes: {
      find: async (configured) => rehashes.get(configured) ?? null,
      save: async (configured, hash) => void rehashes.set(configured, hash),
    },
    async useTotpStep(username, step) {
      const key = `${username} ${step}`;
      const isNew = !steps.has(key);
      steps.add(key);
      return isNew;
    },
    async openSession(session, entry) {
      add(session);
      audit.push(entry);
    },
    audit: async (entry) => void audit.push(entry),
  };

  return {
    rows,
    add,
    audit,
    rehashes,
    store,
    signIn,
    async find(id: string) {
      const row = rows.get(id);
      return row === undefined
        ? null
        : { id: row.id, username: row.username, expiresAt: row.expires_at, endedAt: row.ended_at };
    },
  };
}
