// The API process: reads its settings, wires the routes to store and Temporal, and serves until it is told to stop.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import closeWithGrace from 'close-with-grace';
import type { EventType, IntegrityReport } from '#contracts/audit.ts';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { defaultProject, type ActorRef } from '#contracts/ids.ts';
import { permissionsOf } from '#contracts/permissions.ts';
import { TrustError } from '#contracts/problems.ts';
import { readSettings, requireSetting } from '#contracts/settings.ts';
import type { SubjectKind } from '#contracts/states.ts';
import { parseAttestationBasis } from '#protocols/attestation-basis.ts';
import { canonicalBytes } from '#protocols/canonical-json.ts';
import { type Certificate } from '#protocols/certificate.ts';
import { parseTrustAnchors, verifyDeviceCertificate } from '#protocols/device-certificate.ts';
import { csrfToken, requireCsrfToken } from '#protocols/csrf.ts';
import { readDataKeys } from '#protocols/data-keys.ts';
import { createDataConverter, decodeForOperator } from '#protocols/payload-codec.ts';
import { createOutboundAddresses } from '#protocols/outbound-address.ts';
import { createOutbound } from '#outbound/request.ts';
import { configuredVerifier } from '#outbound/verifier-command.ts';
import { writePem } from '#protocols/pem.ts';
import { hashPassword, verifyPassword, verifyUnknownUser } from '#protocols/password.ts';
import { readSecretKey } from '#protocols/secret-key.ts';
import { signSessionToken, verifySessionToken } from '#protocols/session-token.ts';
import { temporalConnection } from '#protocols/temporal-connection.ts';
import { verifyTotp } from '#protocols/totp.ts';
import { workflowId } from '#protocols/workflow-id.ts';
import { actorContext } from '#store/actor.ts';
import {
  askForEvidence,
  listVerdicts,
  lowerStandings,
  readStanding,
  recordVerdict,
  verdictAt,
  type DeviceStanding,
  type Unanswered,
} from '#store/attestation.ts';
import { findApproval, listApprovals, openApprovals } from '#store/approval.ts';
import { listSilences, listTimeline } from '#store/timeline.ts';
import { countCertificates, listCertificates } from '#store/certificate.ts';
import { headSequence, isAuditWritable, listAudit, listOutbox, recordAlone, sealLagSeconds } from '#store/audit.ts';
import { checkpointFolder } from '#store/checkpoint-files.ts';
import { countPinnedCertificates, denyAgain, listPinnedCertificates, revokeCertificate } from '#store/denylist.ts';
import { actorRecords, examineRows, notDenied, strayProjections } from '#store/doctor.ts';
import { countDevices } from '#store/device-count.ts';
import type { DeviceView } from '#store/device-filter.ts';
import { findDevice, listDevices, listHistory } from '#store/device.ts';
import { heartbeatBatch, type HeartbeatItem, type HeartbeatVerdict } from '#store/heartbeat.ts';
import { abandonIdempotent, answerIdempotent, startIdempotent } from '#store/idempotency.ts';
import { sealPending, verifyAudit } from '#store/integrity.ts';
import { listen } from '#store/listen.ts';
import { syncOperators } from '#store/operator.ts';
import { listProjects, projectExists } from '#store/project.ts';
import { deleteSavedFilter, listSavedFilters, saveFilter } from '#store/saved-filter.ts';
import { checkpointEnvelopes, sealerError, sealerStatus } from '#store/sealer.ts';
import { staleStandings, waitingNews } from '#store/reconcile.ts';
import {
  endSession,
  findPasswordRehash,
  findSession,
  listSessions,
  openSession,
  savePasswordRehash,
  useSession,
  useTotpStep,
} from '#store/session.ts';
import { createStore } from '#store/store.ts';
import { withProject } from '#store/with-project.ts';
import { listTrustAnchors, syncTrustAnchors } from '#store/trust-anchor.ts';
import { createLog } from '#telemetry/log.ts';
import { watchPool } from '#telemetry/metrics.ts';
import { version } from '#telemetry/version.ts';
import { batchesAtOnce, createAdmission } from './admission.ts';
import { createActorNotifier } from './actor-notifier.ts';
import { createActors } from './actors.ts';
import { createAssertionKeys } from './assertion-keys.ts';
import { buildApi } from './app.ts';
import { createCertificateStatuses } from './certificate-status.ts';
import { findLive, type AuthenticationDeps } from './authentication.ts';
import { isOlderThanCheckpoint, readTrustedCheckpoints, type CheckpointsDeps } from './checkpoints.ts';
import { createTrustedProxy } from './client-address.ts';
import { createCursors } from './cursors.ts';
import { createDeviceCounts } from './device-counts.ts';
import { createDeviceIdentification } from './device-identity.ts';
import { createAttestation } from './attestation.ts';
import { createEndorsementRoots, rootsChanged } from './endorsement-roots.ts';
import { createEvidenceJudge, evidenceJudgeDefaults } from './evidence-judge.ts';
import { createEvidencePace } from './evidence-pace.ts';
import { createDirectory } from './directory.ts';
import type { Checks } from './health.ts';
import { createHealthChecks, newsCountedTo } from './health-checks.ts';
import { batcherDefaults, createBatcher } from './heartbeat-batcher.ts';
import { openListeners, type Listeners } from './listeners.ts';
import { createFleetReading } from './fleet-reading.ts';
import { createMetrics, registerReadings } from './metrics.ts';
import { createRefusals } from './refusals.ts';
import { readLists } from './revocation-list-reader.ts';
import { createRevocationLists } from './revocation-lists.ts';
import { createDeviceRevocation } from './revocation.ts';
import { countedSignIns, createSignIn } from './sign-in.ts';
import { createRequestIds } from './request-id.ts';
import { createSignInLimiter } from './sign-in-limiter.ts';
import { createStaleEvidence } from './stale-evidence.ts';
import { createStandings } from './standings.ts';
import { measureTemporal, traceTemporal } from './temporal-metrics.ts';
import { traceBatches } from './traced-requests.ts';
import { createTrustAnchors } from './trust-anchors.ts';
import { stuckActors } from './stuck-actors.ts';
import { createWorkflowLinks } from './workflow-links.ts';

