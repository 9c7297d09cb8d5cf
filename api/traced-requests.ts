// Spans of requests, and of the batches that heartbeats are judged in.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Origin, RequestSpan, Traces } from '#telemetry/traces.ts';

/** A span for each request, named after its pattern. What was asked for stays out: no query, no body, no header, no name. */
export function traceRequests(app: FastifyInstance, traces: Traces): void {
  const spans = new WeakMap<FastifyRequest, RequestSpan>();
  app.addHook('onRequest', (request, _reply, done) => {
    const span = traces.begin(request.id, asksForChange(request));
    spans.set(request, span);
    span.run(done);
  });
  // A body is read in events of the connection, which belong to no request.
  app.addHook('preValidation', (request, _reply, done) => {
    const span = spans.get(request);
    if (span === undefined) done();
    else span.run(done);
  });
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.is404 ? 'none' : (request.routeOptions.url ?? 'none');
    const { method } = request;
    spans.get(request)?.end(`${method} ${route}`, reply.statusCode >= 500, {
      'http.request.method': method,
      'http.route': route,
      'http.response.status_code': reply.statusCode,
      'sentinel.request_id': request.id,
    });
    done();
  });
}

/** What people change is rare, and what comes of it is traced in other processes: these are always kept. */
function asksForChange({ method, routeOptions }: FastifyRequest): boolean {
  return method !== 'GET' && method !== 'HEAD' && routeOptions.url !== '/api/heartbeat';
}

/**
 * One span for a batch: below the first of its requests that is traced, and linked to the others.
 *
 * @returns `submit` has to be given each item in its own request
 */
export function traceBatches<Item extends object, Verdict>(
  traces: Traces | undefined,
  judge: (items: readonly Item[]) => Promise<Verdict>,
): { judge: (items: readonly Item[]) => Promise<Verdict>; note: (item: Item) => void } {
  if (traces === undefined) return { judge, note: () => {} };
  const origins = new WeakMap<Item, Origin>();
  return {
    note(item) {
      const origin = traces.here();
      if (origin !== null) origins.set(item, origin);
    },
    judge(items) {
      const of = items.flatMap((item) => origins.get(item) ?? []);
      if (of.length === 0) return traces.outside(() => judge(items));
      return traces.joined(of, 'heartbeat batch', { 'sentinel.batch.size': items.length }, () => judge(items));
    },
  };
}
