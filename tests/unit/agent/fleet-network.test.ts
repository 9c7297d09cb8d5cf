// The bad network of the fleet on real TLS, and a whole run against a small API that answers as it should, and as it should not.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { describe, it, type TestContext } from 'node:test';
import { openConnection } from '#agent/fleet/connection.ts';
import { issueIdentity } from '#agent/fleet/identity.ts';
import type { Report } from '#agent/fleet/report.ts';
import { runScenario, type RunDeps } from '#agent/fleet/run.ts';
import { parseScenario } from '#agent/fleet/scenario.ts';
import { systemClock as clock, systemRandom as random, type Log } from '#contracts/deps.ts';
import { createDevelopmentCa } from '#protocols/development-ca.ts';
import { problemAnswer, scriptedApi, type ScriptedAnswer, type SeenRequest } from '#tests/fakes/scripted-api.ts';

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

async function aHome(t: TestContext) {
  const home = await mkdtemp(join(tmpdir(), 'sentinel-fleet-'));
  t.after(() => rm(home, { recursive: true }));
  const ca = await createDevelopmentCa(join(home, 'ca'), { clock, random });
  const tls = {
    cert: ca.serverCertificatePem,
    key: ca.serverKeyPem,
    ca: ca.caCertificatePem,
    requestCert: true,
    rejectUnauthorized: false,
  };
  return { home, ca, tls };
}

