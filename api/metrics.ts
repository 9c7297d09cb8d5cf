// What the API counts and measures, and GET /api/metrics, which shows it.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Clock } from '#contracts/deps.ts';
import { createMeters } from '#telemetry/metrics.ts';
import { requireMonitoringToken } from '#telemetry/metrics-server.ts';
import type { FleetReading } from './fleet-reading.ts';

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics(version: string) {
  const meters = createMeters('api', version);
  const { registry, counter, gauge, histogram } = meters;
  return {
    meters,
    registry,
    requests: histogram('sentinel_http_request_duration_seconds'),
    heartbeats: counter('sentinel_heartbeats_total'),
    batchSize: histogram('sentinel_heartbeat_batch_size'),
    batchWait: histogram('sentinel_heartbeat_batch_wait_seconds'),
    batchDuration: histogram('sentinel_heartbeat_batch_duration_seconds'),
    shed: counter('sentinel_heartbeats_shed_total'),
    signals: counter('sentinel_actor_signals_total'),
    evidence: counter('sentinel_attestation_verdicts_total'),
    evidenceDuration: histogram('sentinel_attestation_judgement_seconds'),
    refusals: counter('sentinel_identity_refusals_total'),
    auditFailures: counter('sentinel_audit_write_failures_total'),
    signIns: counter('sentinel_sign_ins_total'),
    eventStreams: gauge('sentinel_event_streams'),
    temporalRequests: histogram('sentinel_temporal_request_duration_seconds'),
  };
}

export interface Readings {
  /** How long the oldest audit or outbox row has waited for its place in the chain. */
  readonly sealLagSeconds: () => Promise<number>;
  /** Actors whose workflow tasks fail again and again. */
  readonly stuckActors: () => Promise<number>;
  readonly lastCheckpointAt: () => Promise<string | null>;
  /** Devices whose news nobody takes in. */
  readonly waitingNews: () => Promise<number>;
  readonly fleet: () => Promise<FleetReading>;
  /** Null when the API has no certificate of its own. */
  readonly tlsNotAfter: Date | null;
  readonly clock: Clock;
}

/** Adds what is asked of others when somebody looks. */
export function registerReadings({ meters: { gauge } }: Pick<Metrics, 'meters'>, readings: Readings): void {
  const ageOf = (at: Date | string): number => (readings.clock.now().getTime() - new Date(at).getTime()) / 1000;
  gauge('sentinel_seal_lag_seconds', async (lag) => lag.set(await readings.sealLagSeconds()));
  gauge('sentinel_stuck_actors', async (stuck) => stuck.set(await readings.stuckActors()));
  gauge('sentinel_news_waiting', async (waiting) => waiting.set(await readings.waitingNews()));
  gauge('sentinel_checkpoint_age_seconds', async (age) => {
    const at = await readings.lastCheckpointAt();
    if (at !== null) age.set(ageOf(at));
  });
  gauge('sentinel_tls_certificate_expiry_seconds', (expiry) => {
    if (readings.tlsNotAfter !== null) expiry.set(-ageOf(readings.tlsNotAfter));
  });
  gauge('sentinel_devices', async (devices) => {
    for (const { devices: count, ...labels } of (await readings.fleet()).devices) devices.inc(labels, count);
  });
  gauge('sentinel_approvals_open', async (open) => {
    for (const { kind, count } of (await readings.fleet()).approvals) open.inc({ kind }, count);
  });
  gauge('sentinel_approval_oldest_seconds', async (oldest) => {
    const ages = new Map<string, number>();
    for (const { kind, oldest_at } of (await readings.fleet()).approvals)
      ages.set(kind, Math.max(ages.get(kind) ?? 0, ageOf(oldest_at)));
    for (const [kind, age] of ages) oldest.set({ kind }, age);
  });
}

/** Measures every request; the route is its pattern, so that names of things make no series of their own. */
export function registerRequestMetrics(app: FastifyInstance, { requests }: Metrics): void {
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.is404 ? 'none' : (request.routeOptions.url ?? 'none');
    requests.observe({ method: request.method, route, status: String(reply.statusCode) }, reply.elapsedTime / 1000);
    done();
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
      onRequest: async ({ headers }) => requireMonitoringToken(headers.authorization, token),
    },
    async (_request, reply) => reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
};
