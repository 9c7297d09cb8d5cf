// Devices, approvals and their actors in memory: as much behaviour as the routes rely on, and a note of everything asked.
import type { Actors } from '#api/actors.ts';
import type { DevicesDeps } from '#api/devices.ts';
import type { Revocation } from '#store/denylist.ts';
import type { DeviceGroup } from '#store/device-count.ts';
import type { DeviceRow, HistoryRow } from '#store/device.ts';
import type { CertificatesDeps } from '#api/certificates.ts';
import type { TimelineDeps } from '#api/timeline.ts';
import type { Silence, TimelineRow } from '#store/timeline.ts';
import type { CertificateRow } from '#store/certificate.ts';
import type { ApprovalsDeps } from '#api/approvals.ts';
import type { CertificateFacts } from '#contracts/certificate.ts';
import { TrustError } from '#contracts/problems.ts';
import type { ApprovalRow } from '#store/approval.ts';

export const certificateFacts: CertificateFacts = {
  fingerprint_sha256: 'ab'.repeat(32),
  serial_number: '1f',
  issuer: 'CN=Device CA',
  subject: 'CN=device-1',
  not_before: '2026-01-01T00:00:00.000Z',
  not_after: '2027-06-01T00:00:00.000Z',
};
export const reviewDigest = 'cd'.repeat(32);
export const reviewId = '11111111-1111-4111-8111-111111111111';

export function approvedDevice(device_id: string, more: Partial<DeviceRow> = {}): DeviceRow {
  return {
    project_id: 'default',
    device_id,
    grant: {
      state: 'approved',
      tier: 'monitored',
      epoch: 1,
      counter_epoch: 0,
      pinned_certificate: { ...certificateFacts, subject: `CN=${device_id}` },
      assigned_tags: [],
      review: null,
      reason: null,
      approvers: ['ann'],
      approved_at: '2026-11-01T00:00:00.000Z',
      binding: null,
      attested_generation: null,
    },
    attestation: null,
    pinned_revoked: false,
    liveness: {
      first_seen_at: '2026-11-01T00:00:00.000Z',
      last_seen_at: '2026-11-22T11:59:50.000Z',
      heartbeat_counter: 7,
      counter_epoch: 0,
    },
    observation: {
      hostname: `${device_id}.example`,
      platform: 'linux',
      agent_version: '1.0.0',
      reported_tags: ['server'],
      posture: { disk_encrypted: true },
      directory: { entra_device_id: 'e-1' },
    },
    candidate: null,
    review_voters: [],
    review_permission: null,
    ...more,
  };
}

export function pendingDevice(device_id: string, more: Partial<DeviceRow> = {}): DeviceRow {
  const { grant, ...row } = approvedDevice(device_id, more);
  if (grant === null) throw new TypeError('an approved device has a grant');
  const review = {
    id: reviewId,
    kind: 'enrollment',
    digest: reviewDigest,
    expires_at: '2026-11-29T12:00:00.000Z',
    required: 2,
  } as const;
  return {
    ...row,
    grant: { ...grant, state: 'pending', tier: 'observed', pinned_certificate: null, review, approved_at: null },
    candidate: { ...certificateFacts, subject: `CN=${device_id}` },
  };
}

export function openApproval(more: Partial<ApprovalRow> = {}): ApprovalRow {
  return {
    project_id: 'default',
    id: reviewId,
    kind: 'enrollment',
    subject_kind: 'device',
    subject_id: 'pending-1',
    subject: { device_id: 'pending-1' },
    digest: reviewDigest,
    state: 'open',
    requested_by: { kind: 'device', id: 'pending-1' },
    required_approvals: 2,
    permission: 'identity.review',
    votes: [],
    opened_at: '2026-11-22T12:00:00.000Z',
    expires_at: '2026-11-29T12:00:00.000Z',
    closed_at: null,
    revision: 1,
    ...more,
  };
}

