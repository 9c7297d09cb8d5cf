// What operators see of a running installation: the metrics of every process, and why a part is not well.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { libraryMetrics, metrics, type MetricProcess, type MetricRow } from '#contracts/metrics.ts';
import { findFreePort } from '#start/ports.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { startHerd } from '#tests/harness/herd.ts';
import { startStack, type Stack } from '#tests/harness/stack.ts';
import { traceCollector, type CollectedSpan, type TraceCollector } from '#tests/harness/trace-collector.ts';

const token = 'a-monitoring-token-of-this-test-alone';
const authorization = `Bearer ${token}`;

describe('operating an installation', { timeout: 170_000 }, () => {
  const t = cleanupAfterAll();
  let stack: Stack;
  let ports: Record<'worker' | 'sealer', number>;
  let collector: TraceCollector;

  before(async () => {
    ports = { worker: await findFreePort(), sealer: await findFreePort() };
    collector = await traceCollector(t);
    stack = await startStack(t, {
      SENTINEL_TRACES_ENDPOINT: collector.url,
      SENTINEL_TRACES_SAMPLE_PERCENT: '100',
      SENTINEL_MONITORING_BEARER_TOKEN: token,
      SENTINEL_HEARTBEAT_INTERVAL_SECONDS: '2',
      SENTINEL_WORKER_METRICS_PORT: String(ports.worker),
      SENTINEL_SEALER_METRICS_PORT: String(ports.sealer),
    });
  });

  async function metricsOf(process: MetricProcess): Promise<string> {
    if (process === 'api') {
      const { status, body } = await stack.request('/api/metrics', { headers: { authorization } });
      assert.equal(status, 200);
      return body['text'] as string;
    }
    const answer = await fetch(`http://127.0.0.1:${ports[process]}/metrics`, { headers: { authorization } });
    assert.equal(answer.status, 200);
    return answer.text();
  }

  it('shows the metrics of every process to who has the token, and Temporal’s with the worker’s (HM-03, HM-04)', async () => {
    const device = await stack.device('seen-1');
    assert.equal((await device.heartbeat(1)).status, 202);
    for (const port of Object.values(ports))
      assert.equal((await fetch(`http://127.0.0.1:${port}/metrics`)).status, 401);
    assert.equal((await stack.request('/api/metrics')).status, 401);

    await eventually(
      async () => /sentinel_commits_total\{kind="approval",result="committed"\} 1/.test(await metricsOf('worker')),
      'the commit of the approval is counted',
    );
    await eventually(
      async () => /sentinel_sealed_events_total\{stream="audit"\} [1-9]/.test(await metricsOf('sealer')),
      'sealed events are counted',
    );
    assert.match(await metricsOf('api'), /^sentinel_heartbeats_total\{outcome="pending"\} 1$/m);
    for (const process of ['api', 'worker', 'sealer'] as const) {
      const text = await metricsOf(process);
      assert.doesNotMatch(text, /seen-1/);
      const rows = Object.entries<Pick<MetricRow, 'processes'> & { rare?: true }>({ ...metrics, ...libraryMetrics });
      for (const [name, { processes, rare }] of rows)
        if (processes.includes(process) && rare !== true)
          assert.match(text, new RegExp(`^# TYPE ${name} `, 'm'), `${name} of ${process}`);
    }
  });

  it('traces a vote from the request through Temporal to the statements of the activity that commits it, without what it says', async () => {
    const device = await stack.device('traced-1');
    assert.equal((await device.heartbeat(1, { hostname: 'a-host-that-no-trace-may-name' })).status, 202);
    const ann = await stack.as('ann');
    const review = await eventually(async () => {
      const { items } = await ann.approvals.list({ state: 'open' });
      return items.find(({ subject }) => subject.id === 'traced-1') ?? null;
    }, 'the device waits for approval');
    const reason = 'a-reason-that-no-trace-may-tell';
    await ann.approvals.review(review.id, { decision: 'approve', digest: review.digest ?? '', reason });

    const named = (name: string | RegExp, service: string, parent?: CollectedSpan): Promise<CollectedSpan> =>
      eventually(
        () => {
          const found = collector.spans.find(
            (span) =>
              (typeof name === 'string' ? span.name === name : name.test(span.name)) &&
              span.service === service &&
              (parent === undefined || (span.parentSpanId === parent.spanId && span.traceId === parent.traceId)),
          );
          return found ?? null;
        },
        `${String(name)} of ${service}`,
      );
    const vote = await named('POST /api/approvals/:id/review', 'sentinel-api');
    assert.equal(vote.traceId, String(vote.attributes['sentinel.request_id']).replaceAll('-', ''));
    await named(/^SELECT approval$/, 'sentinel-api', vote);
    const update = await named('temporal startUpdate', 'sentinel-api');
    assert.deepEqual(
      vote.links.map(({ traceId, spanId }) => [traceId, spanId]),
      [[update.traceId, update.spanId]],
    );
    const commit = await named('activity commitActor', 'sentinel-worker', update);
    assert.equal(commit.attributes['temporal.workflow.id'], `approval/${review.id}`);
    await named('COMMIT', 'sentinel-worker', commit);
    const heartbeat = await named('POST /api/heartbeat', 'sentinel-api');
    const batch = await named('heartbeat batch', 'sentinel-api', heartbeat);
    await named('SELECT heartbeat_batch', 'sentinel-api', batch);
    for (const secret of ['a-host-that-no-trace-may-name', reason, token, await stack.token('ann')])
      assert.equal(collector.text().includes(secret), false);
  });

  it('serves people at once after a freeze, and hears every device again soon (FT-11)', async () => {
    const herd = await startHerd({ ca: stack.ca, url: stack.instance.api_url, count: 40, overMs: 3_000 });
    try {
      await eventually(() => herd.heardAt.size === herd.ids.length, 'every device is heard', 60_000);
      const [ann, sam] = [await stack.as('ann'), await stack.as('sam')];
      const waiting = await eventually(
        async () => {
          const { items } = await ann.approvals.list({ state: 'open', limit: 500 });
          return items.length >= herd.ids.length ? items : null;
        },
        'every device waits for approval',
        60_000,
      );
      const before = new Map(herd.outcomes);

      stack.kill('api', 'SIGSTOP');
      await eventually(() => herd.waiting.size === herd.ids.length, 'every device has a heartbeat under way');
      const resumedAt = performance.now();
      const asked = [
        stack.as('olga'),
        ann.devices.list({}),
        ann.approvals.review(waiting[0]?.id ?? '', { decision: 'approve', digest: waiting[0]?.digest ?? '' }),
        sam.devices.revoke(waiting[1]?.subject.id ?? '', { reason: 'lost' }),
        ann.admin.me(),
      ];
      stack.kill('api', 'SIGCONT');
      // Each of them once: nobody has to try again.
      await Promise.all(asked);
      await eventually(
        () => herd.ids.filter((id) => (herd.heardAt.get(id) ?? 0) > resumedAt).length >= herd.ids.length - 1,
        'every device but the revoked one is heard again',
        20_000,
      );
      const grown = (outcome: string) => (herd.outcomes.get(outcome) ?? 0) - (before.get(outcome) ?? 0);
      assert.equal(grown('service.overloaded') + grown('service.unavailable') + grown('heartbeat.replayed'), 0);
      await eventually(() => grown('certificate.revoked') > 0, 'the revocation holds');
    } finally {
      await herd.stop();
    }
  });
});