/** Temporal keeps closed workflows this long; `npm start` sets the namespace up so. */
const retentionDays = 30;
/** Requests that are under way may end; the supervisor kills what takes longer than 3 s. */
const closeGraceMs = 1_500;

/** A verification waits so long for the sealer, and ends itself before its request does. */
const sealWaitMs = 5_000;
const verifyLimitMs = 110_000;

/** Metrics are of so many projects at most. */
const mostProjects = 1_000;

/** What metrics ask of Temporal is left out when it takes longer. */
const readingLimitMs = 1_500;

/** A fleet that cannot be counted within this is listed without counts. */
const countLimitMs = 5_000;

const settings = readSettings(process.env);
const log = createLog('api', settings.SENTINEL_LOG_LEVEL);
const clock = systemClock;
const random = systemRandom;
const now = (): string => clock.now().toISOString();
const root = join(import.meta.dirname, '..');

const secretKey = readSecretKey(settings.SENTINEL_SECRET_KEY ?? '', 'SENTINEL_SECRET_KEY');
const jwtSecret = readSecretKey(settings.SENTINEL_JWT_SECRET ?? '', 'SENTINEL_JWT_SECRET');
const dataKeys = readDataKeys(settings.SENTINEL_DATA_ENCRYPTION_KEYS_JSON, settings.SENTINEL_DATA_ACTIVE_KEY_ID);
const namespace = settings.SENTINEL_TEMPORAL_NAMESPACE;
const opaqueKey = settings.SENTINEL_TEMPORAL_OPAQUE_IDS ? secretKey : null;
const workflowIdOf = (ref: ActorRef): string => workflowId(ref, opaqueKey);
requireLoopbackWithoutMtls();

const metrics = createMetrics(version);
const traces =
  settings.SENTINEL_TRACES_ENDPOINT === undefined
    ? undefined
    : (await import('#telemetry/traces.ts')).openTraces({
        settings,
        process: 'api',
        version,
        createOutbound,
        meters: metrics.meters,
        log,
      });
