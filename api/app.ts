// The API as a whole: what every request passes, in order, and then one plugin for each resource. It does not listen.
import cookie from '@fastify/cookie';
import underPressure from '@fastify/under-pressure';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Clock, Log, Random } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import type { Traces } from '#telemetry/traces.ts';
import { approvalRoutes, type ApprovalsDeps } from './approvals.ts';
import { attestationRoutes, type AttestationVerdictsDeps } from './attestation-verdicts.ts';
import { auditExportRoutes, type AuditExportDeps } from './audit-export.ts';
import { auditRoutes, type AuditDeps } from './audit.ts';
import { registerAuthentication, type AuthenticationDeps } from './authentication.ts';
import { requireStatedAccess } from './authorization.ts';
import { bodyLimitBytes, registerBodies } from './body.ts';
import { codecRoutes, type CodecDeps } from './codec.ts';
import { consoleRoutes, type ConsoleDeps } from './console.ts';
import { timelineRoutes, type TimelineDeps } from './timeline.ts';
import { certificateRoutes, type CertificatesDeps } from './certificates.ts';
import { deviceRoutes, type DevicesDeps } from './devices.ts';
import { doctorRoutes, type DoctorDeps } from './doctor.ts';
import { docsSiteRoutes, type DocsSiteDeps } from './docs-site.ts';
import { eventRoutes, type EventsDeps } from './events.ts';
import { healthRoutes, type HealthDeps } from './health.ts';
import { heartbeatRoutes, type HeartbeatDeps } from './heartbeat.ts';
import { registerIdempotency, type IdempotencyStore } from './idempotency.ts';
import { metricsRoutes, registerRequestMetrics, type MetricsDeps } from './metrics.ts';
import { openApiRoutes, registerOpenApi } from './openapi.ts';
import { refusalOf, registerProblems, sendProblem } from './problems.ts';
import { registerProjects } from './projects.ts';
import { createRequestIds } from './request-id.ts';
import { savedFilterRoutes, type SavedFiltersDeps } from './saved-filters.ts';
import { registerSealGuard, type SealGuardDeps } from './seal-guard.ts';
import { bareHeaders, registerSecurityHeaders } from './security-headers.ts';
import { sessionRoutes, type SessionsDeps } from './sessions.ts';
import { trustAssertionRoutes, type TrustAssertionsDeps } from './trust-assertions.ts';
import { traceRequests } from './traced-requests.ts';
import { temporalUiRoutes, type TemporalUiDeps } from './temporal-ui.ts';
import { validatorCompiler } from './validation.ts';

export interface ApiDeps {
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly authentication: AuthenticationDeps;
  readonly projectExists: (id: string) => Promise<boolean>;
  readonly idempotency: IdempotencyStore;
  readonly sealGuard: SealGuardDeps;
  readonly heartbeat: HeartbeatDeps;
  readonly devices: DevicesDeps;
  readonly savedFilters: SavedFiltersDeps;
  readonly approvals: ApprovalsDeps;
  readonly audit: AuditDeps;
  readonly auditExport: AuditExportDeps;
  readonly doctor: DoctorDeps;
  readonly certificates: CertificatesDeps;
  readonly timeline: TimelineDeps;
  readonly attestation: AttestationVerdictsDeps;
  readonly trustAssertions: TrustAssertionsDeps;
  readonly events: EventsDeps;
  readonly sessions: SessionsDeps;
  readonly health: HealthDeps;
  readonly metrics: MetricsDeps;
  readonly codec: CodecDeps;
  readonly temporalUi: TemporalUiDeps;
  readonly docsSite: DocsSiteDeps;
  readonly console: ConsoleDeps;
  /** Absent when traces are off. */
  readonly traces?: Traces | undefined;
  /** Event loop delay above which requests are refused; 0 switches this off. */
  readonly maximumEventLoopDelayMs?: number;
  /** Limit of an ordinary request from its first byte to its answer. */
  readonly handlerTimeoutMs?: number;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** For routes that end by themselves in time, or that stream. */
    deadline?: 'own';
  }
}

