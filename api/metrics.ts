// What this process counts and measures, and GET /api/metrics, which shows it. No label holds the name of a device or a person.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { Type } from 'typebox';
import { TrustError } from '#contracts/problems.ts';
import { sameSecret } from '#protocols/constant-time.ts';

export type Metrics = ReturnType<typeof createMetrics>;

export interface Readings {
  /** How long the oldest audit or outbox row has waited for its place in the chain. */
  readonly sealLagSeconds: () => Promise<number>;
}

export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  return {
    registry,
    requests: new Histogram({
      name: 'sentinel_http_request_duration_seconds',
      help: 'Time from the first byte of a request to the last of its answer',
      labelNames: ['method', 'route', 'status'],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
    heartbeats: new Counter({
      name: 'sentinel_heartbeats_total',
      help: 'Heartbeats by what was answered: accepted, pending, or the problem code',
      labelNames: ['outcome'],
      registers,
    }),
    batchSize: new Histogram({
      name: 'sentinel_heartbeat_batch_size',
      help: 'Heartbeats judged by one statement',
      buckets: [1, 2, 5, 10, 20, 50, 100, 200],
      registers,
    }),
    batchWait: new Histogram({
      name: 'sentinel_heartbeat_batch_wait_seconds',
      help: 'Time that a heartbeat waited for its batch',
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5],
      registers,
    }),
    batchDuration: new Histogram({
      name: 'sentinel_heartbeat_batch_duration_seconds',
      help: 'Time that the statement of a batch took',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5],
      registers,
    }),
    signals: new Counter({
      name: 'sentinel_actor_signals_total',
      help: 'News for device actors: sent, coalesced with one that waited, dropped for lack of room, or failed',
      labelNames: ['result'],
      registers,
    }),
    refusals: new Counter({
      name: 'sentinel_identity_refusals_total',
      help: 'Refused identities, by problem code',
      labelNames: ['code'],
      registers,
    }),
    auditFailures: new Counter({
      name: 'sentinel_audit_write_failures_total',
      help: 'Events about refusals that could not be written down',
      registers,
    }),
    signIns: new Counter({
      name: 'sentinel_sign_ins_total',
      help: 'Sign-ins by outcome',
      labelNames: ['outcome'],
      registers,
    }),
    eventStreams: new Gauge({
      name: 'sentinel_event_streams',
      help: 'Open event streams',
      registers,
    }),
  };
}

/** Adds what is asked of others when somebody looks. What cannot be read is left out, and nothing else is lost by that. */
export function registerReadings({ registry }: Metrics, { sealLagSeconds }: Readings): void {
  new Gauge({
    name: 'sentinel_seal_lag_seconds',
    help: 'Age of the oldest event without a place in the chain',
    registers: [registry],
    async collect() {
      const seconds = await sealLagSeconds().catch(() => null);
      if (seconds === null) this.remove();
      else this.set(seconds);
    },
  });
}

/** Measures every request; the route is its pattern, so that names of things make no series of their own. */
export function registerRequestMetrics(app: FastifyInstance, { requests }: Metrics): void {
  app.addHook('onResponse', async (request, reply) => {
    const route = request.is404 ? 'none' : (request.routeOptions.url ?? 'none');
    requests.observe({ method: request.method, route, status: String(reply.statusCode) }, reply.elapsedTime / 1000);
  });
}

export interface MetricsDeps {
  readonly metrics: Metrics;
  /** SENTINEL_MONITORING_BEARER_TOKEN. */
  readonly token: string | undefined;
}

export const metricsRoutes: FastifyPluginAsyncTypebox<MetricsDeps> = async (app, { metrics, token }) => {
  app.get(
    '/api/metrics',
    {
      config: { access: 'monitoring' },
      schema: {
        operationId: 'getMetrics',
        tags: ['health'],
        summary: 'Metrics in the text format of Prometheus',
        response: { 200: Type.String() },
      },
      onRequest: async ({ headers }) => {
        if (token === undefined) return;
        const given = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
        if (given === undefined) throw new TrustError('auth.required', { detail: 'Send the monitoring token' });
        if (!sameSecret(given, token)) throw new TrustError('auth.invalid_credentials');
      },
    },
    async (_request, reply) => reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
};
