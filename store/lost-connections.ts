// Connections that break while a transaction has them. The query builder gives one back after a commit or a rollback, and
// not when these fail: the pool would go on counting it, and after a few failures would have none left.
import type pg from 'pg';

type Send = (...args: readonly unknown[]) => unknown;

/** Takes out of the pool's count what is of no use any more, whoever still holds it. */
export function giveBackLostConnections(pool: pg.Pool): void {
  const connect = pool.connect.bind(pool);
  const guarded = (callback?: Parameters<typeof connect>[0]): Promise<pg.PoolClient> | void => {
    // Who asks with a callback is the pool itself, for a single statement: it always gives back.
    if (callback !== undefined) return connect(callback);
    return new Promise((resolve, reject) => {
      connect((error, client) => {
        if (client === undefined) return reject(error ?? new Error('the pool gave no connection'));
        guard(client);
        resolve(client);
      });
    });
  };
  pool.connect = guarded as typeof pool.connect;
}

function guard(client: pg.PoolClient): void {
  const { release } = client;
  const query = client.query as Send;
  let isHeld = true;
  const giveBack = (error?: Error | boolean): void => {
    if (!isHeld) return;
    isHeld = false;
    client.off('end', lost);
    client.query = query as typeof client.query;
    release(error);
  };
  const lost = (): void => giveBack(true);
  client.once('end', lost);
  client.release = giveBack;
  client.query = ((...args: readonly unknown[]) => {
    const result = query.apply(client, args as unknown[]);
    // Nobody knows what such a connection is in the middle of, also when it is still there.
    if (beginsOrRollsBack(args[0]) && result instanceof Promise) result.catch(giveBack);
    return result;
  }) as typeof client.query;
}

function beginsOrRollsBack(statement: unknown): boolean {
  return (
    statement === 'begin' ||
    statement === 'rollback' ||
    (typeof statement === 'string' && statement.startsWith('start transaction'))
  );
}