const store = await createStore({
  databaseUrl: requireSetting(settings, 'SENTINEL_DATABASE_URL'),
  role: 'sentinel_api',
  pool: settings.SENTINEL_DATABASE_POOL,
  clock,
  random,
  canonicalBytes,
  log,
  tracer: traces,
});
// Without Temporal heartbeats go on, so nothing here waits for it.
const { address, tls, apiKey } = temporalConnection(settings, readFileSync);
const connection = Connection.lazy({
  address,
  ...(tls === null ? {} : { tls }),
  ...(apiKey === undefined ? {} : { apiKey }),
  connectTimeout: '3 seconds',
});
const client = new Client({
  connection,
  namespace,
  dataConverter: createDataConverter(dataKeys, namespace),
  interceptors: { workflow: [measureTemporal(metrics), ...(traces === undefined ? [] : [traceTemporal(traces)])] },
});

const auditWritable = () => isAuditWritable(store, now());
const lag = () => sealLagSeconds(store, now());
const stuck = () => stuckActors(client.workflow, settings.SENTINEL_TEMPORAL_TASK_QUEUE);
watchPool(metrics.meters, store.pool);
registerReadings(metrics, {
  sealLagSeconds: lag,
  stuckActors: () => client.withDeadline(clock.now().getTime() + readingLimitMs, stuck),
  lastCheckpointAt: async () => (await sealerStatus(store)).last_checkpoint_at,
  waitingNews: () => waitingNews(store, newsCountedTo, clock.now()),
  fleet: createFleetReading({
    projects: () => listProjects(store, mostProjects),
    countDevices: (project) => countDevices(store, project, {}, deviceView(), countLimitMs),
    openApprovals: (project) => openApprovals(store, project),
    clock,
    log,
  }),
  tlsNotAfter: tlsNotAfter(),
  clock,
});
const proxy = createTrustedProxy(settings);
const cursors = createCursors(secretKey);
const links = createWorkflowLinks({ workflowIdOf, namespace, retentionDays, clock });
const actors = createActors({
  client,
  workflowIdOf,
  clock,
  random,
  options: { taskQueue: settings.SENTINEL_TEMPORAL_TASK_QUEUE },
});
const notifier = createActorNotifier({
  news: (device) => actors.news(device),
  hasBegun: async ({ project, id }) => ((await findDevice(store, project, id))?.grant ?? null) !== null,
  clock,
  log,
  metrics,
  options: {
    startsPerSecond: settings.SENTINEL_FIRST_CONTACT_RATE,
    maximumWaiting: 10_000,
    maximumInFlight: 16,
    maximumBeginning: 16,
    beginWithinMs: 5_000,
  },
});
const refusals = createRefusals({
  write: (project, entry) => recordAlone(store, project, entry),
  clock,
  log,
  metrics,
});
const batches = traceBatches(traces, (items: readonly HeartbeatItem[]) =>
  heartbeatBatch(
    store,
    items,
    {
      pendingLimit: settings.SENTINEL_PENDING_DEVICES_LIMIT,
      signalIntervalSeconds: settings.SENTINEL_HEARTBEAT_SIGNAL_INTERVAL_SECONDS,
      silenceSeconds: settings.SENTINEL_DEVICE_STALE_SECONDS,
    },
    now(),
  ),
);
const batcher = createBatcher<HeartbeatItem, HeartbeatVerdict>(
  {
    judge: batches.judge,
    nameOf: ({ project, device_id }) => `${project}/${device_id}`,
    clock,
    metrics,
  },
  { ...batcherDefaults, maximumInFlight: batchesAtOnce(settings.SENTINEL_DATABASE_POOL) },
);
const attesting = parseAttestationBasis(settings, (path) => readFileSync(path, 'utf8'));
const roots =
  attesting &&
  createEndorsementRoots({
    paths: settings.SENTINEL_ATTESTATION_TRUSTED_ENDORSEMENT_ROOT_PATHS,
    basis: attesting.basis,
    onChange: (change) =>
      void recordAlone(store, defaultProject, rootsChanged(change, now())).catch((error: unknown) =>
        log.error({ err: error }, 'a change of the trusted manufacturers was not written down'),
      ),
    log,
  });
