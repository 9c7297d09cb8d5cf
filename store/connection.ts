// How we connect: as one role, in no project, and with a limit to every wait.
import type { PoolConfig } from 'pg';
import type { ProcessRole } from './roles.ts';

/** What the server is told about the session. `sentinel.project` is emptied, since the login may have a default of its own. */
function sessionOptions(role: ProcessRole): string {
  return [
    `role=${role}`,
    'sentinel.project=',
    'timezone=UTC',
    'statement_timeout=15s',
    'lock_timeout=4s',
    'idle_in_transaction_session_timeout=30s',
  ]
    .map((setting) => `-c ${setting}`)
    .join(' ');
}

export function connectionConfig(databaseUrl: string, role: ProcessRole): PoolConfig {
  const url = new URL(databaseUrl);
  const own = url.searchParams.get('options');
  url.searchParams.delete('options');
  return {
    connectionString: url.href,
    options: [own ?? '', sessionOptions(role)].join(' ').trim(),
    application_name: role.replace('_', ' '),
    keepAlive: true,
    connectionTimeoutMillis: 5_000,
    // Longer than the server's own limit: reached only when the server is gone.
    query_timeout: 20_000,
    idleTimeoutMillis: 60_000,
  };
}
