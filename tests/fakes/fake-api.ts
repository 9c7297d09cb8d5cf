// The API as the console sees it: serves the built console under its policy, keeps a made-up fleet, and can be made to fail.
import { randomBytes, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import type { Me, Session } from '#contracts/http/admin.ts';
import type { Approval } from '#contracts/http/approvals.ts';
import type { CertificatePlan, ListedCertificate } from '#contracts/http/certificates.ts';
import type { ReviewBody } from '#contracts/http/common.ts';
import type { Ready } from '#contracts/http/health.ts';
import type { SavedFilter } from '#contracts/http/saved-filters.ts';
import { permissionsOf, type Role } from '#contracts/permissions.ts';
import { problems, TrustError } from '#contracts/problems.ts';
import { readSettings } from '#contracts/settings.ts';
import { frameOfPlan, sumPlan } from '#machines/certificate-plan.ts';
import { explainDevice } from '#machines/explanation.ts';
import type { Device, DeviceCounts } from '#contracts/http/devices.ts';
import type { DeviceExplanation } from '#contracts/http/explanation.ts';
import type { DeviceTimeline, TimelineEntry } from '#contracts/http/timeline.ts';
import {
  deviceApprovalStates,
  livenessStates,
  planPeriods,
  rotationAdvice,
  trustTiers,
  timelineKinds,
} from '#contracts/states.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';
import { appendAudit, attestationOf, type FakeFleet, fakeFleet, rotationPolicy, verdictsOf } from './fake-fleet.ts';

const accounts: Record<string, Role> = {
  admin: 'admin',
  approver1: 'approver',
  approver2: 'approver',
  viewer1: 'viewer',
};
export const fakePassword = 'correct horse battery staple';

interface SignedIn {
  readonly session: Session;
  readonly csrf: string;
}

interface Call {
  readonly request: IncomingMessage;
  readonly url: URL;
  readonly body: Record<string, unknown>;
}

export interface SeenCall {
  readonly method: string;
  readonly path: string;
  readonly body: Record<string, unknown>;
}

export interface FakeApi {
  readonly url: string;
  readonly fleet: FakeFleet;
  /** Calls that change something, in order. */
  readonly seen: SeenCall[];
  readonly ready: { value: Ready };
  /** While it fails, counting takes too long. */
  readonly counting: { fails: boolean };
  /** Devices whose actors refuse everything. */
  readonly refuse: Set<string>;
  readonly streams: () => number;
  /** While true no request is answered. */
  setDown(isDown: boolean): void;
  /** Ends every session, as a revoke elsewhere does. */
  endSessions(): void;
  /** Says over the event stream that something happened. */
  emit(type: string, subject: { kind: string; id: string }): void;
}

const policy = (nonce: string): string =>
  [
    "default-src 'none'",
    `script-src 'self' 'nonce-${nonce}'`,
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "object-src 'none'",
  ].join('; ');

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};