const evidenceJudge = attesting === null ? null : createEvidenceJudge({ log, ...evidenceJudgeDefaults });
const verifier = attesting && configuredVerifier(attesting.verifier, process.env, log);
const attestation =
  attesting === null || evidenceJudge === null || roots === null
    ? null
    : createAttestation({
        basis: roots.basis,
        required: attesting.required,
        identityVerified: settings.SENTINEL_REQUIRE_DEVICE_MTLS,
        readStanding: ({ project, id }) => readStanding(store, project, id),
        recordVerdict: (project, verdict, options) => recordVerdict(store, project, verdict, options),
        askForEvidence: (project, items, options) => askForEvidence(store, project, items, options),
        lowerStandings: (project, ids, options) => lowerStandings(store, project, ids, options),
        judge: (judgement) => evidenceJudge.judge(judgement),
        askVerifier: async (request) => (verifier === null ? null : verifier.ask(request)),
        tellActor: (device) => notifier.notify(device, false),
        pace: createEvidencePace(clock, settings.SENTINEL_HEARTBEAT_INTERVAL_SECONDS),
        metrics,
        clock,
        random,
      });
const asking = createBatcher<Unanswered, DeviceStanding>(
  {
    judge: (items) => {
      if (attestation === null) throw new TypeError('nobody is asked for evidence');
      return attestation.ask(items);
    },
    nameOf: ({ project, device_id }) => JSON.stringify([project, device_id]),
    clock,
    metrics: null,
  },
  { ...batcherDefaults, maximumInFlight: 1 },
);
const staleEvidence =
  attestation === null
    ? null
    : createStaleEvidence({
        staleStandings: (after, limit, at) => staleStandings(store, after, limit, at),
        attestation,
        notify: (device) => notifier.notify(device, false),
        clock,
        log,
      });
const directory = createDirectory(
  {
    list: settings.SENTINEL_ADMIN_USERS_JSON,
    file: settings.SENTINEL_ADMIN_USERS_FILE,
    single: { username: settings.SENTINEL_ADMIN_USERNAME, passwordHash: settings.SENTINEL_ADMIN_PASSWORD_HASH },
  },
  {
    clock,
    log,
    onChange: (people) =>
      syncOperators(
        store,
        people.map((person) => ({ ...person, permissions: permissionsOf(person) })),
        now(),
      ),
  },
);
const authentication: AuthenticationDeps = {
  verifyToken: (token, at) => verifySessionToken(token, jwtSecret, at),
  async findSession(id) {
    const session = await useSession(store, id, now());
    if (session === null) return null;
    return { id, username: session.username, expiresAt: session.expires_at, endedAt: session.ended_at };
  },
  directory,
  requireCsrfToken: (token, sessionId) => requireCsrfToken(token, sessionId, secretKey),
  clock,
};

if (settings.SENTINEL_TLS_CA === undefined) {
  log.warn({}, 'SENTINEL_TLS_CA is not set: the authorities in the database identify devices');
} else {
  await configureAnchors(settings.SENTINEL_TLS_CA);
}
/** Told of other authorities as soon as it listens. */
const handshakes: Pick<Listeners, 'setAuthorities'> = { setAuthorities: () => {} };
const anchors = createTrustAnchors({
  list: () => listTrustAnchors(store),
  onChange: ({ pems }) => handshakes.setAuthorities(pems),
  log,
});
await anchors.refresh();
const assertionKeys = createAssertionKeys({
  paths: settings.SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH,
  lifetimeSeconds: settings.SENTINEL_TRUST_ASSERTION_LIFETIME_SECONDS,
  clock,
  log,
});
await assertionKeys.refresh();
const issuers = configuredIssuers();
const revocationLists = createRevocationLists({
  paths: settings.SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS,
  issuers: () => [...anchors.current().anchors.map(({ certificate }) => certificate), ...issuers],
  read: readLists,
  onChange: () => revocation.listsChanged(),
  clock,
  log,
});
const statuses = settings.SENTINEL_DEVICE_CERTIFICATE_OCSP_REQUIRED
  ? createCertificateStatuses({
      issuers,
      responderUrl: settings.SENTINEL_DEVICE_CERTIFICATE_OCSP_URL,
      timeoutMs: settings.SENTINEL_DEVICE_CERTIFICATE_OCSP_TIMEOUT_SECONDS * 1000,
      maxAgeSeconds: settings.SENTINEL_DEVICE_CERTIFICATE_OCSP_MAX_AGE_SECONDS,
      call: createOutbound({
        addresses: createOutboundAddresses(settings.SENTINEL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES),
      }),
      clock,
      random,
      log,
    })
  : null;
