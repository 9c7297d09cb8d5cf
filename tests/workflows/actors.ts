// Runs the real workflows on the real Temporal with a fake store, and a cache so small that every task replays.
import { createHash, randomUUID } from 'node:crypto';
import { after } from 'node:test';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Runtime } from '@temporalio/worker';
import { createActorActivities } from '#activities/actor.ts';
import { createApprovalActivities } from '#activities/approval.ts';
import { createDeviceActivities, type StoredDeviceNews } from '#activities/device.ts';
import type { CertificateFacts } from '#contracts/certificate.ts';
import { actorId, type ActorRef } from '#contracts/ids.ts';
import type { IdentityPolicy } from '#contracts/policy.ts';
import { FakeActorStore } from '#tests/fakes/fake-actor-store.ts';
import type { Cleanup } from '#tests/harness/servers.ts';
import { testTemporal } from '#tests/harness/temporal.ts';
import { bundleWorkflows, temporalLogger } from '#worker/bundle.ts';
import { createWorker } from '#worker/worker.ts';
import { actorStartOptions, newsSignal, workflowTypes } from '#workflows/messages.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
Runtime.install({ logger: temporalLogger(quiet), telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } } });
// One server for the file: hooks of a test run first in, first out, and would stop it before its worker.
const server = await testTemporal({ after });
let bundle: ReturnType<typeof bundleWorkflows> | undefined;

export const digestOf = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('hex');

export function certificate(name: string): CertificateFacts {
  return {
    fingerprint_sha256: createHash('sha256').update(name).digest('hex'),
    serial_number: 'a1',
    issuer: 'CN=Test CA',
    subject: `CN=${name}`,
    not_before: '2026-01-01T00:00:00.000Z',
    not_after: '2036-01-01T00:00:00.000Z',
  };
}

/** A Temporal client, a store and a worker that can be killed and started again. */
export async function testActors(t: Cleanup, policy: Partial<IdentityPolicy> = {}) {
  const { address, namespace } = server;
  const taskQueue = `test-${randomUUID()}`;
  const connection = await Connection.connect({ address });
  const native = await NativeConnection.connect({ address });
  const client = new Client({ connection, namespace });
  const store = new FakeActorStore();
  const news = new Map<string, StoredDeviceNews>();
  const workflowId = (ref: ActorRef): string => `${taskQueue}/${actorId(ref)}`;
  const settings: IdentityPolicy = {
    require_new_device_approval: true,
    review_ttl_seconds: 3600,
    sensitive_tags: ['payments'],
    sensitive_approvals: 2,
    ...policy,
  };

  const activities = {
    ...createActorActivities({
      commitActor: (run, commit, digest) => store.commitActor(run, commit, digest),
      digestOf,
    }),
    ...createDeviceActivities({
      deviceNews: async ({ device_id }) =>
        news.get(device_id) ?? { observed: null, candidate: null, inbox_through: 0, revoked: [] },
      policy: settings,
      digestOf,
    }),
    ...createApprovalActivities({
      readApproval: async ({ approval_id }) => {
        const row = store.approvals.get(approval_id);
        if (row === undefined) return null;
        const votes = row.votes as unknown as { by: string; decision: string; reason: string | null }[];
        const rejection = votes.find((vote) => vote.decision === 'reject');
        return {
          state: row.state as never,
          digest: row.digest,
          approvers: votes.filter((vote) => vote.decision === 'approve').map((vote) => vote.by),
          rejected_by: rejection?.by ?? null,
          reason: rejection?.reason ?? null,
        };
      },
      standingVoters: async (usernames) => usernames.filter((name) => store.standing.has(name)),
      workflows: client.workflow,
      taskQueue,
      workflowId,
    }),
  };

  bundle ??= bundleWorkflows(quiet);
  const startWorker = async () => {
    const worker = await createWorker({
      connection: native,
      namespace,
      taskQueue,
      activities,
      bundle: await (bundle ?? bundleWorkflows(quiet)),
      cachedWorkflows: 2,
    });
    const done = worker.run();
    return {
      async stop() {
        worker.shutdown();
        await done;
      },
    };
  };
  let worker = await startWorker();
  t.after(async () => {
    await worker.stop();
    for await (const open of client.workflow.list({
      query: `TaskQueue = '${taskQueue}' AND ExecutionStatus = 'Running'`,
    }))
      await client.workflow
        .getHandle(open.workflowId)
        .terminate('the test is over')
        .catch(() => {});
    await connection.close();
    await native.close();
  });

  const handle = (ref: ActorRef) => client.workflow.getHandle(workflowId(ref));
  const device = (id: string): ActorRef => ({ kind: 'device', project: 'default', id });
  const approval = (id: string): ActorRef => ({ kind: 'approval', project: 'default', id });
  return {
    client,
    store,
    news,
    taskQueue,
    policy: settings,
    handle,
    device,
    approval,
    workflowId,
    async restartWorker() {
      await worker.stop();
      worker = await startWorker();
    },
    /** The store learns that a device presents this certificate, and the actor hears that there is news. */
    async present(
      id: string,
      facts: CertificateFacts,
      options: { tags?: string[]; generation?: number; revoked?: string[] } = {},
    ) {
      const generation = options.generation ?? store.devices.get(id)?.review_generation ?? 0;
      news.set(id, {
        observed: {
          digest: digestOf([facts, options.tags]),
          reported_tags: options.tags ?? [],
          hostname: `${id}.example`,
          platform: 'linux',
        },
        candidate: { certificate: facts, generation },
        inbox_through: 0,
        revoked: options.revoked ?? [],
      });
      await client.workflow.signalWithStart(workflowTypes.device, {
        ...actorStartOptions(device(id)),
        workflowId: workflowId(device(id)),
        taskQueue,
        args: [{ project: 'default', id }],
        signal: newsSignal,
        workflowIdConflictPolicy: 'USE_EXISTING',
      });
    },
    /** Waits, with a bound, until the store shows what is asked for. */
    async eventually<T>(look: () => T | undefined | null | false, what: string): Promise<T> {
      for (let tries = 0; tries < 600; tries++) {
        const found = look();
        if (found) return found;
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
      throw new Error(`not within 15 s: ${what}`);
    },
  };
}
