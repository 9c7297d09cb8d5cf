// What the client sends, and what it makes of answers, problems and silence.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiProblem } from '#client/api-problem.ts';
import { createClient } from '#client/client.ts';
import { createTransport } from '#client/node-transport.ts';
import type { CallerOptions } from '#client/request.ts';
import { countingRandom } from '#tests/fakes/counting-random.ts';
import { problemAnswer, scriptedApi, type Script } from '#tests/fakes/scripted-api.ts';

const firstKey = '00000000-0000-4000-8000-000000000001';

async function clientOf(t: TestContext, script: Script, options: Partial<CallerOptions> = {}) {
  const api = await scriptedApi(t, script);
  const transport = createTransport();
  t.after(() => transport.close());
  const pauses: number[] = [];
  const pause = async (ms: number) => void pauses.push(ms);
  const random = countingRandom();
  const client = createClient({ baseUrl: api.url, fetch: transport.fetch, random, pause, ...options });
  return { client, seen: api.seen, pauses };
}

const refusedWith = (code: string, more: Partial<ApiProblem> = {}) => {
  return (error: unknown) => {
    const problem = error as ApiProblem;
    assert.equal(problem.name, 'ApiProblem', String(error));
    assert.equal(problem.code, code);
    for (const [name, value] of Object.entries(more)) assert.deepEqual(problem[name as keyof ApiProblem], value, name);
    return true;
  };
};

