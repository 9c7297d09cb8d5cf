// The worker process: reads its settings, wires the actors to store and Temporal, and runs until it is told to stop.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Runtime } from '@temporalio/worker';
import closeWithGrace from 'close-with-grace';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { readSettings, requireSetting } from '#contracts/settings.ts';
import { createOutbound } from '#outbound/request.ts';
import { configuredVerifier } from '#outbound/verifier-command.ts';
import { createEndorsementRoots } from '#api/endorsement-roots.ts';
import { createEvidenceJudge, evidenceJudgeDefaults } from '#api/evidence-judge.ts';
import { parseAttestationBasis } from '#protocols/attestation-basis.ts';
import { canonicalBytes } from '#protocols/canonical-json.ts';
import { readDataKeys } from '#protocols/data-keys.ts';
import { createDataConverter } from '#protocols/payload-codec.ts';
import { readSecretKey } from '#protocols/secret-key.ts';
import { temporalConnection } from '#protocols/temporal-connection.ts';
import { workflowId } from '#protocols/workflow-id.ts';
import { devicesWithNews } from '#store/reconcile.ts';
import { createStore } from '#store/store.ts';
import { findFreePort } from '#start/ports.ts';
import { createLog } from '#telemetry/log.ts';
import { watchPool } from '#telemetry/metrics.ts';
import { serveMetrics } from '#telemetry/metrics-server.ts';
import { version } from '#telemetry/version.ts';
import { activityDeps, createActivities, neverAsked } from './activities.ts';
import { activityFields } from './activity-fields.ts';
import { bundleApart } from './bundle-process.ts';
import { temporalLogger } from './bundle.ts';
import { readCoreMetrics, withCore } from './core-metrics.ts';
import { keptBundle, keptInPackages } from './kept-bundle.ts';
import { createWorkerMetrics } from './metrics.ts';
import { closePrototypes } from './prototypes.ts';
import { ensureSchedules, triggerSchedule, verifyAllActors } from './schedules.ts';
import { traceActivities } from './traced-activities.ts';
import { createWorker } from './worker.ts';

/** How often the worker looks whether there is news that no signal has carried. */
const lookForNewsMs = 5_000;

closePrototypes();
const settings = readSettings(process.env);
const log = createLog('worker', settings.SENTINEL_LOG_LEVEL, { context: activityFields });
// It takes longest, and needs nothing of the rest.
const bundling = keptBundle({ ...keptInPackages, make: () => bundleApart(settings.SENTINEL_LOG_LEVEL) });
bundling.catch(() => {});
const metrics = createWorkerMetrics(version);
/** Core has an exporter of its own, which asks nobody for a token, so it is only there when somebody looks. */
const coreMetricsAddress =
  settings.SENTINEL_WORKER_METRICS_PORT === undefined ? null : `127.0.0.1:${await findFreePort()}`;
Runtime.install({
  logger: temporalLogger(log),
  telemetryOptions: {
    logging: { forward: {}, filter: 'WARN' },
    ...(coreMetricsAddress === null
      ? {}
      : { metrics: { prometheus: { bindAddress: coreMetricsAddress, useSecondsForDurations: true } } }),
  },
});

const { SENTINEL_TEMPORAL_NAMESPACE: namespace, SENTINEL_TEMPORAL_TASK_QUEUE: taskQueue } = settings;
const keys = readDataKeys(settings.SENTINEL_DATA_ENCRYPTION_KEYS_JSON, settings.SENTINEL_DATA_ACTIVE_KEY_ID);
const opaqueKey = settings.SENTINEL_TEMPORAL_OPAQUE_IDS
  ? readSecretKey(settings.SENTINEL_SECRET_KEY ?? '', 'SENTINEL_SECRET_KEY')
  : null;
const dataConverter = createDataConverter(keys, namespace);
const clock = systemClock;

const traces =
  settings.SENTINEL_TRACES_ENDPOINT === undefined
    ? undefined
    : (await import('#telemetry/traces.ts')).openTraces({
        settings,
        process: 'worker',
        version,
        createOutbound,
        meters: metrics.meters,
        log,
      });
