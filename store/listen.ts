// Hears what the database announces, on a connection of its own that is made again when it is lost.
import pg from 'pg';
import { connectionConfig } from './connection.ts';
import type { Store } from './store.ts';

/** `sentinel_seal`: there is something to seal. `sentinel_sealed`: something has its place in the chain. */
export type Channel = 'sentinel_seal' | 'sentinel_sealed';

export interface Listener {
  readonly close: () => Promise<void>;
}

const firstPauseMs = 100;
const longestPauseMs = 5_000;
/** A connection that nobody speaks on may be dead for hours without anybody noticing. */
const pingMs = 15_000;

/**
 * Calls back for every announcement, and each time that the connection was made, since something may have been missed
 * before. An announcement is a hint: facts are read from the tables.
 */
export function listen(
  { databaseUrl, role, log }: Pick<Store, 'databaseUrl' | 'role' | 'log'>,
  channel: Channel,
  heard: () => void,
): Listener {
  let client: pg.Client | null = null;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let pauseMs = firstPauseMs;

  async function connect(): Promise<void> {
    const attempt = new pg.Client(connectionConfig(databaseUrl, role));
    client = attempt;
    attempt.on('error', (error) => lose(attempt, error));
    attempt.on('end', () => lose(attempt, null));
    attempt.on('notification', heard);
    try {
      await attempt.connect();
      await attempt.query(`LISTEN ${channel}`);
    } catch (error) {
      return lose(attempt, error);
    }
    if (client !== attempt) return;
    pauseMs = firstPauseMs;
    heard();
    again(pingMs, () => ping(attempt));
  }

  async function ping(attempt: pg.Client): Promise<void> {
    try {
      await attempt.query('SELECT');
      if (client === attempt) again(pingMs, () => ping(attempt));
    } catch (error) {
      lose(attempt, error);
    }
  }

  function lose(attempt: pg.Client, error: unknown): void {
    if (client !== attempt) return;
    client = null;
    void attempt.end().catch(() => {});
    if (closed) return;
    log.warn({ err: error, channel }, 'the connection for announcements was lost; it is made again');
    again(pauseMs, connect);
    pauseMs = Math.min(longestPauseMs, pauseMs * 2);
  }

  function again(afterMs: number, work: () => Promise<void>): void {
    clearTimeout(timer);
    if (!closed) timer = setTimeout(() => void work(), afterMs);
  }

  void connect();
  return {
    async close() {
      closed = true;
      clearTimeout(timer);
      const last = client;
      client = null;
      await last?.end().catch(() => {});
    },
  };
}
