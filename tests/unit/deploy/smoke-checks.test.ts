// The smoke checks pass on a proxy in order and fail on each way of getting it wrong.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Fetch, runSmokeChecks } from '#deploy/nginx/smoke-checks.ts';

type Answers = Readonly<Record<string, readonly [status: number, code?: string]>>;

const good: Answers = {
  '/api/health/live': [200],
  '/api/health/ready': [200],
  '/api/heartbeat': [401, 'certificate.missing'],
  forged: [401, 'certificate.missing'],
  device: [409, 'heartbeat.replayed'],
};

const answering =
  (answers: Answers, asDevice = false): Fetch =>
  async (url, { headers }) => {
    const path = new URL(url).pathname;
    const key =
      headers?.['x-ssl-client-verify'] !== undefined
        ? 'forged'
        : asDevice && path === '/api/heartbeat'
          ? 'device'
          : path;
    const [status, code] = answers[key] ?? [404];
    return { status, text: async () => JSON.stringify({ code }) };
  };

const failing = async (change: Answers): Promise<string[]> => {
  const answers = { ...good, ...change };
  const device = { fetch: answering(answers, true), deviceId: 'device-1' };
  const results = await runSmokeChecks({ baseUrl: 'https://sentinel.test', fetch: answering(answers), device });
  assert.equal(results.length, 5);
  return results.filter(({ passed }) => !passed).map(({ check, detail }) => `${check}: ${detail}`);
};

describe('smoke checks', () => {
  it('pass when health routes answer and heartbeats need a certificate (DP-06)', async () => {
    assert.deepEqual(await failing({}), []);
  });

  it('fail when a health route does not answer 200 (DP-06)', async () => {
    assert.deepEqual(await failing({ '/api/health/ready': [503] }), ['GET /api/health/ready answers 200: 503']);
    assert.equal((await failing({ '/api/health/live': [502] })).length, 1);
  });

  it('fail when a heartbeat without certificate is answered otherwise (DP-06)', async () => {
    for (const answer of [[202], [400, 'request.invalid'], [401, 'auth.required'], [404]] as const)
      assert.equal((await failing({ '/api/heartbeat': answer })).length, 1);
  });

  it('fail when forged headers get further than no headers', async () => {
    assert.equal((await failing({ forged: [403, 'proxy.untrusted'] })).length, 1);
    assert.equal((await failing({ forged: [202] })).length, 1);
  });

  it('fail when the device is not known by its certificate', async () => {
    for (const answer of [
      [401, 'certificate.missing'],
      [403, 'certificate.name_mismatch'],
      [403, 'proxy.untrusted'],
      [503],
    ] as const)
      assert.equal((await failing({ device: answer })).length, 1);
  });

  it('fail, each by itself, when nothing answers', async () => {
    const fetch: Fetch = async () => {
      throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') });
    };
    const results = await runSmokeChecks({ baseUrl: 'https://sentinel.test', fetch });
    assert.deepEqual(
      results.map(({ passed, detail }) => [passed, detail]),
      Array(4).fill([false, 'fetch failed: connect ECONNREFUSED']),
    );
  });
});
