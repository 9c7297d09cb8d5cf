// The sealer process: the only one that can number audit events, and the only one that reads the key which signs checkpoints.
import { readFileSync } from 'node:fs';
import closeWithGrace from 'close-with-grace';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { readSettings, requireSetting } from '#contracts/settings.ts';
import { createOutbound } from '#outbound/request.ts';
import { canonicalBytes } from '#protocols/canonical-json.ts';
import { readSigningKey } from '#protocols/signed-envelope.ts';
import { checkpointFolder } from '#store/checkpoint-files.ts';
import { createStore } from '#store/store.ts';
import { createCheckpoints } from './checkpoints.ts';
import { createLog } from '#telemetry/log.ts';
import { createMeters, watchPool } from '#telemetry/metrics.ts';
import { serveMetrics } from '#telemetry/metrics-server.ts';
import { version } from '#telemetry/version.ts';
import { closePrototypes } from './prototypes.ts';
import { createSealer, createSealerMetrics } from './seal.ts';

closePrototypes();
const settings = readSettings(process.env);
const log = createLog('sealer', settings.SENTINEL_LOG_LEVEL);
const clock = systemClock;
const random = systemRandom;
const keyPath = requireSetting(settings, 'SENTINEL_AUDIT_SIGNING_KEY_PATH');

const meters = createMeters('sealer', version);
const traces =
  settings.SENTINEL_TRACES_ENDPOINT === undefined
    ? undefined
    : (await import('#telemetry/traces.ts')).openTraces({
        settings,
        process: 'sealer',
        version,
        createOutbound,
        meters,
        log,
      });
const store = await createStore({
  databaseUrl: requireSetting(settings, 'SENTINEL_DATABASE_URL'),
  role: 'sentinel_sealer',
  // One to seal, one to tell how it went.
  pool: 2,
  clock,
  random,
  canonicalBytes,
  log,
  tracer: traces,
});
const checkpoints = createCheckpoints({
  store,
  key: readSigningKey(readFileSync(keyPath, 'utf8')),
  directory: checkpointFolder(settings),
  clock,
  random,
});
watchPool(meters, store.pool);
const metricsServer =
  settings.SENTINEL_SEALER_METRICS_PORT === undefined
    ? null
    : await serveMetrics({
        host: settings.SENTINEL_METRICS_HOST,
        port: settings.SENTINEL_SEALER_METRICS_PORT,
        token: settings.SENTINEL_MONITORING_BEARER_TOKEN,
        registry: meters.registry,
      });
await checkpoints.publishKey();
const sealer = createSealer({
  store,
  checkpoints,
  checkpointSeconds: settings.SENTINEL_AUDIT_CHECKPOINT_SECONDS,
  clock,
  log,
  metrics: createSealerMetrics(meters),
  traces,
});
log.info({}, 'the sealer works');

closeWithGrace({ delay: 2_900 }, async ({ err, signal }) => {
  if (err) log.error({ err }, 'the sealer stops because of an error');
  else log.info({ signal }, 'the sealer stops');
  await metricsServer?.close();
  await sealer.stop();
  await store.close();
  await traces?.close();
});
