// The payload codec on the real Temporal: nothing that it stores is in clear, and nothing of another workflow is taken.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import {
  Client,
  Connection,
  ScheduleOverlapPolicy,
  WorkflowFailedError,
  WorkflowUpdateFailedError,
} from '@temporalio/client';
import proto from '@temporalio/proto';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { readDataKeys } from '#protocols/data-keys.ts';
import { createDataConverter, decodeForOperator, failureConverterPath } from '#protocols/payload-codec.ts';
import { blocksTypedBy } from '#tests/harness/page-commands.ts';
import { findOwnTemporalProgram } from '#tests/harness/start-server.ts';
import { testTemporal } from '#tests/harness/temporal.ts';
import { codecActivities } from './codec/activities.ts';
import * as workflows from './codec/workflows.ts';

const keys = readDataKeys({ k: Buffer.from(new Uint8Array(32).map((_, i) => i + 7)).toString('base64url') }, 'k');

let connection: Connection;
let native: NativeConnection;
let client: Client;
let withoutKeys: Client;
let worker: Worker;
let running: Promise<void>;
let taskQueue: string;
let namespace: string;
let address: string;

before(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR', () => {}) });
  const server = await testTemporal();
  ({ taskQueue, namespace, address } = server);
  connection = await Connection.connect({ address: server.address });
  native = await NativeConnection.connect({ address: server.address });
  const dataConverter = createDataConverter(keys, namespace);
  client = new Client({ connection, namespace, dataConverter });
  withoutKeys = new Client({ connection, namespace });
  const workflowsPath = fileURLToPath(new URL('./codec/workflows.ts', import.meta.url));
  const bundle = await bundleWorkflowCode({
    workflowsPath,
    failureConverterPath,
    logger: new DefaultLogger('ERROR', () => {}),
  });
  worker = await Worker.create({
    connection: native,
    namespace,
    taskQueue,
    workflowBundle: { code: bundle.code },
    activities: codecActivities,
    dataConverter,
    // Nothing is cached, so every task replays and meets every payload again.
    maxCachedWorkflows: 0,
  });
  running = worker.run();
});

after(async () => {
  worker.shutdown();
  await running;
  await native.close();
  await connection.close();
});

/** Everything that Temporal has of a workflow, all runs of it, as it stores it. */
async function stored(workflowId: string, runIds: readonly string[]): Promise<string> {
  const parts: Uint8Array[] = [];
  for (const runId of runIds) {
    const execution = { workflowId, runId };
    const { history } = await connection.workflowService.getWorkflowExecutionHistory({ namespace, execution });
    parts.push(proto.temporal.api.history.v1.History.encode(history ?? {}).finish());
    const described = await connection.workflowService.describeWorkflowExecution({ namespace, execution });
    parts.push(proto.temporal.api.workflowservice.v1.DescribeWorkflowExecutionResponse.encode(described).finish());
  }
  return Buffer.concat(parts).toString('latin1');
}

const start = async (workflowType: keyof typeof workflows, args: unknown[] = []) =>
  client.workflow.start(workflowType, { taskQueue, workflowId: `codec/${randomUUID()}`, args });

async function failedTask(workflowId: string): Promise<string> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const history = await client.workflow.getHandle(workflowId).fetchHistory();
    const failed = history.events?.find((event) => event.workflowTaskFailedEventAttributes);
    if (failed) return JSON.stringify(failed.workflowTaskFailedEventAttributes);
    await pause(50);
  }
  throw new Error('the workflow task did not fail in time');
}