/** @param console Folder that `vite build` wrote. @param nowMs The clock of the server, which its answers tell. */
export async function startFakeApi(t: Cleanup, console: string, nowMs: () => number = Date.now): Promise<FakeApi> {
  const fleet = fakeFleet(nowMs());
  const sessions = new Map<string, SignedIn>();
  const streams = new Set<ServerResponse>();
  const seen: SeenCall[] = [];
  const savedFilters = new Map<string, Map<string, SavedFilter>>();
  const counting = { fails: false };
  const refuse = new Set<string>();
  const ready: { value: Ready } = {
    value: {
      status: 'degraded',
      checks: {
        database: { status: 'ok', detail: 'answers' },
        temporal: { status: 'degraded', detail: 'cannot be reached; heartbeats are answered, decisions wait' },
        worker: { status: 'degraded', detail: 'unknown: Temporal cannot be asked' },
        news: { status: 'ok', detail: 'nothing waits for an actor' },
        sealing: { status: 'ok', detail: '0 s behind' },
        checkpoints: { status: 'ok', detail: 'the last one was signed 48 s ago' },
        trust_anchors: { status: 'ok', detail: '1 in force' },
        tls_certificate: { status: 'ok', detail: 'ends in 89 d' },
      },
    },
  };
  let isDown = false;
  let eventId = 0;

  const emit: FakeApi['emit'] = (type, subject) => {
    eventId += 1;
    for (const stream of streams)
      stream.write(`id: ${eventId}\nevent: ${type}\ndata: ${JSON.stringify({ type, subject })}\n\n`);
  };

  function signedIn({ request }: Call): SignedIn {
    const token = /(?:^|; )__Host-sentinel=([^;]+)/.exec(request.headers.cookie ?? '')?.[1];
    if (token === undefined) throw new TrustError('auth.required');
    const found = sessions.get(token);
    if (found === undefined) throw new TrustError('auth.session_ended');
    if (request.method !== 'GET' && request.headers['x-csrf-token'] !== found.csrf) throw new TrustError('auth.csrf');
    return found;
  }

  function meOf({ session, csrf }: SignedIn): Me {
    const roles = [accounts[session.username] ?? 'viewer'];
    return {
      username: session.username,
      roles,
      permissions: permissionsOf({ roles }),
      csrf_token: csrf,
      session_id: session.id,
      expires_at: session.expires_at,
      project: 'default',
    };
  }

  function login({ request, body }: Call, response: ServerResponse): unknown {
    const username = String(body['username']);
    if (!(username in accounts) || body['password'] !== fakePassword) throw new TrustError('auth.invalid_credentials');
    const token = randomBytes(16).toString('hex');
    const now = nowMs();
    const session: Session = {
      id: randomUUID(),
      username,
      created_at: new Date(now).toISOString(),
      expires_at: new Date(now + 8 * 3600_000).toISOString(),
      last_used_at: new Date(now).toISOString(),
      ended_at: null,
      ip: '127.0.0.1',
      user_agent: request.headers['user-agent'] ?? null,
      current: false,
    };
    sessions.set(token, { session, csrf: randomBytes(16).toString('hex') });
    response.setHeader('set-cookie', `__Host-sentinel=${token}; Path=/; HttpOnly; Secure; SameSite=Lax`);
    return { token, expires_at: session.expires_at, session_id: session.id };
  }

  function review(approvalId: string, username: string, body: ReviewBody): Approval {
    const approval = fleet.approvals.get(approvalId);
    if (approval === undefined) throw new TrustError('resource.not_found');
    if (approval.state !== 'open') throw new TrustError('review.closed');
    if (body.digest !== approval.digest) throw new TrustError('review.changed');
    if (approval.requested_by.id === username) throw new TrustError('review.own_request');
    if (approval.votes.some((vote) => vote.by === username)) throw new TrustError('review.already_voted');
    const now = new Date(nowMs()).toISOString();
    const votes = [...approval.votes, { by: username, decision: body.decision, reason: body.reason ?? null, at: now }];
    const isDone = body.decision === 'reject' || votes.length >= approval.required_approvals;
    const state = isDone ? (body.decision === 'reject' ? 'rejected' : 'approved') : 'open';
    const after: Approval = { ...approval, votes, state, closed_at: isDone ? now : null };
    fleet.approvals.set(approvalId, after);
    const device = fleet.devices.get(approval.subject.id);
    if (device !== undefined) fleet.devices.set(device.device_id, afterVote(device, after));
    appendAudit(fleet, {
      occurred_at: now,
      category: 'identity',
      action: isDone ? 'approval.closed' : 'approval.voted',
      actor: { kind: 'user', id: username, ip: '127.0.0.1' },
      subject: { kind: 'approval', id: approvalId },
      outcome: 'success',
      details: { decision: body.decision, reason: body.reason ?? null },
      request_id: randomUUID(),
    });
    emit(isDone ? 'approval.closed' : 'approval.voted', { kind: 'approval', id: approvalId });
    return after;
  }

  function change(deviceId: string, act: string, body: Record<string, unknown>): Device {
    const device = deviceOf(deviceId);
    if (refuse.has(deviceId)) throw new TrustError('device.changed');
    const reason = typeof body['reason'] === 'string' ? body['reason'] : null;
    const after: Device =
      act === 'retire'
        ? { ...device, retired: true, trust_tier: 'restricted', pending_review: null, reason }
        : act === 'reset'
          ? {
              ...device,
              approval_state: 'pending',
              trust_tier: 'observed',
              certificate: null,
              heartbeat_counter: null,
              token_version: device.token_version + 1,
              retired: false,
              reason,
            }
          : { ...device, trust_tier: 'revoked', reason };
    fleet.devices.set(deviceId, after);
    emit('device.trust.updated', { kind: 'device', id: deviceId });
    return after;
  }

  function deviceOf(id: string): Device {
    const device = fleet.devices.get(id);
    if (device === undefined) throw new TrustError('resource.not_found');
    return device;
  }

  /** In the words of the real one, of what the made-up device is. */
  function explanationOf(device: Device): DeviceExplanation {
    const { approval_state: state, trust_tier, attestation, certificate, pending_review } = device;
    const votes = pending_review === null ? [] : (fleet.approvals.get(pending_review.id)?.votes ?? []);
    const settings = readSettings({});
    const now = new Date(nowMs()).toISOString();
    const tier = attestation.state === 'verified' ? 'trusted' : 'monitored';
    const { settings: names, ...explained } = explainDevice(
      {
        tier: {
          grant: { state: device.retired ? 'retired' : state, tier },
          pinned_not_after: certificate?.not_after ?? null,
          pinned_revoked: trust_tier === 'revoked',
          attestation: attestation.state,
          identity_verified: true,
        },
        revocation: trust_tier === 'revoked' ? { at: now, by: 'sam', reason: 'left on a train' } : null,
        approved_at: device.first_seen_at,
        approvers: ['approver1'],
        reason: device.reason,
        last_seen_at: device.last_seen_at,
        evidence:
          attestation.state === 'not_required'
            ? null
            : {
                state: attestation.state === 'stale' ? 'challenged' : attestation.state,
                reason: null,
                detail: attestation.reason,
                verified_at: attestation.verified_at,
                fresh_until: null,
                binding: 'this',
              },
        review: pending_review && {
          ...pending_review,
          voters: votes.filter(({ decision }) => decision === 'approve').map(({ by }) => by),
          permission: 'identity.review',
        },
      },
      now,
      settings,
    );
    return {
      device_id: device.device_id,
      ...structuredClone(explained),
      pending_review,
      reason: device.reason,
      settings: names.map((name) => ({ name, value: String(settings[name]) })),
      explained_at: now,
    } as DeviceExplanation;
  }

  /** What was made up for it, in one order. */
  function timelineOf(device: Device, url: URL): DeviceTimeline {
    const [now, hour] = [nowMs(), 3600_000];
    const instant = (ms: number) => new Date(ms).toISOString();
    const entry = { transition: null, audit: null, silence: null };
    const silences = [
      { from: instant(now - 5.5 * hour), until: instant(now - 5 * hour) },
      { from: instant(now - 15 * hour), until: instant(now - 12 * hour) },
    ];
    const items: TimelineEntry[] = [
      ...(fleet.history.get(device.device_id) ?? []).map((transition) => {
        return { ...entry, kind: 'transition' as const, at: transition.at, transition };
      }),
      ...fleet.audit
        .filter(({ subject }) => subject.id === device.device_id)
        .map((audit) => ({ ...entry, kind: 'audit' as const, at: audit.occurred_at, audit })),
      ...silences.map((silence) => ({ ...entry, kind: 'heartbeat' as const, at: silence.until, silence })),
      { ...entry, kind: 'heartbeat' as const, at: device.first_seen_at ?? instant(now) },
    ];
    const { liveness, last_seen_at, heartbeat_counter } = device;
    const isOnline = liveness === 'online';
    const until = instant(now);
    return {
      ...list(
        items.filter(({ kind }) => fits(url, 'kind', kind)).toSorted((a, b) => (a.at < b.at ? 1 : -1)),
        url,
      ),
      kinds: [...timelineKinds],
      presence: {
        liveness,
        last_seen_at,
        online_since: isOnline ? (silences[0]?.until ?? null) : null,
        heartbeat_counter,
        since: instant(now - 24 * hour),
        until,
        silences: [...(isOnline || last_seen_at === null ? [] : [{ from: last_seen_at, until }]), ...silences],
      },
    };
  }

  /** By their end, as the real list is. */
  function certificatesOf(url: URL): ListedCertificate[] {
    const search = url.searchParams.get('search') ?? '';
    return [...fleet.devices.values()]
      .flatMap((device) =>
        (
          [
            ['pinned', device.certificate],
            ['candidate', device.pending_review && device.candidate_certificate],
          ] as const
        ).flatMap(([role, certificate]): ListedCertificate[] => {
          if (certificate === null) return [];
          const { device_id, trust_tier } = device;
          const expired = Date.parse(certificate.not_after) <= nowMs();
          return [{ device_id, role, ...certificate, expired, revoked: trust_tier === 'revoked', trust_tier }];
        }),
      )
      .filter(
        (one) =>
          fits(url, 'rotation', one.rotation) &&
          fits(url, 'role', one.role) &&
          fits(url, 'expired', String(one.expired)) &&
          fits(url, 'expiring_soon', String(one.expiring_soon)) &&
          one.not_after >= (url.searchParams.get('not_after_from') ?? '') &&
          one.not_after < (url.searchParams.get('not_after_before') ?? '~') &&
          [one.device_id, one.subject, one.fingerprint_sha256].some((text) => text.includes(search)),
      )
      .toSorted((a, b) => Date.parse(a.not_after) - Date.parse(b.not_after));
  }

  function planOf(url: URL): CertificatePlan {
    const by = planPeriods.find((period) => period === url.searchParams.get('by')) ?? 'week';
    const frame = frameOfPlan(new Date(nowMs()).toISOString(), by, rotationPolicy);
    const ends = [...fleet.devices.values()].flatMap(({ certificate }) => certificate?.not_after ?? []);
    const counts = ['', ...frame.bounds].map(
      (from, index) => ends.filter((end) => end >= from && end < (frame.bounds[index] ?? '~')).length,
    );
    const { periods, ...rest } = sumPlan(frame, counts, rotationPolicy);
    return { by, counted_at: frame.now, ...rest, periods: [...periods] };
  }

  function answer(call: Call, response: ServerResponse): unknown {
    const { request, url, body } = call;
    const path = url.pathname;
    const isPost = request.method === 'POST';
    if (path === '/api/admin/login') return login(call, response);
    if (path === '/api/health/live') return { status: 'ok', version: '0.1.0' };
    if (path === '/api/health/ready') {
      if (ready.value.status === 'failed') response.statusCode = 503;
      return ready.value;
    }
    const person = signedIn(call);
    if (path === '/api/health/reasons') return { reasons: {} };
    const { username } = person.session;
    if (request.method !== 'GET') seen.push({ method: request.method ?? '', path, body });
    const parts = path.split('/').slice(2).map(decodeURIComponent);
    const [area = '', id = '', verb = ''] = parts;
    switch (area) {
      case 'admin':
        if (id === 'me') return meOf(person);
        if (id === 'logout' || verb !== '') {
          for (const [token, { session }] of sessions) {
            if (session.id === (id === 'logout' ? person.session.id : verb)) sessions.delete(token);
          }
          return id === 'logout'
            ? undefined
            : { ...person.session, id: verb, ended_at: new Date(nowMs()).toISOString() };
        }
        return list(
          [...sessions.values()]
            .filter(({ session }) => url.searchParams.get('of') === 'everybody' || session.username === username)
            .map(({ session }) => ({ ...session, current: session === person.session })),
          url,
        );
      case 'devices':
        if (id === '')
          return list(
            inOrder(
              [...fleet.devices.values()].filter((device) => matchesDevice(device, url)),
              url,
            ),
            url,
          );
        if (verb === 'attestation')
          return url.pathname.endsWith('/verdicts')
            ? list(verdictsOf(deviceOf(id), nowMs()), url)
            : attestationOf(deviceOf(id), nowMs());
        if (verb === 'explanation') return explanationOf(deviceOf(id));
        if (verb === 'timeline') return timelineOf(deviceOf(id), url);
        if (verb === 'history') return list(fleet.history.get(id) ?? [], url);
        if (verb === 'identity-review') {
          const { pending_review } = deviceOf(id);
          if (pending_review === null) throw new TrustError('device.no_pending_review');
          review(pending_review.id, username, body as ReviewBody);
          return deviceOf(id);
        }
        return isPost ? change(id, verb, body) : deviceOf(id);
      case 'fleet':
        if (counting.fails) throw new TrustError('device.count_too_slow');
        return countsOf([...fleet.devices.values()], url, nowMs());
      case 'certificates':
        return id === 'plan' ? planOf(url) : list(certificatesOf(url), url);
      case 'saved-filters': {
        const own = savedFilters.get(username) ?? new Map<string, SavedFilter>();
        savedFilters.set(username, own);
        if (request.method === 'PUT') {
          const filter = {
            name: id,
            query: body['query'] as SavedFilter['query'],
            saved_at: new Date(nowMs()).toISOString(),
          };
          own.set(id, filter);
          return filter;
        }
        if (request.method === 'DELETE' && !own.delete(id)) throw new TrustError('resource.not_found');
        return request.method === 'DELETE' ? undefined : list([...own.values()], url);
      }
      case 'approvals': {
        if (id === '')
          return list(
            [...fleet.approvals.values()].filter(
              (approval) => fits(url, 'state', approval.state) && fits(url, 'kind', approval.kind),
            ),
            url,
          );
        if (isPost) return review(id, username, body as ReviewBody);
        const approval = fleet.approvals.get(id);
        if (approval === undefined) throw new TrustError('resource.not_found');
        return approval;
      }
      case 'audit':
        if (id === 'integrity') {
          return {
            valid: true,
            checked: fleet.audit.length,
            verified_from: 1,
            head_sequence: fleet.audit.length,
            unsealed: 0,
            checkpoint: {
              sequence: fleet.audit.length - 2,
              at: new Date(nowMs()).toISOString(),
              key_id: 'checkpoint-2026',
            },
            first_broken_sequence: null,
            reason: null,
          };
        }
        return list(
          fleet.audit
            .toReversed()
            .filter(
              (event) =>
                fits(url, 'category', event.category) &&
                fits(url, 'outcome', event.outcome) &&
                fits(url, 'subject_id', event.subject.id),
            ),
          url,
        );
      default:
        throw new TrustError('resource.not_found');
    }
  }

  function openStream(call: Call, response: ServerResponse): void {
    signedIn(call);
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write(': open\n\n');
    streams.add(response);
    response.on('close', () => streams.delete(response));
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    response.setHeader('date', new Date(nowMs()).toUTCString());
    const url = new URL(request.url ?? '/', 'http://fake');
    if (isDown) return void request.socket.destroy();
    if (!url.pathname.startsWith('/api/')) return serveConsole(console, url.pathname, response);
    const requestId = randomUUID();
    try {
      const text = Buffer.concat(chunks).toString();
      const call: Call = { request, url, body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown> };
      if (url.pathname === '/api/events/stream') return openStream(call, response);
      const body = answer(call, response);
      response.setHeader('content-type', 'application/json');
      response.end(body === undefined ? '' : JSON.stringify(body));
    } catch (error) {
      if (!(error instanceof TrustError)) throw error;
      const { status, title } = problems[error.code];
      response.writeHead(status, { 'content-type': 'application/problem+json' });
      response.end(
        JSON.stringify({
          type: `about:blank#${error.code}`,
          title,
          status,
          detail: error.message,
          code: error.code,
          request_id: requestId,
        }),
      );
    }
  }

  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return {
    // Browsers take cookies with the Secure attribute over plain HTTP from this host only.
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    fleet,
    seen,
    ready,
    counting,
    refuse,
    streams: () => streams.size,
    setDown: (down) => {
      isDown = down;
      if (down) for (const stream of streams) stream.destroy();
    },
    endSessions: () => sessions.clear(),
    emit,
  };
}

