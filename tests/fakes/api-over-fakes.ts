// The whole API over fakes: what a test of one resource does not care about is there and works.
import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import type { FastifyInstance, LightMyRequestResponse } from 'fastify';
import type { ActorNotifier } from '#api/actor-notifier.ts';
import { buildApi, type ApiDeps } from '#api/app.ts';
import { findLive, type AuthenticationDeps } from '#api/authentication.ts';
import { createTrustedProxy, type ProxySettings } from '#api/client-address.ts';
import { createCursors } from '#api/cursors.ts';
import { createDeviceCounts } from '#api/device-counts.ts';
import { createDirectory } from '#api/directory.ts';
import { createMetrics } from '#api/metrics.ts';
import { countedSignIns, createSignIn, type Passwords, type SignInDeps } from '#api/sign-in.ts';
import { createSignInLimiter } from '#api/sign-in-limiter.ts';
import { createWorkflowLinks } from '#api/workflow-links.ts';
import type { AuditEntry } from '#contracts/audit.ts';
import { systemRandom as random } from '#contracts/deps.ts';
import { roles, type Role } from '#contracts/permissions.ts';
import { readSettings } from '#contracts/settings.ts';
import { TrustError } from '#contracts/problems.ts';
import { csrfToken, requireCsrfToken } from '#protocols/csrf.ts';
import { readDataKeys } from '#protocols/data-keys.ts';
import { hashPassword, verifyPassword, verifyUnknownUser } from '#protocols/password.ts';
import { decodeForOperator } from '#protocols/payload-codec.ts';
import { signSessionToken, verifySessionToken } from '#protocols/session-token.ts';
import { readSigningKey } from '#protocols/signed-envelope.ts';
import { verifyTotp } from '#protocols/totp.ts';
import { workflowId } from '#protocols/workflow-id.ts';
import { fakeClock } from '#tests/fakes/fake-clock.ts';
import { fakeEvents } from '#tests/fakes/fake-events.ts';
import { fakeIdempotency } from '#tests/fakes/fake-idempotency.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { fakeRegistry } from '#tests/fakes/fake-registry.ts';
import { fakeSavedFilters } from '#tests/fakes/fake-saved-filters.ts';
import { aVerdict } from '#tests/fakes/stored-verdict.ts';
import { fakeSessions } from '#tests/fakes/fake-sessions.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';

export const password = 'a long enough password';
const hash = await hashPassword(password);
const secretKey = new Uint8Array(randomBytes(32));
const jwtSecret = new Uint8Array(randomBytes(32));

/** One person for each role, named after it, with `password`. */
const people = roles.map((role) => ({ username: role, password_hash: hash, roles: [role] }));

/** Signs the trust assertions of every test. */
export const assertionKey = readSigningKey(
  generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
);

const dataKeys = readDataKeys({ one: randomBytes(32).toString('base64url') }, 'one');

export interface FakeApiOptions {
  readonly people?: readonly object[];
  readonly directoryFile?: string;
  readonly single?: { username: string; passwordHash: string };
  readonly proxy?: ProxySettings;
  readonly passwords?: Partial<Passwords>;
  /** Parts of the sign-in that are not as they should be. */
  readonly signIn?: Partial<SignInDeps>;
  readonly changeSignIn?: (deps: SignInDeps) => SignInDeps;
  readonly change?: (deps: ApiDeps) => ApiDeps;
}

