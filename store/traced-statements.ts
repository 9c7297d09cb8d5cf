// A span for each statement that is sent to the database: what it does and to which table, and never its text or values.
import type pg from 'pg';
import type { SpanAttributes, Tracer } from '#contracts/deps.ts';

type Send = (...args: readonly unknown[]) => Promise<unknown>;

/** Wraps every way to a statement: those of the pool itself, and those of the connections that transactions take from it. */
export function traceStatements(pool: pg.Pool, tracer: Tracer): void {
  const traced =
    (send: Send): Send =>
    (...args) => {
      // Called back, not awaited: the pool passes on what it was asked for above, in whatever request it happens to run.
      if (typeof args.at(-1) === 'function') return send(...args);
      const { summary, operation } = describeStatement(args[0]);
      const attributes: SpanAttributes = {
        'db.system.name': 'postgresql',
        'db.operation.name': operation,
        'db.query.summary': summary,
      };
      return tracer.span(summary, attributes, () => send(...args));
    };
  pool.query = traced(pool.query.bind(pool) as Send) as typeof pool.query;
  // When it is taken, not when it is made: the first connection is older than this.
  const wrapped = new WeakSet<pg.PoolClient>();
  pool.on('acquire', (client) => {
    if (wrapped.has(client)) return;
    wrapped.add(client);
    client.query = traced(client.query.bind(client) as Send) as typeof client.query;
  });
}

/** `INSERT actor`: the operation and what it is on, of which there are few. */
export function describeStatement(statement: unknown): { operation: string; summary: string } {
  const text = typeof statement === 'string' ? statement : ((statement as { text?: string } | null)?.text ?? '');
  const operation = /^\s*([a-z]+)/i.exec(text)?.[1]?.toUpperCase() ?? 'SQL';
  const target = /\b(?:from|into|update)\s+(?:only\s+)?"?([a-z_]+)/i.exec(text)?.[1];
  return { operation, summary: target === undefined ? operation : `${operation} ${target}` };
}