async function serveConsole(folder: string, path: string, response: ServerResponse): Promise<void> {
  const isFile = extname(path) !== '' && !path.includes('..');
  const file = isFile ? path : '/index.html';
  const bytes = await readFile(join(folder, file)).catch(() => null);
  if (bytes === null) {
    response.writeHead(404).end();
    return;
  }
  const nonce = randomBytes(18).toString('base64url');
  response.writeHead(200, {
    'content-type': types[extname(file)] ?? 'application/octet-stream',
    'content-security-policy': policy(nonce),
    'x-content-type-options': 'nosniff',
    // As the API lets them be kept: the name of a script or style changes with its content.
    'cache-control': isFile ? 'public, max-age=31536000, immutable' : 'no-store',
  });
  response.end(isFile ? bytes : bytes.toString().replaceAll('__CSP_NONCE__', nonce));
}

const fits = (url: URL, name: string, value: string): boolean => (url.searchParams.get(name) ?? value) === value;

function matchesDevice(device: Device, url: URL): boolean {
  const search = url.searchParams.get('search');
  const tag = url.searchParams.get('tag');
  const review = url.searchParams.get('pending_review');
  return (
    fits(url, 'trust_tier', device.trust_tier) &&
    fits(url, 'liveness', device.liveness) &&
    fits(url, 'approval_state', device.approval_state) &&
    (search === null || device.device_id.includes(search) || (device.hostname ?? '').includes(search)) &&
    (tag === null || [...device.reported_tags, ...device.assigned_tags].includes(tag)) &&
    (review === null || String(device.pending_review !== null) === review) &&
    fits(url, 'rotation', device.certificate?.rotation ?? 'none') &&
    fits(url, 'retired', String(device.retired))
  );
}