const store = await createStore({
  databaseUrl: requireSetting(settings, 'SENTINEL_DATABASE_URL'),
  role: 'sentinel_worker',
  pool: settings.SENTINEL_DATABASE_POOL,
  clock,
  random: systemRandom,
  canonicalBytes,
  log,
  tracer: traces,
});
watchPool(metrics.meters, store.pool);
const metricsServer =
  coreMetricsAddress === null || settings.SENTINEL_WORKER_METRICS_PORT === undefined
    ? null
    : await serveMetrics({
        host: settings.SENTINEL_METRICS_HOST,
        port: settings.SENTINEL_WORKER_METRICS_PORT,
        token: settings.SENTINEL_MONITORING_BEARER_TOKEN,
        registry: withCore(metrics.meters.registry, readCoreMetrics(coreMetricsAddress, log)),
      });
const { address, tls, apiKey } = temporalConnection(settings, readFileSync);
const connectionOptions = { address, ...(tls === null ? {} : { tls }), ...(apiKey === undefined ? {} : { apiKey }) };
const connection = await Connection.connect(connectionOptions);
const client = new Client({ connection, namespace, dataConverter });

const attesting = parseAttestationBasis(settings, (path) => readFileSync(path, 'utf8'));
const roots =
  attesting &&
  createEndorsementRoots({
    paths: settings.SENTINEL_ATTESTATION_TRUSTED_ENDORSEMENT_ROOT_PATHS,
    basis: attesting.basis,
    // The API writes it down.
    onChange: () => {},
    log,
  });
const evidenceJudge = attesting === null ? null : createEvidenceJudge({ log, ...evidenceJudgeDefaults });
const verifier = attesting && configuredVerifier(attesting.verifier, process.env, log);
const worker = await createWorker({
  connection: await NativeConnection.connect(connectionOptions),
  namespace,
  taskQueue,
  dataConverter,
  ...(traces === undefined ? {} : { interceptors: { activity: [traceActivities(traces)] } }),
  cachedWorkflows: settings.SENTINEL_WORKER_CACHE,
  bundle: await bundling,
  activities: createActivities(
    activityDeps({
      store,
      workflows: client.workflow,
      taskQueue,
      workflowId: (ref) => workflowId(ref, opaqueKey),
      clock,
      metrics,
      policy: {
        require_new_device_approval: settings.SENTINEL_REQUIRE_NEW_DEVICE_APPROVAL,
        review_ttl_seconds: settings.SENTINEL_IDENTITY_REVIEW_TTL_SECONDS,
        sensitive_tags: settings.SENTINEL_SENSITIVE_TAGS,
        sensitive_approvals: settings.SENTINEL_SENSITIVE_IDENTITY_APPROVALS,
      },
      attestation:
        attesting === null || evidenceJudge === null || roots === null
          ? neverAsked
          : { ...attesting, basis: roots.basis, judge: evidenceJudge.judge, askVerifier: verifier?.ask ?? null },
      verdictDays: settings.SENTINEL_ATTESTATION_VERDICT_RETENTION_DAYS,
    }),
    metrics,
  ),
});

const stopping = new AbortController();
closeWithGrace({ delay: 9_000 }, async ({ err, signal }) => {
  if (err) log.error({ err }, 'the worker stops because of an error');
  else log.info({ signal }, 'the worker stops');
  stopping.abort();
  worker.shutdown();
  verifier?.close();
  await running.catch(() => {});
  roots?.close();
  await evidenceJudge?.close();
  await metricsServer?.close();
  await connection.close();
  await store.close();
  await traces?.close();
});
const running = worker.run();
void announceWaitingNews();
await running;

/** Starts the catching-up as soon as something waits, instead of at the schedule's next turn. */
async function announceWaitingNews(): Promise<void> {
  let scheduled = false;
  while (!stopping.signal.aborted) {
    try {
      if (!scheduled) {
        await ensureSchedules(client, taskQueue);
        await verifyAllActors(client, taskQueue);
      }
      scheduled = true;
      const { items } = await devicesWithNews(store, null, 1, clock.now());
      if (items.length > 0) await triggerSchedule(client, 'sentinel/reconcile');
    } catch (error) {
      log.warn({ err: error }, 'could not look for waiting news; trying again');
    }
    await sleep(lookForNewsMs, undefined, { signal: stopping.signal }).catch(() => {});
  }
}