describe('the payload codec on Temporal', () => {
  it('carries everything through, and leaves nothing of it readable', async () => {
    const workflowId = `codec/${randomUUID()}`;
    const handle = await client.workflow.start('journey', {
      taskQueue,
      workflowId,
      args: [{ secret: 'canary-argument', round: 1, seen: [] }],
      memo: { note: 'canary-start-memo' },
      staticSummary: 'canary-static-summary',
      staticDetails: 'canary-static-details',
    });
    await handle.signal(workflows.put, 'canary-signal');
    assert.equal(await handle.executeUpdate(workflows.change, { args: ['canary-update'] }), 'changed canary-update');
    await assert.rejects(
      handle.executeUpdate(workflows.change, { args: ['fail'] }),
      (error) => error instanceof WorkflowUpdateFailedError && error.cause?.message === 'canary-update-failure',
    );
    await assert.rejects(
      handle.executeUpdate(workflows.change, { args: ['invalid'] }),
      (error) => error instanceof WorkflowUpdateFailedError && error.cause?.message === 'canary-validator-failure',
    );
    assert.ok((await handle.query(workflows.seen, 'canary-query')).includes('canary-query'));
    await handle.signal(workflows.finish);
    const result = await handle.result();
    for (const word of [
      'canary-signal',
      'canary-update',
      'canary-argument',
      'canary-activity-failure',
      'canary-from-child',
    ]) {
      assert.ok(result.includes(word), `${word} arrived`);
    }
    const { runId, memo } = await handle.describe();
    assert.deepEqual(memo, { note: 'canary-memo' });
    const firstRun = await client.workflow.getHandle(workflowId, handle.firstExecutionRunId).describe();
    assert.equal(await firstRun.staticSummary(), 'canary-static-summary');
    assert.equal(await firstRun.staticDetails(), 'canary-static-details');
    const listed = client.workflow.list({ query: `WorkflowId = "${workflowId}"` });
    for await (const info of listed) assert.ok(JSON.stringify(info.memo).includes('canary'));

    const bytes = await stored(workflowId, [handle.firstExecutionRunId, runId]);
    assert.deepEqual(bytes.match(/canary[a-z-]*/g), null);
    assert.ok(bytes.includes('sentinel-key-id') && bytes.includes('change.refused'), 'these are the bytes');
    const childBytes = await stored(`${workflowId}/child`, ['']);
    assert.deepEqual(childBytes.match(/canary[a-z-]*/g), null);
  });

  it('encrypts the failure of a workflow and reads it again', async () => {
    const handle = await start('failing');
    await assert.rejects(
      handle.result(),
      (error) => error instanceof WorkflowFailedError && error.cause?.message === 'canary-workflow-failure',
    );
    assert.deepEqual((await stored(handle.workflowId, [''])).match(/canary[a-z-]*/g), null);
  });

  it('encrypts the failure of a workflow task, for operators to read', async () => {
    const handle = await start('broken');
    await failedTask(handle.workflowId);
    const bytes = await stored(handle.workflowId, ['']);
    assert.deepEqual(bytes.match(/canary[a-z-]*/g), null);
    await handle.terminate('test');
  });

  it('gives the runs of a schedule the arguments of the schedule', async () => {
    const scheduleId = `codec-${randomUUID()}`;
    const schedule = await client.schedule.create({
      scheduleId,
      spec: {},
      policies: { overlap: ScheduleOverlapPolicy.BUFFER_ALL },
      action: {
        type: 'startWorkflow',
        workflowType: 'scheduled',
        taskQueue,
        workflowId: scheduleId,
        args: ['canary-scheduled'],
      },
    });
    const run = async (count: number): Promise<string> => {
      await schedule.trigger();
      for (let attempt = 0; attempt < 200; attempt += 1) {
        const { recentActions } = (await schedule.describe()).info;
        const ran = recentActions[count - 1]?.action.workflow.workflowId;
        if (ran !== undefined) return ran;
        await pause(50);
      }
      throw new Error('the schedule did not run in time');
    };
    const ran = await run(1);
    assert.notEqual(ran, scheduleId);
    assert.equal(await client.workflow.getHandle(ran).result(), 'scheduled canary-scheduled');
    // Ids carry the second. The next run also meets the result of the one before.
    await pause(1000 - (Date.now() % 1000));
    assert.equal(await client.workflow.getHandle(await run(2)).result(), 'scheduled canary-scheduled');
    await schedule.delete();
    assert.deepEqual((await stored(ran, [''])).match(/canary[a-z-]*/g), null);
  });

  it('refuses a signal in clear, and goes on serving others', async () => {
    const handle = await start('journey', [{ secret: 'a', round: 2, seen: [] }]);
    await withoutKeys.workflow.getHandle(handle.workflowId).signal(workflows.put, 'forged');
    await failedTask(handle.workflowId);
    const other = await start('scheduled', ['b']);
    assert.equal(await other.result(), 'scheduled b');
    await handle.terminate('test');
  });

  it('lets a workflow that stands still go on after the reset of the runbook (DC-03)', async () => {
    const handle = await start('journey', [{ secret: 'a', round: 2, seen: [] }]);
    const workflow = client.workflow.getHandle(handle.workflowId);
    assert.deepEqual(await workflow.query(workflows.seen, 'b'), ['b']);
    await withoutKeys.workflow.getHandle(handle.workflowId).signal(workflows.put, 'forged');
    await failedTask(handle.workflowId);
    for (const { text } of blocksTypedBy(import.meta.filename)) {
      const { path } = await findOwnTemporalProgram();
      await promisify(execFile)(
        'bash',
        ['--norc', '-euo', 'pipefail', '-c', text.replaceAll('device/default/NAME', handle.workflowId)],
        { env: { PATH: `${dirname(path)}:${process.env['PATH']}`, TEMPORAL_ADDRESS: address }, timeout: 30_000 },
      );
    }
    await workflow.signal(workflows.finish);
    const result = await workflow.result();
    assert.ok(!result.includes('forged'), result);
  });

  it('refuses a payload that was copied from the history of another workflow', async () => {
    const from = await start('scheduled', ['stolen']);
    await from.result();
    const { history } = await connection.workflowService.getWorkflowExecutionHistory({
      namespace,
      execution: { workflowId: from.workflowId },
    });
    const input = history?.events?.[0]?.workflowExecutionStartedEventAttributes?.input;
    const handle = await start('journey', [{ secret: 'a', round: 2, seen: [] }]);
    await connection.workflowService.signalWorkflowExecution({
      namespace,
      workflowExecution: { workflowId: handle.workflowId },
      signalName: 'put',
      input: input ?? null,
    });
    await failedTask(handle.workflowId);
    await handle.terminate('test');
  });

  it('lets an operator read what was stored, and see which workflow it is of', async () => {
    const handle = await start('scheduled', ['canary-for-operator']);
    await handle.result();
    const { history } = await connection.workflowService.getWorkflowExecutionHistory({
      namespace,
      execution: { workflowId: handle.workflowId },
    });
    const payloads = history?.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads ?? [];
    const wire = payloads.map((payload) => proto.temporal.api.common.v1.Payload.fromObject(payload).toJSON());
    const [decoded] = decodeForOperator(keys, wire, namespace);
    assert.equal(Buffer.from(decoded?.data ?? '', 'base64').toString(), '"canary-for-operator"');
    assert.equal(
      Buffer.from(decoded?.metadata?.['sentinel-workflow-id'] ?? '', 'base64').toString(),
      handle.workflowId,
    );
  });
});