const revocation = createDeviceRevocation({
  lists: revocationLists,
  statuses,
  statusLimitMs: settings.SENTINEL_DEVICE_CERTIFICATE_OCSP_TIMEOUT_SECONDS * 2_000,
  anchors: () => anchors.current(),
  issuers,
  pinned: (project, after, limit) => listPinnedCertificates(store, project, after, limit),
  countPinned: (project) => countPinnedCertificates(store, project),
  revoke: (project, entry) => revokeCertificate(store, project, entry, now()),
  notify: (device) => notifier.notify(device, false),
  audit: (project, entry) => recordAlone(store, project, entry),
  blastRadiusPercent: settings.SENTINEL_REVOCATION_BLAST_RADIUS_PERCENT,
  clock,
  random,
  log,
});
await revocationLists.refresh();
// The store has to know who may vote before anybody can.
await directory.all();

const checkpoints: CheckpointsDeps = {
  directory: checkpointFolder(settings),
  stored: (limit) => checkpointEnvelopes(store, limit),
  log,
};

const startedAt = clock.now();
/** The status in a restored database is as old as that; until the sealer has looked, what was found here counts. */
const olderAtStart = await isOlderThanCheckpoint(store, checkpoints.directory, log);
if (olderAtStart) log.error({}, 'the database is older than the newest checkpoint: changes are refused');