export async function fakeApi(t: Cleanup, options: FakeApiOptions = {}) {
  const clock = fakeClock();
  const log = fakeLog();
  const sessions = fakeSessions(() => clock.now());
  const idempotency = fakeIdempotency();
  const announced: (readonly { username: string }[])[] = [];
  const directory = createDirectory(
    {
      list: [...people, ...(options.people ?? [])],
      file: options.directoryFile,
      single: options.single ?? { username: undefined, passwordHash: undefined },
    },
    { clock, log, onChange: async (all) => void announced.push(all) },
  );
  const proxy = createTrustedProxy(
    options.proxy ?? {
      SENTINEL_TRUST_PROXY_CERT_HEADERS: false,
      SENTINEL_TRUSTED_PROXY_ADDRESSES: [],
      SENTINEL_PROXY_SHARED_SECRET: undefined,
    },
  );
  const cursors = createCursors(secretKey);
  const metrics = createMetrics('0.0.0');
  const registry = fakeRegistry();
  const savedFilters = fakeSavedFilters();
  const events = fakeEvents();
  const audited: { readonly project: string; readonly entry: AuditEntry }[] = [];
  const notified: { project: string; id: string; starts: boolean }[] = [];
  const notifier: ActorNotifier = {
    notify: (device, starts) => void notified.push({ ...device, starts }),
    mayStart: () => true,
    close: async () => {},
  };
  const links = createWorkflowLinks({
    workflowIdOf: (ref) => workflowId(ref, null),
    namespace: 'default',
    retentionDays: 30,
    clock,
  });
  const stopping = new AbortController();
  const authentication: AuthenticationDeps = {
    verifyToken: (token, now) => verifySessionToken(token, jwtSecret, now),
    findSession: sessions.find,
    directory,
    requireCsrfToken: (token, sessionId) => requireCsrfToken(token, sessionId, secretKey),
    clock,
  };
  const voting = { findApproval: registry.approvalStore.findApproval, actors: registry.actors, proxy };
  const signIn: SignInDeps = {
    directory,
    limiter: createSignInLimiter(),
    passwords: { hashPassword, verifyPassword, verifyUnknownUser, ...options.passwords },
    ...sessions.signIn,
    verifyTotp,
    signToken: (claims) => signSessionToken(claims, jwtSecret),
    sessionSeconds: 43_200,
    clock,
    random,
    ...options.signIn,
  };
  const deps: ApiDeps = {
    version: '0.0.0',
    clock,
    random,
    log,
    authentication,
    projectExists: async (id) => id === 'default' || id === 'other',
    idempotency,
    sessions: {
      signIn: countedSignIns(createSignIn(options.changeSignIn?.(signIn) ?? signIn), metrics),
      sessions: sessions.store,
      csrfToken: (sessionId) => csrfToken(sessionId, secretKey),
      cursors,
      proxy,
      clock,
    },
    sealGuard: {
      sealLagSeconds: async () => 0,
      limitSeconds: 300,
      isRewritten: async () => false,
      isAuditWritable: async () => true,
      clock,
    },
    heartbeat: {
      identification: { identify: () => null },
      revocation: { require: () => true, async deny() {} },
      batcher: { submit: () => Promise.reject(new TrustError('service.unavailable')) },
      attestation: null,
      asking: { submit: () => Promise.reject(new TrustError('service.unavailable')) },
      notifier,
      actors: registry.actors,
      refusals: { record: async () => {} },
      proxy,
      metrics,
      clock,
      random,
      policy: {
        requireMtls: true,
        requireCommonNameMatch: true,
        requireCounters: true,
        requireApproval: true,
        intervalSeconds: 15,
      },
    },
    devices: {
      ...voting,
      devices: registry.store,
      count: createDeviceCounts({ count: registry.count, clock }),
      notifier,
      cursors,
      links,
      policy: readSettings({}),
      clock,
    },
    timeline: {
      findDevice: registry.store.find,
      listTimeline: registry.listTimeline,
      listSilences: async () => registry.silences,
      cursors,
      policy: readSettings({}),
      clock,
    },
    attestation: {
      basis: null,
      required: false,
      isKnown: async (project, id) => (await registry.store.find(project, id)) !== null,
      readStanding: async () => ({
        grant: null,
        attestation: null,
        challenge: null,
        candidate_fingerprint: null,
        counted: 0,
        activated_in: null,
        unrecorded: 0,
      }),
      listVerdicts: async () => [],
      verdictAt: async (_project, id) => aVerdict(id),
      cursors,
      clock,
    },
    trustAssertions: {
      findDevice: registry.store.find,
      keys: { signing: () => assertionKey, published: () => [createPublicKey(assertionKey.privateKey)] },
      issuer: 'https://sentinel.test',
      lifetimeSeconds: 60,
      allowedAudiences: ['demo', 'https://vpn.test/'],
      audit: async (project, entry) => void audited.push({ project, entry }),
      links,
      policy: readSettings({}),
      proxy,
      clock,
      random,
    },
    certificates: {
      listCertificates: registry.listCertificates,
      countCertificates: registry.countCertificates,
      cursors,
      policy: readSettings({}),
      clock,
    },
    savedFilters: { savedFilters, clock },
    approvals: { ...voting, listApprovals: registry.approvalStore.listApprovals, cursors, links },
    doctor: {
      verifyTrail: events.verify,
      examineRows: async () => [],
      strayProjections: async () => [],
      actorRecords: async () => new Map(),
      notDenied: async () => [],
      standings: {
        of: async () => ({ found: 'silent' }),
        running: async () => ({ refs: [], next: null }),
        verify: async () => {},
      },
      approvalInput: async () => null,
      audit: async () => {},
      denyAgain: async () => 0,
      cursors,
      proxy,
      clock,
      pauseMs: 1,
    },
    auditExport: { listAudit: events.listAudit, stopping: stopping.signal },
    audit: { listAudit: events.listAudit, verify: events.verify, cursors },
    events: {
      ...events.feed,
      findLive: (id) => findLive(id, authentication),
      metrics,
      stopping: stopping.signal,
      timing: { heartbeatMs: 50, checkMs: 20 },
    },
    health: { version: '0.0.0', checks: {}, accepting: () => true, sealerError: async () => null },
    metrics: { metrics, token: undefined },
    codec: { decode: (payloads, namespace) => decodeForOperator(dataKeys, payloads, namespace), namespace: 'default' },
    temporalUi: { upstream: 'http://127.0.0.1:1', authentication },
    docsSite: { directory: '/nonexistent' },
    console: { directory: '/nonexistent' },
    maximumEventLoopDelayMs: 0,
  };
  const app = await buildApi(options.change?.(deps) ?? deps);
  t.after(async () => {
    stopping.abort();
    await app.close();
  });
  /** Headers of somebody who has signed in; the password is left out, since checking it takes its time on purpose. */
  const as = async (role: Role) => {
    const now = clock.now();
    const [sessionId, expiresAt] = [random.uuid(), new Date(now.getTime() + 43_200_000)];
    sessions.add({ id: sessionId, username: role, createdAt: now.toISOString(), expiresAt: expiresAt.toISOString() });
    const token = await signSessionToken({ sessionId, username: role, issuedAt: now, expiresAt }, jwtSecret);
    return { authorization: `Bearer ${token}` };
  };
  return {
    app,
    as,
    clock,
    log,
    sessions,
    idempotency,
    directory,
    announced,
    registry,
    savedFilters,
    events,
    notified,
    audited,
    metrics,
    dataKeys,
  };
}

/** Signs in and returns the headers that a script sends from then on. */
export async function signInAs(app: FastifyInstance, username: string): Promise<{ authorization: string }> {
  const answer = await app.inject({ method: 'POST', url: '/api/admin/login', payload: { username, password } });
  return { authorization: `Bearer ${answer.json<{ token: string }>().token}` };
}

/** What a problem answer says, after making sure that it is one. */
export function problemOf(answer: LightMyRequestResponse): {
  status: number;
  code: string;
  errors: { field: string }[];
  facts: object;
  detail: string;
} {
  if (answer.headers['content-type'] !== 'application/problem+json; charset=utf-8') {
    throw new TypeError(`not a problem: ${answer.statusCode} ${answer.body}`);
  }
  const { status, code, errors = [], facts = {}, detail } = answer.json<Partial<ReturnType<typeof problemOf>>>();
  if (status === undefined || code === undefined || detail === undefined)
    throw new TypeError(`not whole: ${answer.body}`);
  return { status, code, errors, facts, detail };
}