const defaultHandlerTimeoutMs = 20_000;

export async function buildApi(deps: ApiDeps): Promise<FastifyInstance> {
  const { log, handlerTimeoutMs = defaultHandlerTimeoutMs } = deps;
  const app = Fastify({
    logger: false,
    genReqId: createRequestIds(deps),
    requestIdHeader: false,
    // Whom a proxy forwards for is judged in client-address.ts, which also asks for the proxy's secret.
    trustProxy: false,
    bodyLimit: bodyLimitBytes,
    routerOptions: { maxParamLength: 256 },
    frameworkErrors: (error, request, reply) =>
      void sendProblem(request, reply.headers({ ...bareHeaders, 'x-request-id': request.id }), refusalOf(error)),
  });
  app.setValidatorCompiler(validatorCompiler as never);

  registerProblems(app, { log });
  requireStatedAccess(app);
  app.addHook('onRoute', (route) => {
    if (route.config?.deadline !== 'own') route.handlerTimeout ??= handlerTimeoutMs;
  });
  await registerOpenApi(app, deps);
  if (deps.traces !== undefined) traceRequests(app, deps.traces);
  registerSecurityHeaders(app);
  registerRequestMetrics(app, deps.metrics.metrics);
  registerBodies(app);
  await registerOverloadCheck(app, deps.maximumEventLoopDelayMs ?? 2000, deps.clock);
  await app.register(cookie);
  registerAuthentication(app, deps.authentication);
  registerProjects(app, deps);
  registerIdempotency(app, { store: deps.idempotency, log });
  registerSealGuard(app, deps.sealGuard);

  await app.register(heartbeatRoutes, deps.heartbeat);
  await app.register(deviceRoutes, deps.devices);
  await app.register(timelineRoutes, deps.timeline);
  await app.register(attestationRoutes, deps.attestation);
  await app.register(trustAssertionRoutes, deps.trustAssertions);
  await app.register(certificateRoutes, deps.certificates);
  await app.register(savedFilterRoutes, deps.savedFilters);
  await app.register(approvalRoutes, deps.approvals);
  await app.register(auditRoutes, deps.audit);
  await app.register(auditExportRoutes, deps.auditExport);
  await app.register(doctorRoutes, deps.doctor);
  await app.register(eventRoutes, deps.events);
  await app.register(sessionRoutes, deps.sessions);
  await app.register(healthRoutes, deps.health);
  await app.register(metricsRoutes, deps.metrics);
  await app.register(codecRoutes, deps.codec);
  await app.register(openApiRoutes);
  await app.register(temporalUiRoutes, deps.temporalUi);
  await app.register(docsSiteRoutes, deps.docsSite);
  await app.register(consoleRoutes, deps.console);
  return app;
}

/** A pause that is over, like that of a machine that was frozen, is no reason to send people away. */
const overloadedForMs = 5_000;
const overloadForgottenMs = 10_000;

/** The last resort: heartbeats are shed long before people are refused (admission.ts). */
async function registerOverloadCheck(app: FastifyInstance, maximumDelayMs: number, clock: Clock): Promise<void> {
  let since = 0;
  let seen = Number.NEGATIVE_INFINITY;
  await app.register(underPressure, {
    maxEventLoopDelay: maximumDelayMs,
    async pressureHandler(request) {
      // A server that is busy is alive, and whoever restarts it for that makes it worse.
      if (request.routeOptions.url?.startsWith('/api/health/')) return;
      const now = clock.now().getTime();
      if (now - seen > overloadForgottenMs) since = now;
      seen = now;
      if (now - since < overloadedForMs) return;
      throw new TrustError('service.overloaded', { facts: { retry_after_seconds: 5 } });
    },
  });
}