const stopping = new AbortController();
const sealed = new Set<() => void>();
const sealedListener = listen(store, 'sentinel_sealed', () => {
  for (const wake of sealed) wake();
});
const voting = {
  findApproval: (project: string, id: string) => findApproval(store, project, id),
  actors,
  proxy,
};
const app = await buildApi({
  traces,
  version,
  clock,
  random,
  log,
  authentication,
  projectExists: rememberingTrue((id) => projectExists(store, id)),
  idempotency: {
    start: (scope, digest) => startIdempotent(store, scope, digest, clock.now()),
    answer: (scope, claim, answer) => answerIdempotent(store, scope, claim, answer),
    abandon: (scope, claim) => abandonIdempotent(store, scope, claim),
  },
  sealGuard: {
    sealLagSeconds: lag,
    limitSeconds: settings.SENTINEL_AUDIT_SEAL_LAG_LIMIT_SECONDS,
    isRewritten,
    isAuditWritable: auditWritable,
    clock,
  },
  heartbeat: {
    identification: createDeviceIdentification({
      verify: verifyDeviceCertificate,
      anchors: () => anchors.current(),
      proxy,
      neededHeaders: settings.SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS.length === 0 ? [] : ['serial', 'issuer-dn'],
      clock,
    }),
    revocation,
    batcher: {
      submit(item) {
        batches.note(item);
        return batcher.submit(item);
      },
    },
    attestation,
    asking,
    notifier,
    actors,
    refusals,
    proxy,
    metrics,
    clock,
    random,
    policy: {
      requireMtls: settings.SENTINEL_REQUIRE_DEVICE_MTLS,
      requireCommonNameMatch: settings.SENTINEL_REQUIRE_CERT_COMMON_NAME_MATCH,
      requireCounters: settings.SENTINEL_REQUIRE_HEARTBEAT_COUNTERS,
      requireApproval: settings.SENTINEL_REQUIRE_NEW_DEVICE_APPROVAL,
      intervalSeconds: settings.SENTINEL_HEARTBEAT_INTERVAL_SECONDS,
    },
  },
  devices: {
    ...voting,
    devices: {
      list: (project, filter, page) => listDevices(store, project, filter, page, deviceView()),
      find: (project, id) => findDevice(store, project, id),
      history: (project, id, page) => listHistory(store, { kind: 'device', project, id }, page),
      async revoke(project, revocation) {
        await revokeCertificate(store, project, revocation, now());
      },
    },
    count: createDeviceCounts({
      count: (project, texts) => countDevices(store, project, texts, deviceView(), countLimitMs),
      clock,
    }),
    notifier,
    cursors,
    links,
    policy: settings,
    clock,
  },
  timeline: {
    findDevice: (project, id) => findDevice(store, project, id),
    listTimeline: (project, id, kinds, page) => listTimeline(store, { project, device_id: id }, kinds, page),
    listSilences: (project, id, since) => listSilences(store, { project, device_id: id }, since),
    cursors,
    policy: settings,
    clock,
  },
  attestation: {
    basis: attesting?.basis ?? null,
    required: attesting?.required ?? false,
    isKnown: async (project, id) => (await findDevice(store, project, id)) !== null,
    readStanding: (project, id) => readStanding(store, project, id),
    listVerdicts: (project, id, page) => listVerdicts(store, project, id, page),
    verdictAt: (project, id, at) => verdictAt(store, project, id, at),
    cursors,
    clock,
  },
  trustAssertions: {
    findDevice: (project, id) => findDevice(store, project, id),
    keys: assertionKeys,
    issuer: settings.SENTINEL_TRUST_ASSERTION_ISSUER,
    lifetimeSeconds: settings.SENTINEL_TRUST_ASSERTION_LIFETIME_SECONDS,
    allowedAudiences: settings.SENTINEL_TRUST_ASSERTION_ALLOWED_AUDIENCES,
    audit: (project, entry) => recordAlone(store, project, entry),
    links,
    policy: settings,
    proxy,
    clock,
    random,
  },
  certificates: {
    listCertificates: (project, filter, page) => listCertificates(store, project, filter, page),
    countCertificates: (project, bounds) => countCertificates(store, project, bounds, countLimitMs),
    cursors,
    policy: settings,
    clock,
  },
  savedFilters: {
    savedFilters: {
      list: (project, username) => listSavedFilters(store, project, username),
      save: (project, username, row) => saveFilter(store, project, username, row),
      delete: (project, username, name) => deleteSavedFilter(store, project, username, name),
    },
    clock,
  },
  approvals: {
    ...voting,
    listApprovals: (project, filter, page) => listApprovals(store, project, filter, page),
    cursors,
    links,
  },
  audit: {
    listAudit: (project, filter, page) => listAudit(store, project, filter, page),
    verify: verifyTrail,
    cursors,
  },
  doctor: {
    verifyTrail,
    examineRows: (project, query) => examineRows(store, project, query, clock.now()),
    strayProjections: (project, limit) => strayProjections(store, project, limit),
    actorRecords: (project, refs) => actorRecords(store, project, refs),
    notDenied: (project, fingerprints) => notDenied(store, project, fingerprints),
    standings: createStandings({
      client,
      namespace,
      taskQueue: settings.SENTINEL_TEMPORAL_TASK_QUEUE,
      workflowIdOf,
      opaqueIds: opaqueKey !== null,
      clock,
    }),
    // A machine's context holds what the approval was opened with.
    approvalInput: (ref) => actorContext(store, ref),
    audit: (project, entry) => recordAlone(store, project, entry),
    async denyAgain({ project, id }, fingerprints, by) {
      const again = { device_id: id, fingerprints, by, now: now() };
      return (await withProject(store, project, (tx) => denyAgain(tx, again))).length;
    },
    cursors,
    proxy,
    clock,
  },
  auditExport: {
    listAudit: (project, filter, page) => listAudit(store, project, filter, page),
    stopping: stopping.signal,
  },
  events: {
    readEvents: async (project, after, limit) =>
      (await listOutbox(store, project, { after, limit })).map(({ sequence, occurred_at, type, data, ...row }) => ({
        sequence,
        occurred_at,
        type: type as EventType,
        data,
        subject: { kind: row.subject_kind as SubjectKind, id: row.subject_id },
      })),
    lastSequence: (project) => headSequence(store, project, 'outbox'),
    onSealed(wake) {
      sealed.add(wake);
      return () => sealed.delete(wake);
    },
    findLive: (sessionId) => findLive(sessionId, authentication),
    metrics,
    stopping: stopping.signal,
  },
  sessions: {
    signIn: countedSignIns(
      createSignIn({
        directory,
        limiter: createSignInLimiter(),
        passwords: { hashPassword, verifyPassword, verifyUnknownUser },
        rehashes: {
          find: (configured) => findPasswordRehash(store, configured),
          save: (configured, hash) => savePasswordRehash(store, configured, hash, now()),
        },
        verifyTotp,
        useTotpStep: (username, step) => useTotpStep(store, username, step),
        openSession: (session, audit) => openSession(store, session, audit),
        audit: (entry) => recordAlone(store, defaultProject, entry),
        signToken: (claims) => signSessionToken(claims, jwtSecret),
        sessionSeconds: settings.SENTINEL_SESSION_SECONDS,
        clock,
        random,
      }),
      metrics,
    ),
    sessions: {
      get: (id) => findSession(store, id),
      list: (username, page) => listSessions(store, username, page),
      end: (id, audit) => endSession(store, id, audit, now()),
    },
    csrfToken: (sessionId) => csrfToken(sessionId, secretKey),
    cursors,
    proxy,
    clock,
  },
  health: {
    version,
    checks: checks(),
    accepting: () => !stopping.signal.aborted,
    sealerError: () => sealerError(store),
  },
  metrics: { metrics, token: settings.SENTINEL_MONITORING_BEARER_TOKEN },
  codec: { decode: (payloads, of) => decodeForOperator(dataKeys, payloads, of), namespace },
  temporalUi: { upstream: temporalUiAddress(), authentication },
  docsSite: { directory: join(root, 'docs', 'site', 'dist') },
  console: { directory: join(root, 'web', 'dist') },
});
await app.ready();
const listeners = await openListeners(
  app,
  {
    host: settings.SENTINEL_HOST,
    port: settings.SENTINEL_PORT === 0 ? null : settings.SENTINEL_PORT,
    devicePort: settings.SENTINEL_DEVICE_PORT ?? null,
    httpPort: settings.SENTINEL_HTTP_PORT ?? null,
    tls:
      settings.SENTINEL_TLS_CERT === undefined || settings.SENTINEL_TLS_KEY === undefined
        ? null
        : { cert: readFileSync(settings.SENTINEL_TLS_CERT), key: readFileSync(settings.SENTINEL_TLS_KEY) },
  },
  anchors.current().pems,
  {
    admission: createAdmission(
      { random, metrics, nowMs: () => performance.now() },
      {
        maximumOpen: 2_000,
        queueFrom: 64,
        targetMs: 200,
        windowMs: 250,
        intervalSeconds: settings.SENTINEL_HEARTBEAT_INTERVAL_SECONDS,
      },
    ),
    requestId: createRequestIds({ clock, random }),
  },
);
handshakes.setAuthorities = listeners.setAuthorities;
listeners.setAuthorities(anchors.current().pems);
log.info({ ...listeners.ports, version }, 'the API serves');

