// The table of metrics against the processes: each has exactly its own, and who may read them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createAdmission } from '#api/admission.ts';
import { systemRandom } from '#contracts/deps.ts';
import { createMetrics, registerReadings } from '#api/metrics.ts';
import { metrics, type MetricProcess, type MetricRow } from '#contracts/metrics.ts';
import { createMeters, watchPool, type Meters } from '#telemetry/metrics.ts';
import { serveMetrics } from '#telemetry/metrics-server.ts';
import { readings } from '#tests/fakes/readings.ts';
import { createWorkerMetrics, measuredCommits, measuredVerifications } from '#worker/metrics.ts';
import { createSealerMetrics } from '#worker/seal.ts';

const pool = { totalCount: 5, idleCount: 2, waitingCount: 1, options: { max: 10 } };

function metersOf(process: MetricProcess): Meters {
  switch (process) {
    case 'api': {
      const made = createMetrics('1.2.3');
      registerReadings(made, readings());
      createAdmission(
        { random: systemRandom, metrics: made, nowMs: () => 0 },
        { maximumOpen: 1, targetMs: 1, queueFrom: 1, windowMs: 1, intervalSeconds: 1 },
      );
      return made.meters;
    }
    case 'worker':
      return createWorkerMetrics('1.2.3').meters;
    case 'sealer': {
      const made = createMeters('sealer', '1.2.3');
      createSealerMetrics(made);
      return made;
    }
  }
}

describe('the table of metrics', () => {
  for (const process of ['api', 'worker', 'sealer'] as const) {
    it(`is what the ${process} has, with its labels and words (HM-03)`, async () => {
      const meters = metersOf(process);
      watchPool(meters, pool);
      const made = (await meters.registry.getMetricsAsJSON()).filter(({ name }) => name.startsWith('sentinel_'));
      const rows = Object.entries<MetricRow>(metrics).filter(([, { processes }]) => processes.includes(process));
      assert.deepEqual(
        made.map(({ name, help, type }) => `${name} ${String(type)} ${help}`).toSorted(),
        rows.map(([name, { kind, meaning }]) => `${name} ${kind} ${meaning}`).toSorted(),
      );
    });
  }

  it('has no label that could name a device or a person', () => {
    const harmless = new Set(['version', 'state', 'method', 'route', 'status', 'outcome', 'result', 'code', 'kind']);
    for (const name of ['operation', 'trust_tier', 'liveness', 'approval_state', 'finding', 'stream', 'reason'])
      harmless.add(name);
    for (const [name, { labels = [] }] of Object.entries<MetricRow>(metrics))
      assert.deepEqual(
        labels.filter((label) => !harmless.has(label)),
        [],
        name,
      );
  });

  it('shows the pool as it is when somebody looks, and leaves out what cannot be read', async () => {
    const meters = createMeters('worker', '1.2.3');
    watchPool(meters, pool);
    const text = await meters.registry.metrics();
    assert.match(text, /^sentinel_database_connections\{state="busy"\} 3$/m);
    assert.match(text, /^sentinel_database_connections\{state="waiting"\} 1$/m);
    assert.match(text, /^sentinel_info\{version="1\.2\.3"\} 1$/m);
    const api = createMetrics('1.2.3');
    registerReadings(api, readings({ fleet: () => Promise.reject(new Error('too slow')) }));
    assert.doesNotMatch(await api.registry.metrics(), /^sentinel_devices\{/m);
  });
});

describe('commits', () => {
  it('are counted by how they ended: committed, the same again, fenced, or failed', async () => {
    const made = createWorkerMetrics('1.2.3');
    const commit = { actor: { kind: 'device', project: 'default', id: 'a' } } as never;
    const ends = [
      async () => ({ status: 'committed', run_id: 'r' }) as const,
      async (_run: string, _commit: unknown, _digest: string, again: () => void) => {
        again();
        return { status: 'committed', run_id: 'r' } as const;
      },
      async () => ({ status: 'fenced', run_id: 'r', row: null }) as const,
      () => Promise.reject(new Error('away')),
    ];
    for (const end of ends) await measuredCommits(end, made)('r', commit, 'd').catch(() => {});
    const text = await made.meters.registry.metrics();
    for (const result of ['committed', 'duplicate', 'fenced', 'failed'])
      assert.match(text, new RegExp(`^sentinel_commits_total\\{kind="device",result="${result}"\\} 1$`, 'm'));
    assert.match(text, /^sentinel_commit_duration_seconds_count\{kind="device"\} 4$/m);
  });
});

describe('evidence that is judged again', () => {
  it('is counted by what came of it', async () => {
    const made = createWorkerMetrics('1.2.3');
    const answers = [
      async () => ({ valid: true }),
      async () => ({ valid: false }),
      () => Promise.reject(new Error('away')),
    ];
    for (const verifyEvidence of answers)
      await measuredVerifications({ verifyEvidence } as never, made)
        .verifyEvidence({} as never)
        .catch(() => {});
    const text = await made.meters.registry.metrics();
    for (const result of ['valid', 'invalid', 'failed'])
      assert.match(text, new RegExp(`^sentinel_evidence_verifications_total\\{result="${result}"\\} 1$`, 'm'));
  });
});

describe('the metrics of worker and sealer', () => {
  const registry = { contentType: 'text/plain', metrics: async () => 'sentinel_info 1\n' };

  it('need the monitoring token when there is one (HM-04)', async (t) => {
    const server = await serveMetrics({ host: '127.0.0.1', port: 0, token: 'monitoring-token', registry });
    t.after(() => server.close());
    const ask = async (authorization?: string) =>
      fetch(`http://127.0.0.1:${server.port}/metrics`, { headers: authorization ? { authorization } : {} });
    assert.deepEqual([(await ask()).status, (await ask('Bearer other')).status], [401, 401]);
    const answer = await ask('Bearer monitoring-token');
    assert.deepEqual([answer.status, await answer.text()], [200, 'sentinel_info 1\n']);
    assert.equal((await fetch(`http://127.0.0.1:${server.port}/`)).status, 404);
  });

  it('are not served at a port that is taken, and say so', async (t) => {
    const first = await serveMetrics({ host: '127.0.0.1', port: 0, token: undefined, registry });
    t.after(() => first.close());
    await assert.rejects(serveMetrics({ host: '127.0.0.1', port: first.port, token: undefined, registry }), {
      code: 'EADDRINUSE',
    });
  });

  it('are for this machine alone without a token (HM-04)', async () => {
    await assert.rejects(serveMetrics({ host: '0.0.0.0', port: 0, token: undefined, registry }), {
      code: 'request.invalid',
    });
  });
});
