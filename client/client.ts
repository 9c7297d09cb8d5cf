// The typed client of our API, for the console, the command line and tests; it runs in browsers too.
import type { LoginAnswer, LoginBody, Me, Session, SessionList, SessionListQuery } from '#contracts/http/admin.ts';
import type { Approval, ApprovalList, ApprovalListQuery } from '#contracts/http/approvals.ts';
import type {
  AttestationStatus,
  AttestationVerdictList,
  ReplayQuery,
  VerdictReplay,
} from '#contracts/http/attestation.ts';
import type { AuditList, AuditListQuery, Integrity } from '#contracts/http/audit.ts';
import type {
  CertificateList,
  CertificateListQuery,
  CertificatePlan,
  CertificatePlanQuery,
} from '#contracts/http/certificates.ts';
import type { ReviewBody } from '#contracts/http/common.ts';
import type {
  Device,
  DeviceCounts,
  DeviceCountsQuery,
  DeviceFilterQuery,
  DeviceList,
  DeviceListQuery,
  HistoryList,
} from '#contracts/http/devices.ts';
import type { DivergenceList, DoctorQuery, HealBody, Healed } from '#contracts/http/doctor.ts';
import type { DeviceExplanation } from '#contracts/http/explanation.ts';
import type { TrustAssertion } from '#contracts/http/trust-assertions.ts';
import type { DeviceTimeline, TimelineQuery } from '#contracts/http/timeline.ts';
import type { HealthReasons, Live, Ready } from '#contracts/http/health.ts';
import type { SavedFilter, SavedFilterList } from '#contracts/http/saved-filters.ts';
import { createCaller, type Call, type CallerOptions, type CallOptions } from './request.ts';

export interface PageQuery {
  readonly limit?: number;
  readonly cursor?: string;
}

export interface Client {
  readonly devices: {
    list(query?: DeviceListQuery, options?: CallOptions): Promise<DeviceList>;
    counts(query?: DeviceCountsQuery, options?: CallOptions): Promise<DeviceCounts>;
    get(deviceId: string, options?: CallOptions): Promise<Device>;
    explanation(deviceId: string, options?: CallOptions): Promise<DeviceExplanation>;
    timeline(deviceId: string, query?: TimelineQuery, options?: CallOptions): Promise<DeviceTimeline>;
    history(deviceId: string, query?: PageQuery, options?: CallOptions): Promise<HistoryList>;
    attestation(deviceId: string, options?: CallOptions): Promise<AttestationStatus>;
    verdicts(deviceId: string, query?: PageQuery, options?: CallOptions): Promise<AttestationVerdictList>;
    /** The verdict in force at a time (RFC 3339), computed again. */
    replay(deviceId: string, query?: ReplayQuery, options?: CallOptions): Promise<VerdictReplay>;
    /** Each call makes a new one, which is written down. */
    trustAssertion(deviceId: string, query: { audience: string }, options?: CallOptions): Promise<TrustAssertion>;
    identityReview(deviceId: string, body: ReviewBody, options?: CallOptions): Promise<Device>;
    revoke(
      deviceId: string,
      body?: { reason?: string; fingerprint_sha256?: string },
      options?: CallOptions,
    ): Promise<Device>;
    reset(deviceId: string, body?: { reason?: string }, options?: CallOptions): Promise<Device>;
    retire(deviceId: string, body?: { reason?: string }, options?: CallOptions): Promise<Device>;
  };
  readonly savedFilters: {
    list(options?: CallOptions): Promise<SavedFilterList>;
    save(name: string, query: DeviceFilterQuery, options?: CallOptions): Promise<SavedFilter>;
    delete(name: string, options?: CallOptions): Promise<void>;
  };
  readonly approvals: {
    list(query?: ApprovalListQuery, options?: CallOptions): Promise<ApprovalList>;
    get(id: string, options?: CallOptions): Promise<Approval>;
    review(id: string, body: ReviewBody, options?: CallOptions): Promise<Approval>;
  };
  readonly certificates: {
    list(query?: CertificateListQuery, options?: CallOptions): Promise<CertificateList>;
    plan(query?: CertificatePlanQuery, options?: CallOptions): Promise<CertificatePlan>;
  };
  readonly audit: {
    list(query?: AuditListQuery, options?: CallOptions): Promise<AuditList>;
    integrity(query?: { full?: boolean }, options?: CallOptions): Promise<Integrity>;
  };
  readonly doctor: {
    examine(query?: DoctorQuery, options?: CallOptions): Promise<DivergenceList>;
    heal(body: HealBody, options?: CallOptions): Promise<Healed>;
  };
  readonly admin: {
    login(body: LoginBody, options?: CallOptions): Promise<LoginAnswer>;
    logout(options?: CallOptions): Promise<void>;
    me(options?: CallOptions): Promise<Me>;
    sessions(query?: SessionListQuery, options?: CallOptions): Promise<SessionList>;
    revokeSession(sessionId: string, options?: CallOptions): Promise<Session>;
  };
  readonly health: {
    live(options?: CallOptions): Promise<Live>;
    /** Answers also when the installation is not ready: look at `status`. */
    ready(options?: CallOptions): Promise<Ready>;
    /** Why parts are not well; needs a permission. */
    reasons(options?: CallOptions): Promise<HealthReasons>;
  };
}

