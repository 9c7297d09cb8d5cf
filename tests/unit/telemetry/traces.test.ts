// Traces: nothing when off, and when on nothing that is secret, nothing without a bound, and nothing that a request waits for.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import type pg from 'pg';
import { TrustError } from '#contracts/problems.ts';
import { createOutbound } from '#outbound/request.ts';
import { traceStatements } from '#store/traced-statements.ts';
import { createMeters } from '#telemetry/metrics.ts';
import { maximumWaiting, openTraces, type Traces } from '#telemetry/traces.ts';
import { traceBatches } from '#api/traced-requests.ts';
import { actionsOf, traceActivities } from '#worker/traced-activities.ts';
import { fakeApi } from '#tests/fakes/api-over-fakes.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { traceCollector, type CollectedSpan, type TraceCollector } from '#tests/harness/trace-collector.ts';

const canary = 'a-canary-that-no-trace-may-hold';

function open(t: TestContext, endpoint: string, percent = 100, listed: readonly string[] = []) {
  const log = fakeLog();
  const meters = createMeters('api', '1.2.3');
  const traces = openTraces({
    settings: {
      SENTINEL_TRACES_ENDPOINT: endpoint,
      SENTINEL_TRACES_SAMPLE_PERCENT: percent,
      SENTINEL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES: listed,
    },
    process: 'api',
    version: '1.2.3',
    createOutbound,
    meters,
    log,
  });
  t.after(() => traces.close());
  /** Spans that were dropped, by reason. */
  const dropped = async (): Promise<Record<string, number>> => {
    const metric = await meters.registry.getSingleMetric('sentinel_trace_spans_dropped_total')?.get();
    return Object.fromEntries((metric?.values ?? []).map(({ labels, value }) => [labels['reason'], value]));
  };
  return { traces, log, dropped };
}

const requestId = (n: number): string => `019a0000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`;

function inRequest<T>(traces: Traces, id: string, work: () => T): T {
  const span = traces.begin(id, false);
  let result!: T;
  span.run(() => (result = work()));
  span.end('GET /api/things', false, {});
  return result;
}

const find = ({ spans }: TraceCollector, name: string) => {
  const span = spans.find((one) => one.name === name);
  assert.ok(span, `${name} is among ${spans.map((one) => one.name).join(', ')}`);
  return span;
};