closeWithGrace({ delay: 2_900 }, async ({ err, signal }) => {
  if (err) log.error({ err }, 'the API stops because of an error');
  else log.info({ signal }, 'the API stops');
  stopping.abort();
  anchors.close();
  assertionKeys.close();
  revocationLists.close();
  roots?.close();
  await Promise.all([revocation.close(), staleEvidence?.close()]);
  await listeners.close(closeGraceMs);
  verifier?.close();
  await Promise.all([batcher.close(), asking.close(), evidenceJudge?.close()]);
  await Promise.all([notifier.close(), refusals.close(), sealedListener.close()]);
  await app.close();
  await store.close();
  await Promise.all([connection.close(), traces?.close()]);
});

/** What the settings name are the authorities of the project `default`, and no others. */
async function configureAnchors(path: string): Promise<void> {
  const configured = parseTrustAnchors(readFileSync(path, 'utf8'));
  await syncTrustAnchors(
    store,
    defaultProject,
    configured.map(({ fingerprint, certificate }) => ({
      fingerprint_sha256: fingerprint,
      subject: certificate.subject,
      pem: writePem(certificate.raw, 'CERTIFICATE'),
    })),
    now(),
  );
}

/** Authorities that devices' certificates are issued by, beside the trust anchors. */
function configuredIssuers(): readonly Certificate[] {
  const path = settings.SENTINEL_DEVICE_CERTIFICATE_ISSUER_PATH;
  if (path === undefined) return [];
  return parseTrustAnchors(readFileSync(path, 'utf8')).map(({ certificate }) => certificate);
}

/** Anybody who reaches the port could be any device, so nobody else may reach it. */
function requireLoopbackWithoutMtls(): void {
  if (settings.SENTINEL_REQUIRE_DEVICE_MTLS) return;
  if (!isLoopback(settings.SENTINEL_HOST)) {
    throw new TrustError('request.invalid', {
      detail: 'SENTINEL_REQUIRE_DEVICE_MTLS: false needs a loopback address in SENTINEL_HOST',
    });
  }
  log.warn({}, 'SENTINEL_REQUIRE_DEVICE_MTLS is false: devices are not identified, and no tier is above observed');
}