describe('a connection that breaks', () => {
  async function brokenRequest(t: TestContext, when: 'lost_request' | 'lost_answer') {
    const { ca, tls } = await aHome(t);
    const over = Promise.withResolvers<{ whole: boolean; bytes: number }>();
    const server = createServer(tls, (request) => {
      let bytes = 0;
      request.on('error', () => {});
      request.on('data', (chunk: Buffer) => (bytes += chunk.length));
      request.on('close', () => over.resolve({ whole: request.complete, bytes }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    const identity = await issueIdentity(ca, 'lab-1', {});
    const connection = openConnection({ ca: ca.caCertificatePem, identity });
    t.after(() => connection.close());
    const body = JSON.stringify({ device_id: 'lab-1', heartbeat_counter: 1 });
    const fetching = connection.breaking(when)(`https://localhost:${port}/api/heartbeat`, {
      method: 'POST',
      headers: {},
      signal: AbortSignal.timeout(10_000),
      redirect: 'error',
      body,
    });
    await assert.rejects(fetching, /as planned/);
    return { ...(await over.promise), size: body.length };
  }

  it('leaves the server with half a request, and no more', async (t) => {
    const { whole, bytes, size } = await brokenRequest(t, 'lost_request');
    assert.equal(whole, false);
    assert.ok(bytes < size);
  });

  it('leaves the server with a whole request and nobody to answer', async (t) => {
    const { whole, bytes, size } = await brokenRequest(t, 'lost_answer');
    assert.equal(whole, true);
    assert.equal(bytes, size);
  });
});

describe('a run', () => {
  /** Judges heartbeats as the API does, for devices that are approved at once. */
  function honestApi(): (request: SeenRequest) => ScriptedAnswer {
    const counters = new Map<string, number>();
    return ({ clientName, body }) => {
      const { device_id, heartbeat_counter } = body as { device_id: string; heartbeat_counter?: unknown };
      if (typeof heartbeat_counter !== 'number' || !Number.isSafeInteger(heartbeat_counter) || heartbeat_counter < 1)
        return problemAnswer(400, 'heartbeat.counter_invalid');
      if (clientName !== device_id) return problemAnswer(403, 'certificate.name_mismatch');
      if (heartbeat_counter <= (counters.get(device_id) ?? 0)) return problemAnswer(409, 'heartbeat.replayed');
      counters.set(device_id, heartbeat_counter);
      return { status: 200, body: { status: 'accepted', next_heartbeat_seconds: 15 } };
    };
  }

  async function run(
    t: TestContext,
    answer: (request: SeenRequest) => ScriptedAnswer,
    behaviours: readonly object[],
    enough = 60,
  ): Promise<Report> {
    const { home, tls } = await aHome(t);
    const stop = new AbortController();
    const api = await scriptedApi(
      t,
      (request) => {
        if (api.seen.length >= enough) stop.abort();
        return answer(request);
      },
      tls,
    );
    const scenario = parseScenario(
      'lab',
      JSON.stringify({ about: 'A test', devices: 4, arrivals_per_second: 2_000, behaviours }),
    );
    const limit = setTimeout(() => stop.abort(), 30_000);
    t.after(() => clearTimeout(limit));

    const deps: RunDeps = {
      home,
      deviceUrl: api.url,
      clock,
      monotonicMs: () => performance.now(),
      random,
      log: silent,
      sleep: async (_ms, signal) => sleepFor(1, undefined, { signal }),
      readPaused: async () => new Set(),
      findApi: async () => assert.fail('nobody votes'),
      passwordOf: async () => assert.fail('nobody votes'),
      pendingLimit: 100,
      evidenceFor: () => null,
      usage: () => ({ cpu_seconds: 0, memory_mb: 0 }),
      progress: () => ({ end() {} }),
    };
    return runScenario(deps, scenario, 7, stop);
  }

  const troubles = [
    { kind: 'lost_request', chance: 0.2 },
    { kind: 'lost_answer', chance: 0.2 },
    { kind: 'duplicate', chance: 0.3 },
    { kind: 'replay', chance: 0.3 },
    { kind: 'bad_counter', chance: 0.2 },
    { kind: 'wrong_name', chance: 0.2 },
    { kind: 'restart', share: 0.5, at_seconds: 0 },
  ];

  it('finds the approval that nobody gave', async (t) => {
    const report = await run(t, honestApi(), []);
    assert.equal(report.right, false);
    assert.deepEqual(
      new Set(report.mismatches.first.map(({ expected, answered }) => `${expected}: ${answered}`)),
      new Set(['pending: accepted']),
    );
    assert.equal(report.mismatches.total, 4);
  });

  it('takes an API for right that judges as it should, over a bad network and among thieves', async (t) => {
    const honest = honestApi();
    const approvals = new Set<string>();
    // The first answer to each device is the one that nobody here voted for.
    const report = await run(
      t,
      (request) => {
        const answer = honest(request);
        if (answer.status === 200) approvals.add(String(request.clientName));
        return answer;
      },
      troubles,
      150,
    );
    const surprising = report.mismatches.first.filter(({ expected }) => expected !== 'pending');
    assert.deepEqual(surprising, []);
    assert.equal(approvals.size, 4);
    for (const kind of ['lost_request', 'lost_answer', 'duplicate', 'replay', 'bad_counter', 'wrong_name', 'restart'])
      assert.ok((report.acts[kind] ?? 0) > 0, `${kind} never happened`);
    assert.ok((report.answers.missing['lost_answer'] ?? 0) > 0);
  });

  it('finds an API that forgets which counters were used', async (t) => {
    const honest = honestApi();
    const report = await run(
      t,
      (request) => {
        const answer = honest(request);
        if ((answer.body as { code?: string }).code !== 'heartbeat.replayed') return answer;
        return { status: 200, body: { status: 'accepted', next_heartbeat_seconds: 15 } };
      },
      troubles,
      150,
    );
    const found = new Set(
      report.mismatches.first.map(({ act, expected, answered }) => `${act} ${expected}: ${answered}`),
    );
    assert.ok(found.has('replay heartbeat.replayed: accepted'), [...found].join('; '));
    assert.ok(found.has('duplicate one of two accepted: both accepted'), [...found].join('; '));
  });

  it('is not right when nobody cut off an answer that is missing', async (t) => {
    const report = await run(t, () => ({ hangUp: true }), [], 4);
    assert.equal(report.right, false);
    assert.ok((report.answers.missing['outage'] ?? 0) > 0);
    assert.match(report.problems.join(), /requests without an answer: \d+, the first of lab-00\d at .*: No connection/);
  });
});