/**
 * Makes a client. Every call has a time limit, may be aborted by its signal, and rejects with an ApiProblem.
 * Every POST carries an Idempotency-Key, which its own retries repeat.
 */
export function createClient(options: CallerOptions): Client {
  const call = createCaller(options);
  const get = async <Answer>(
    path: string,
    query?: object,
    also: CallOptions & Pick<Call, 'answers' | 'timeoutMs' | 'attempts'> = {},
  ) => (await call({ ...also, method: 'GET', path, query: query as Call['query'] })) as Answer;
  const post = async <Answer>(path: string, body: unknown, also: CallOptions = {}) =>
    (await call({ ...also, method: 'POST', path, body })) as Answer;

  return {
    devices: {
      list: (query, also) => get('/api/devices', query, also),
      counts: (query, also) => get('/api/fleet/counts', query, also),
      get: (deviceId, also) => get(at`/api/devices/${deviceId}`, undefined, also),
      explanation: (deviceId, also) => get(at`/api/devices/${deviceId}/explanation`, undefined, also),
      timeline: (deviceId, query, also) => get(at`/api/devices/${deviceId}/timeline`, query, also),
      history: (deviceId, query, also) => get(at`/api/devices/${deviceId}/history`, query, also),
      attestation: (deviceId, also) => get(at`/api/devices/${deviceId}/attestation`, undefined, also),
      verdicts: (deviceId, query, also) => get(at`/api/devices/${deviceId}/attestation/verdicts`, query, also),
      replay: (deviceId, query, also) => get(at`/api/devices/${deviceId}/attestation/replay`, query, also),
      trustAssertion: (deviceId, query, also) => get(at`/api/devices/${deviceId}/trust-assertion`, query, also),
      identityReview: (deviceId, body, also) => post(at`/api/devices/${deviceId}/identity-review`, body, also),
      revoke: (deviceId, body, also) => post(at`/api/devices/${deviceId}/certificate/revoke`, body, also),
      reset: (deviceId, body, also) => post(at`/api/devices/${deviceId}/reset`, body, also),
      retire: (deviceId, body, also) => post(at`/api/devices/${deviceId}/retire`, body, also),
    },
    savedFilters: {
      list: (also) => get('/api/saved-filters', undefined, also),
      save: async (name, query, also) =>
        (await call({ ...also, method: 'PUT', path: at`/api/saved-filters/${name}`, body: { query } })) as SavedFilter,
      delete: async (name, also) =>
        void (await call({ ...also, method: 'DELETE', path: at`/api/saved-filters/${name}` })),
    },
    approvals: {
      list: (query, also) => get('/api/approvals', query, also),
      get: (id, also) => get(at`/api/approvals/${id}`, undefined, also),
      review: (id, body, also) => post(at`/api/approvals/${id}/review`, body, also),
    },
    certificates: {
      list: (query, also) => get('/api/certificates', query, also),
      plan: (query, also) => get('/api/certificates/plan', query, also),
    },
    audit: {
      list: (query, also) => get('/api/audit/events', query, also),
      integrity: (query, also) =>
        get('/api/audit/integrity', query, { ...also, timeoutMs: integrityTimeoutMs, attempts: 1 }),
    },
    doctor: {
      examine: (query, also) => get('/api/doctor', query, { ...also, timeoutMs: integrityTimeoutMs }),
      heal: (body, also) => post('/api/doctor/heal', body, also),
    },
    admin: {
      login: (body, also) => post('/api/admin/login', body, also),
      logout: async (also) => void (await post('/api/admin/logout', undefined, also)),
      me: (also) => get('/api/admin/me', undefined, also),
      sessions: (query, also) => get('/api/admin/sessions', query, also),
      revokeSession: (sessionId, also) => post(at`/api/admin/sessions/${sessionId}/revoke`, undefined, also),
    },
    health: {
      live: (also) => get('/api/health/live', undefined, also),
      reasons: (also) => get('/api/health/reasons', undefined, also),
      ready: (also) => get('/api/health/ready', undefined, { ...also, answers: [503] }),
    },
  };
}

/** The chain of a long life takes a while; the API itself gives up before this. */
const integrityTimeoutMs = 130_000;

/** A path whose variable parts cannot leave their segment. */
function at(texts: TemplateStringsArray, ...values: string[]): string {
  return texts.reduce((path, text, index) => path + encodeURIComponent(values[index - 1] ?? '') + text);
}