describe('client', () => {
  it('asks for each resource at its route', async (t) => {
    const { client, seen } = await clientOf(t, () => ({ body: {} }));
    await client.devices.list({ trust_tier: 'restricted', pending_review: true, limit: 10 });
    await client.devices.get('lab:42');
    await client.devices.history('d1', { cursor: 'a b' });
    await client.devices.identityReview('d1', { decision: 'approve', digest: 'x' });
    await client.devices.revoke('d1', { reason: 'lost' });
    await client.devices.reset('d1');
    await client.devices.retire('d1');
    await client.approvals.list({ state: 'open' });
    await client.approvals.get('a1');
    await client.approvals.review('a1', { decision: 'reject' });
    await client.audit.list({ subject_id: 'd1' });
    await client.audit.integrity({ full: true });
    await client.admin.login({ username: 'u', password: 'p' });
    await client.admin.logout();
    await client.admin.me();
    await client.admin.sessions();
    await client.admin.revokeSession('s1');
    await client.health.live();
    assert.deepEqual(
      seen.map(({ method, path }) => `${method} ${path}`),
      [
        'GET /api/devices?trust_tier=restricted&pending_review=true&limit=10',
        'GET /api/devices/lab%3A42',
        'GET /api/devices/d1/history?cursor=a+b',
        'POST /api/devices/d1/identity-review',
        'POST /api/devices/d1/certificate/revoke',
        'POST /api/devices/d1/reset',
        'POST /api/devices/d1/retire',
        'GET /api/approvals?state=open',
        'GET /api/approvals/a1',
        'POST /api/approvals/a1/review',
        'GET /api/audit/events?subject_id=d1',
        'GET /api/audit/integrity?full=true',
        'POST /api/admin/login',
        'POST /api/admin/logout',
        'GET /api/admin/me',
        'GET /api/admin/sessions',
        'POST /api/admin/sessions/s1/revoke',
        'GET /api/health/live',
      ],
    );
    assert.deepEqual(seen[3]?.body, { decision: 'approve', digest: 'x' });
    assert.deepEqual(seen[5]?.body, {});
  });

  it('counts devices, and keeps and forgets filters with the CSRF token and without an Idempotency-Key', async (t) => {
    const { client, seen } = await clientOf(t, () => ({ body: {} }), { csrfToken: () => 'csrf' });
    await client.devices.counts({ liveness: 'stale' });
    await client.savedFilters.list();
    await client.savedFilters.save('Gone quiet/..', { liveness: 'stale' });
    await client.savedFilters.delete('Gone quiet');
    assert.deepEqual(
      seen.map(({ method, path, headers }) => [method, path, headers['x-csrf-token'], headers['idempotency-key']]),
      [
        ['GET', '/api/fleet/counts?liveness=stale', undefined, undefined],
        ['GET', '/api/saved-filters', undefined, undefined],
        ['PUT', '/api/saved-filters/Gone%20quiet%2F..', 'csrf', undefined],
        ['DELETE', '/api/saved-filters/Gone%20quiet', 'csrf', undefined],
      ],
    );
    assert.deepEqual(seen[2]?.body, { query: { liveness: 'stale' } });
  });

  it('sends token, project and CSRF token, and a new Idempotency-Key with each POST only', async (t) => {
    const { client, seen } = await clientOf(t, () => ({}), {
      token: 'secret',
      project: 'lab',
      csrfToken: () => 'csrf',
    });
    await client.devices.list();
    await client.devices.reset('d1');
    await client.devices.reset('d1');
    const [get, first, second] = seen;
    assert.equal(get?.headers.authorization, 'Bearer secret');
    assert.equal(get.headers['x-sentinel-project'], 'lab');
    assert.equal(get.headers['x-csrf-token'], undefined);
    assert.equal(get.headers['idempotency-key'], undefined);
    assert.equal(first?.headers['x-csrf-token'], 'csrf');
    assert.equal(first.headers['idempotency-key'], firstKey);
    assert.notEqual(second?.headers['idempotency-key'], firstKey);
  });

  it('sends the key that the caller gives', async (t) => {
    const { client, seen } = await clientOf(t, () => ({}));
    await client.devices.reset('d1', {}, { idempotencyKey: 'mine' });
    assert.equal(seen[0]?.headers['idempotency-key'], 'mine');
  });

  it('turns a problem body into an ApiProblem with the advice of its code', async (t) => {
    const errors = [{ field: 'reason', message: 'too long' }];
    const { client, seen } = await clientOf(t, () => problemAnswer(409, 'review.changed', { errors, facts: { n: 1 } }));
    await assert.rejects(
      client.approvals.review('a1', { decision: 'approve' }),
      refusedWith('review.changed', {
        status: 409,
        title: 'A title',
        detail: 'A detail',
        advice: 'Look at the review again and vote on its present digest.',
        requestId: 'req-1',
        errors,
        facts: { n: 1 },
      }),
    );
    assert.equal(seen.length, 1);
  });

  it('says internal.error for a body that is no problem of ours', async (t) => {
    const bodies = ['<html>', '[]', 'null', '{"code":"toString"}', '{"code":"future.code","detail":"Said so"}'];
    const { client } = await clientOf(t, (_, index) => ({ status: 418, body: bodies[index] }));
    for (const body of bodies) {
      const detail = body.includes('Said so') ? 'Said so' : 'The server answered 418 without a known problem.';
      await assert.rejects(client.devices.list(), refusedWith('internal.error', { status: 418, detail }));
    }
  });

  it('says internal.error when a success is not JSON', async (t) => {
    const { client } = await clientOf(t, () => ({ body: '<html>' }));
    await assert.rejects(client.devices.list(), refusedWith('internal.error', { status: 200 }));
  });

  it('repeats a POST after 503 with the same key, and waits at least Retry-After', async (t) => {
    const { client, seen, pauses } = await clientOf(t, (_, index) =>
      index === 0
        ? problemAnswer(503, 'control.backlogged', {}, { 'retry-after': '2' })
        : { body: { device_id: 'd1' } },
    );
    assert.deepEqual(await client.devices.retire('d1'), { device_id: 'd1' });
    assert.deepEqual(pauses, [2000]);
    assert.deepEqual(
      seen.map(({ headers }) => headers['idempotency-key']),
      [firstKey, firstKey],
    );
  });

  it('repeats a POST when the connection broke, with the same key', async (t) => {
    const { client, seen, pauses } = await clientOf(t, (_, index) => (index === 0 ? { hangUp: true } : {}));
    await client.devices.retire('d1');
    assert.deepEqual(pauses, [250]);
    assert.deepEqual(new Set(seen.map(({ headers }) => headers['idempotency-key'])), new Set([firstKey]));
  });

  it('repeats what a proxy could not pass on', async (t) => {
    const { client, seen } = await clientOf(t, (_, index) => (index === 0 ? { status: 502, body: '<html>' } : {}));
    await client.devices.list();
    assert.equal(seen.length, 2);
  });

  it('gives up after its attempts', async (t) => {
    const { client, seen, pauses } = await clientOf(t, () => problemAnswer(503, 'service.unavailable'));
    await assert.rejects(client.devices.retire('d1'), refusedWith('service.unavailable', { status: 503 }));
    assert.equal(seen.length, 3);
    assert.deepEqual(pauses, [250, 500]);
  });

  it('gives up at once when told to wait for longer than its budget', async (t) => {
    const { client, seen } = await clientOf(t, () => problemAnswer(429, 'rate.limited', {}, { 'retry-after': '60' }));
    await assert.rejects(client.devices.list(), refusedWith('rate.limited', { retryAfterSeconds: 60 }));
    assert.equal(seen.length, 1);
  });

  it('does not repeat what another attempt cannot change', async (t) => {
    const refusals = [
      problemAnswer(403, 'review.own_request'),
      problemAnswer(409, 'device.pending'),
      problemAnswer(500, 'internal.error'),
    ];
    const { client, seen } = await clientOf(t, (_, index) => refusals[index] ?? {});
    for (const refusal of refusals) {
      await assert.rejects(client.devices.retire('d1'), refusedWith(refusal.body.code));
    }
    assert.equal(seen.length, refusals.length);
  });

  it('spreads its attempts in time by chance', async (t) => {
    const { client, pauses } = await clientOf(t, (_, index) => (index === 0 ? { hangUp: true } : {}), {
      random: countingRandom(128),
    });
    await client.devices.list();
    assert.deepEqual(pauses, [375]);
  });

  it('limits the time of an attempt', async (t) => {
    const { client, seen } = await clientOf(t, () => ({ silent: true }), { timeoutMs: 50, attempts: 2 });
    await assert.rejects(
      client.devices.list(),
      refusedWith('service.unavailable', { status: 0, detail: 'No answer within 0.05 s.' }),
    );
    assert.equal(seen.length, 2);
  });

  it('leaves the verification of a long audit trail its time, and does not ask for it twice', async (t) => {
    const { client, seen } = await clientOf(
      t,
      async (_, index) => {
        await sleep(150);
        return index === 0 ? { body: { valid: true } } : { hangUp: true };
      },
      { timeoutMs: 50 },
    );
    assert.deepEqual(await client.audit.integrity(), { valid: true });
    await assert.rejects(client.audit.integrity(), refusedWith('service.unavailable'));
    assert.equal(seen.length, 2);
  });

  it('ends with the reason of the caller’s signal', async (t) => {
    const abort = new AbortController();
    const reason = new Error('enough');
    const { client, seen } = await clientOf(t, () => {
      abort.abort(reason);
      return { silent: true };
    });
    await assert.rejects(client.devices.list({}, { signal: abort.signal }), reason);
    assert.equal(seen.length, 1);
  });

  it('ends its wait with the reason of the caller’s signal', async (t) => {
    const reason = new Error('enough');
    const answer = problemAnswer(503, 'service.unavailable', {}, { 'retry-after': '10' });
    const { client, seen } = await clientOf(t, () => answer, { pause: undefined });
    const signal = AbortSignal.timeout(100);
    await assert.rejects(client.devices.list({}, { signal }), { name: 'TimeoutError' });
    await assert.rejects(client.devices.list({}, { signal: AbortSignal.abort(reason) }), reason);
    assert.equal(seen.length, 1);
  });

  it('says what broke when there is no connection', async (t) => {
    const { client } = await clientOf(t, () => ({ hangUp: true }), { attempts: 1 });
    await assert.rejects(
      client.health.live(),
      refusedWith('service.unavailable', { status: 0, detail: 'No connection: other side closed.' }),
    );
  });

  it('never follows a redirect, which would carry the token away', async (t) => {
    const { client, seen } = await clientOf(t, () => ({ status: 307, headers: { location: '/elsewhere' } }), {
      attempts: 1,
      token: 'secret',
    });
    await assert.rejects(client.devices.list(), refusedWith('service.unavailable'));
    assert.equal(seen.length, 1);
  });

  it('refuses an id that would lead to another route', async (t) => {
    const { client, seen } = await clientOf(t, () => ({}));
    for (const id of ['', '.', '..']) await assert.rejects(client.devices.reset(id), refusedWith('request.invalid'));
    assert.equal(seen.length, 0);
  });

  it('answers readiness also when the installation is not ready, but not from a stranger’s 503', async (t) => {
    const body = { status: 'failed', checks: { database: { status: 'failed', detail: 'no connection' } } };
    const answers = [{ status: 503, body }, problemAnswer(503, 'service.overloaded')];
    const { client } = await clientOf(t, (_, index) => answers[index] ?? {}, { attempts: 1 });
    assert.deepEqual(await client.health.ready(), body);
    await assert.rejects(client.health.ready(), refusedWith('service.overloaded'));
  });
});