/** As facets are counted: each without its own filter. */
function countsOf(devices: readonly Device[], url: URL, nowMs: number): DeviceCounts {
  const of = <Name extends string>(facet: string, names: readonly Name[], value: (device: Device) => string) => {
    const besides = new URL(url);
    besides.searchParams.delete(facet);
    const counted = devices.filter((device) => matchesDevice(device, besides));
    return Object.fromEntries(
      names.map((name) => [name, counted.filter((device) => value(device) === name).length]),
    ) as Record<Name, number>;
  };
  return {
    matching: devices.filter((device) => matchesDevice(device, url)).length,
    trust_tier: of('trust_tier', trustTiers, (device) => device.trust_tier),
    liveness: of('liveness', livenessStates, (device) => device.liveness),
    approval_state: of('approval_state', deviceApprovalStates, (device) => device.approval_state),
    rotation: of('rotation', rotationAdvice, (device) => device.certificate?.rotation ?? 'none'),
    pending_review: of('pending_review', ['true', 'false'], (device) => String(device.pending_review !== null)),
    retired: of('retired', ['true', 'false'], (device) => String(device.retired)),
    counted_at: new Date(nowMs).toISOString(),
  };
}

function inOrder(devices: readonly Device[], url: URL): Device[] {
  const id = (a: Device, b: Device) => (a.device_id < b.device_id ? -1 : 1);
  const order = url.searchParams.get('order');
  const end = (device: Device) => device.certificate?.not_after ?? '9';
  const seen = (device: Device) => device.first_seen_at ?? '';
  return devices.toSorted((a, b) => {
    if (order === 'certificate_end' && end(a) !== end(b)) return end(a) < end(b) ? -1 : 1;
    if (order === 'first_seen' && seen(a) !== seen(b)) return seen(a) < seen(b) ? 1 : -1;
    return order === 'first_seen' ? id(b, a) : id(a, b);
  });
}

function afterVote(device: Device, approval: Approval): Device {
  if (approval.state === 'open') {
    const pending_review = device.pending_review && { ...device.pending_review, approvals: approval.votes.length };
    return { ...device, pending_review };
  }
  if (approval.state === 'rejected') {
    const isNew = approval.kind === 'enrollment';
    return {
      ...device,
      pending_review: null,
      candidate_certificate: null,
      ...(isNew ? { approval_state: 'rejected', trust_tier: 'restricted' } : {}),
    };
  }
  return {
    ...device,
    approval_state: 'approved',
    trust_tier: 'monitored',
    certificate: device.candidate_certificate ?? device.certificate,
    candidate_certificate: null,
    pending_review: null,
  };
}

/** Pages by position; the cursor is the next one. */
function list<Item>(items: readonly Item[], url: URL): { items: Item[]; next_cursor: string | null } {
  const limit = Number(url.searchParams.get('limit') ?? 50);
  const start = Number(url.searchParams.get('cursor') ?? 0);
  const end = start + limit;
  return { items: items.slice(start, end), next_cursor: end < items.length ? String(end) : null };
}