/** The UI has no sign-in of its own. */
function temporalUiAddress(): string | null {
  const given = settings.SENTINEL_TEMPORAL_UI_URL;
  if (given === undefined) {
    const isEmbedded = settings.SENTINEL_TEMPORAL_ADDRESS === undefined;
    return isEmbedded ? `http://127.0.0.1:${settings.SENTINEL_TEMPORAL_UI_PORT}` : null;
  }
  const url = URL.parse(given);
  if (url === null || !/^https?:$/.test(url.protocol) || !isLoopback(url.hostname.replace(/^\[|\]$/g, ''))) {
    throw new TrustError('request.invalid', {
      detail: 'SENTINEL_TEMPORAL_UI_URL: say an address of this machine, such as http://127.0.0.1:8233',
    });
  }
  return url.origin;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

async function verifyTrail(project: string, { full }: { full: boolean }): Promise<IntegrityReport> {
  const signal = AbortSignal.timeout(verifyLimitMs);
  await sealPending(store, project, sealWaitMs, signal);
  const trusted = await readTrustedCheckpoints(checkpoints, { project, full });
  return verifyAudit(store, project, { full, ...trusted, signal });
}

async function isRewritten(): Promise<boolean> {
  const { is_rewritten, last_success_at } = await sealerStatus(store);
  const sealerLooked = last_success_at !== null && new Date(last_success_at) > startedAt;
  return is_rewritten || (olderAtStart && !sealerLooked);
}

function checks(): Checks {
  const within = <T>(ask: () => Promise<T>) => client.withDeadline(clock.now().getTime() + 1_500, ask);
  return createHealthChecks({
    pingDatabase: () => store.query('SELECT'),
    pingTemporal: () => within(() => connection.workflowService.getSystemInfo({})),
    async workerSeenAt() {
      const { pollers } = await within(() =>
        connection.workflowService.describeTaskQueue({
          namespace,
          taskQueue: { name: settings.SENTINEL_TEMPORAL_TASK_QUEUE },
          // TASK_QUEUE_TYPE_WORKFLOW
          taskQueueType: 1,
        }),
      );
      const seen = pollers.map(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0));
      return seen.length === 0 ? null : new Date(Math.max(...seen) * 1000);
    },
    sealLagSeconds: lag,
    sealLagLimitSeconds: settings.SENTINEL_AUDIT_SEAL_LAG_LIMIT_SECONDS,
    sealerStatus: () => sealerStatus(store),
    isRewritten,
    isAuditWritable: auditWritable,
    waitingNews: (most) => waitingNews(store, most, clock.now()),
    revocationLists: () => revocationLists.state(clock.now()),
    assertionKeys: () => assertionKeys.state(),
    evidenceJudge: () => evidenceJudge?.state() ?? null,
    stuckActors: () => within(stuck),
    silentResponders: () => statuses?.outage().responders.length ?? null,
    trustAnchors: () => anchors.current().anchors.length,
    tlsNotAfter: tlsNotAfter(),
    clock,
  });
}

function tlsNotAfter(): Date | null {
  if (settings.SENTINEL_TLS_CERT === undefined) return null;
  return new Date(new X509Certificate(readFileSync(settings.SENTINEL_TLS_CERT)).validTo);
}

/** How devices are looked at in this moment. */
function deviceView(): DeviceView {
  const daySeconds = 86_400;
  return {
    now: now(),
    stale_seconds: settings.SENTINEL_DEVICE_STALE_SECONDS,
    offline_seconds: settings.SENTINEL_DEVICE_OFFLINE_SECONDS,
    rotation_required_seconds: settings.SENTINEL_ROTATION_REQUIRED_DAYS * daySeconds,
    rotation_recommended_seconds: settings.SENTINEL_ROTATION_RECOMMENDED_DAYS * daySeconds,
    identity_verified: settings.SENTINEL_REQUIRE_DEVICE_MTLS,
    attestation_provider: attesting?.basis.provider ?? null,
    attestation_required: attesting?.required ?? false,
  };
}

/** Projects are never taken away, so one that was there is there. */
function rememberingTrue(ask: (id: string) => Promise<boolean>): (id: string) => Promise<boolean> {
  const known = new Set<string>();
  return async (id) => {
    if (known.has(id)) return true;
    const found = await ask(id);
    if (found) known.add(id);
    return found;
  };
}