export function fakeRegistry() {
  const devices = new Map<string, DeviceRow>();
  const approvals = new Map<string, ApprovalRow>();
  const history: HistoryRow[] = [];
  const asked: { what: string; request: unknown }[] = [];
  const key = (project: string, id: string) => `${project}/${id}`;
  let failure: unknown = null;

  const store: DevicesDeps['devices'] = {
    async list(project, { approval_state }, { limit, after }) {
      return [...devices.values()]
        .filter(({ project_id, device_id, grant }) => {
          const state = grant?.state ?? 'pending';
          return project_id === project && device_id > (after?.device_id ?? '') && (approval_state ?? state) === state;
        })
        .toSorted((a, b) => (a.device_id < b.device_id ? -1 : 1))
        .slice(0, limit);
    },
    find: async (project, id) => devices.get(key(project, id)) ?? null,
    async history(_project, _id, { limit, after }) {
      return history.filter(({ revision }) => after === null || revision < after.revision).slice(0, limit);
    },
    async revoke(project, revocation: Revocation) {
      asked.push({ what: 'revoke', request: revocation });
      const row = devices.get(key(project, revocation.device_id));
      if (!row?.grant?.pinned_certificate) throw new TrustError('device.no_certificate');
      devices.set(key(project, revocation.device_id), { ...row, pinned_revoked: true });
    },
  };

  /** As groups of one device each, alike in everything but their approval. */
  const count = async (project: string): Promise<DeviceGroup[]> =>
    [...devices.values()]
      .filter(({ project_id }) => project_id === project)
      .map(({ grant }) => ({
        trust_tier: grant?.tier ?? 'observed',
        liveness: 'online',
        approval_state: grant === null || grant.state === 'retired' ? 'pending' : grant.state,
        rotation: 'none',
        pending_review: grant?.review !== null,
        retired: grant?.state === 'retired',
        devices: 1,
      }));

  async function act(what: string, request: unknown, effect: () => void) {
    asked.push({ what, request });
    if (failure !== null) throw failure;
    effect();
    return { state: 'done', revision: 2 };
  }
  const ofDevice = (what: 'reset' | 'retire', state: 'pending' | 'retired'): Actors['reset'] => {
    return async ({ project, id }, request) =>
      act(what, request, () => {
        const row = devices.get(key(project, id));
        if (row?.grant) devices.set(key(project, id), { ...row, grant: { ...row.grant, state } });
      });
  };
  const actors: Actors = {
    vote: async ({ project, id }, request) =>
      act('vote', request, () => {
        const row = approvals.get(key(project, id));
        if (row === undefined) throw new TrustError('review.closed');
        const vote = { by: request.by.id, decision: request.decision, reason: request.reason, at: row.opened_at };
        approvals.set(key(project, id), { ...row, votes: [...row.votes, vote] });
      }),
    reset: ofDevice('reset', 'pending'),
    retire: ofDevice('retire', 'retired'),
    catchUp: async (device) => act('catchUp', device, () => {}),
    news: async (device) => void asked.push({ what: 'news', request: device }),
  };

  /** The newest first, in the order in which a test wrote them down. */
  const timeline: TimelineRow[] = [];
  const silences: Silence[] = [];
  const listTimeline: TimelineDeps['listTimeline'] = async (_project, _id, kinds, { limit, after }) =>
    timeline
      .filter(({ kind }) => kinds.includes(kind))
      .filter(({ at }) => after === null || at < after.at)
      .slice(0, limit);

  const listCertificates: CertificatesDeps['listCertificates'] = async (project, filter, { limit, after }) =>
    [...devices.values()]
      .filter(({ project_id }) => project_id === project)
      .flatMap(({ device_id, grant, pinned_revoked, attestation }): CertificateRow[] => {
        const certificate = grant?.pinned_certificate;
        if (!certificate) return [];
        const { not_after } = certificate;
        const pinned = { pinned_not_after: not_after, pinned_revoked, attestation };
        return [{ device_id, role: 'pinned', certificate, not_after, revoked: pinned_revoked, grant, ...pinned }];
      })
      .filter(
        ({ device_id, not_after }) =>
          (after === null || [after.not_after, after.device_id].join() < [not_after, device_id].join()) &&
          not_after >= (filter.from ?? '') &&
          not_after < (filter.before ?? '~') &&
          device_id.includes(filter.search ?? ''),
      )
      .toSorted((a, b) => (a.not_after < b.not_after ? -1 : 1))
      .slice(0, limit);

  const countCertificates: CertificatesDeps['countCertificates'] = async (project, bounds) => {
    const ends = [...devices.values()]
      .filter(({ project_id }) => project_id === project)
      .flatMap(({ grant }) => grant?.pinned_certificate?.not_after ?? []);
    return ['', ...bounds].map((from, index) => {
      const before = bounds[index] ?? '~';
      return ends.filter((end) => end >= from && end < before).length;
    });
  };

  const approvalStore: Pick<ApprovalsDeps, 'findApproval' | 'listApprovals'> = {
    findApproval: async (project, id) => approvals.get(key(project, id)) ?? null,
    async listApprovals(project, filter, { limit, after }) {
      return [...approvals.values()]
        .filter(({ project_id, id, state }) => {
          return project_id === project && (filter.state ?? state) === state && (after === null || id > after.id);
        })
        .toSorted((a, b) => (a.id < b.id ? -1 : 1))
        .slice(0, limit);
    },
  };

  return {
    store,
    count,
    actors,
    approvalStore,
    listCertificates,
    countCertificates,
    timeline,
    silences,
    listTimeline,
    history,
    asked,
    addDevice: (row: DeviceRow) => devices.set(key(row.project_id, row.device_id), row),
    addApproval: (row: ApprovalRow) => approvals.set(key(row.project_id, row.id), row),
    /** Every action fails like this from now on. */
    failWith: (error: unknown) => (failure = error),
  };
}