describe('traces', () => {
  it('loads nothing of OpenTelemetry while they are off', async () => {
    const script = `
      import { registerHooks } from 'node:module';
      registerHooks({ resolve(name, context, next) {
        if (/opentelemetry.(sdk|otlp|resources)|telemetry.traces/.test(name)) console.log(name);
        return next(name, context);
      } });
      for (const part of ['#api/app.ts', '#store/store.ts', '#worker/traced-activities.ts']) await import(part);
      console.log('loaded');`;
    const args = ['--input-type=module', '--eval', script];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 60_000 });
    assert.equal(stdout, 'loaded\n');
  });

  it('names a request by its pattern, and keeps its query, body and headers out', async (t) => {
    const collector = await traceCollector(t);
    const { traces } = open(t, collector.url);
    const { app } = await fakeApi(t, { change: (deps) => ({ ...deps, traces }) });
    const answer = await app.inject({
      method: 'POST',
      url: `/api/devices/${canary}/reset?project=${canary}`,
      headers: { authorization: `Bearer ${canary}`, 'idempotency-key': canary, cookie: `session=${canary}` },
      payload: { reason: canary },
    });
    await app.inject({ method: 'GET', url: `/api/${canary}` });
    await traces.close();
    const span = find(collector, 'POST /api/devices/:device_id/reset');
    assert.deepEqual(span.attributes, {
      'http.request.method': 'POST',
      'http.route': '/api/devices/:device_id/reset',
      'http.response.status_code': answer.statusCode,
      'sentinel.request_id': answer.headers['x-request-id'],
    });
    assert.equal(span.service, 'sentinel-api');
    assert.equal(span.traceId, String(answer.headers['x-request-id']).replaceAll('-', ''));
    find(collector, 'GET none');
    assert.equal(collector.text().includes(canary), false);
  });

  it('shows a statement by what it does and to which table, never by its text or values, in the request that sends it', async (t) => {
    const collector = await traceCollector(t);
    const { traces } = open(t, collector.url);
    const connections: ((client: { query: unknown }) => void)[] = [];
    const pool = {
      query: async () => ({ rows: [] }),
      on: (_event: string, listener: (client: { query: unknown }) => void) => connections.push(listener),
    } as unknown as pg.Pool;
    traceStatements(pool, traces);
    const client = { query: (_statement: object): Promise<unknown> => Promise.reject(new Error(canary)) };
    for (const connect of connections) connect(client);
    await inRequest(traces, requestId(1), async () => {
      await pool.query(`SELECT a FROM device WHERE id = $1 AND b = '${canary}'`, [canary]);
      await assert.rejects(client.query({ text: 'INSERT INTO actor VALUES ($1)', values: [canary] }));
    });
    await pool.query('SELECT 1 FROM nobody_asked');
    await traces.close();
    const [request, read, write] = ['GET /api/things', 'SELECT device', 'INSERT actor'].map((name) =>
      find(collector, name),
    );
    assert.equal(collector.spans.length, 3, 'what is of no request has no span');
    for (const span of [read, write]) {
      assert.equal(span?.parentSpanId, request?.spanId);
      assert.equal(span?.traceId, request?.traceId);
    }
    assert.equal(write?.failed, true);
    assert.equal(collector.text().includes(canary), false);
  });

  it('puts a batch below the first of its requests and links it to the others', async (t) => {
    const collector = await traceCollector(t);
    const { traces } = open(t, collector.url);
    const { judge, note } = traceBatches(traces, (items: readonly object[]) =>
      traces.span('inside', {}, async () => items.length),
    );
    const items = [{}, {}, {}];
    for (const [n, item] of items.entries()) inRequest(traces, requestId(n), () => note(item));
    assert.equal(await judge(items), 3);
    await judge([{}]);
    await traces.close();
    const batch = find(collector, 'heartbeat batch');
    assert.equal(batch.attributes['sentinel.batch.size'], 3);
    assert.equal(batch.parentSpanId, traces.of(requestId(0)).spanId);
    assert.deepEqual(
      batch.links.map(({ traceId }) => traceId),
      [1, 2].map((n) => traces.of(requestId(n)).traceId),
    );
    assert.equal(find(collector, 'inside').parentSpanId, batch.spanId);
    assert.equal(collector.spans.filter(({ name }) => name === 'inside').length, 1);
  });

  it('puts an activity into the trace of the action that its commit is for', async (t) => {
    const collector = await traceCollector(t);
    const { traces } = open(t, collector.url);
    const workflowExecution = { workflowId: 'device/default/d-1', runId: 'run-1' };
    const context = { info: { activityType: 'commitActor', attempt: 2, workflowExecution } };
    const { execute } = traceActivities(traces)(context as never).inbound ?? {};
    const commit = { audit: [{ request_id: requestId(7) }, { request_id: null }], snapshot: canary };
    assert.deepEqual(actionsOf(commit), [requestId(7)]);
    assert.deepEqual(actionsOf(undefined), []);
    const run = (work: () => Promise<unknown>) => execute?.({ args: [commit], headers: {} } as never, work as never);
    assert.equal(await run(async () => 'done'), 'done');
    await assert.rejects(
      async () => run(() => Promise.reject(new TrustError('service.unavailable', { detail: canary }))),
      { code: 'service.unavailable' },
    );
    await traces.close();
    const span = find(collector, 'activity commitActor');
    const { traceId, spanId } = traces.of(requestId(7));
    assert.deepEqual([span.traceId, span.parentSpanId], [traceId, spanId]);
    assert.equal(span.attributes['temporal.workflow.run_id'], 'run-1');
    assert.equal(collector.spans[1]?.attributes['error.type'], 'service.unavailable');
    assert.equal(collector.text().includes(canary), false);
  });

  it('keeps or leaves a whole trace by its part, and every change with what it leads to', async (t) => {
    const collector = await traceCollector(t);
    const { traces } = open(t, collector.url, 30);
    for (let n = 0; n < 200; n += 1) {
      const id = crypto.randomUUID();
      await inRequest(traces, id, () => traces.span('statement', {}, async () => {}));
      await inRequest(traces, id, () => traces.handOver(id, 'unkept', {}, async () => {}));
      traces.begin(id, true).end('POST /api/things', false, {});
    }
    await traces.close();
    const count = (wanted: string) => collector.spans.filter(({ name }) => name === wanted).length;
    assert.equal(count('POST /api/things'), 200);
    assert.ok(count('statement') > 20 && count('statement') < 110, `${count('statement')} of 200 are kept`);
    assert.equal(count('GET /api/things'), 2 * count('statement'));
    assert.equal(count('unkept'), count('statement'));
  });

  it('links a change with the trace of its action, which another process goes on with', async (t) => {
    const collector = await traceCollector(t);
    const { traces } = open(t, collector.url, 1);
    const actionId = 'an action, which is asked for under one key';
    const request = traces.begin(requestId(1), true);
    await new Promise<void>((resolve) => {
      request.run(() => void traces.handOver(actionId, 'temporal startUpdate', {}, async () => resolve()));
    });
    request.end('POST /api/things', false, {});
    await traces.joined([traces.of(actionId)], 'activity', {}, async () => {});
    await traces.close();
    const [post, update, activity] = ['POST /api/things', 'temporal startUpdate', 'activity'].map((name) =>
      find(collector, name),
    );
    const place = (span: CollectedSpan | undefined) => [span?.traceId, span?.spanId];
    assert.deepEqual(
      post?.links.map((link) => [link.traceId, link.spanId]),
      [place(update)],
    );
    assert.deepEqual(
      update?.links.map((link) => [link.traceId, link.spanId]),
      [place(post)],
    );
    assert.deepEqual([activity?.traceId, activity?.parentSpanId], place(update));
  });

  it('keeps no more than its bound while a collector does not answer, and holds up neither work nor the end', async (t) => {
    const collector = await traceCollector(t);
    const { traces, dropped } = open(t, collector.url);
    collector.answer = null;
    for (let n = 0; n < maximumWaiting * 3; n += 1) inRequest(traces, requestId(n), () => {});
    assert.deepEqual(await dropped(), { queue_full: maximumWaiting * 2 });
    // Ends although there is no answer, or the test would not.
    const silent = open(t, collector.url).traces;
    inRequest(silent, requestId(0), () => {});
    await silent.close();
    collector.answer = 200;
    await traces.close();
    assert.ok(collector.spans.length <= maximumWaiting, `${collector.spans.length} waited`);
    assert.ok(collector.spans.length > 0);
  });

  it('says once that nothing can be sent, and goes on', async (t) => {
    const collector = await traceCollector(t);
    collector.answer = 503;
    const { traces, log, dropped } = open(t, collector.url);
    for (let n = 0; n < 600; n += 1) {
      assert.equal(await inRequest(traces, requestId(n), () => traces.span('work', {}, async () => n)), n);
    }
    await traces.close();
    assert.deepEqual(
      log.lines.map(({ level, message }) => [level, message]),
      [['warn', 'traces cannot be sent, and are dropped until they can']],
    );
    assert.deepEqual(await dropped(), { not_sent: 1_200 });
  });

  it('sends traces in clear only within the machine, or to an address that a setting names', (t) => {
    for (const url of [
      'http://collector.example/v1/traces',
      'http://10.1.2.3:4318/v1/traces',
      'http://8.8.8.8/',
      'ftp://x/',
      '',
    ])
      assert.throws(() => open(t, url), { code: 'request.invalid', message: /SENTINEL_TRACES_ENDPOINT/ });
    for (const url of ['https://collector.example/v1/traces', 'http://localhost:4318/', 'http://[::1]:4318/v1/traces'])
      open(t, url);
    open(t, 'http://10.1.2.3:4318/v1/traces', 100, ['10.1.0.0/16']);
  });
});
