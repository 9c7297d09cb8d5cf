// A worker in a process of its own, on the real store, whose commits stop where they are told to, so that it can be killed there.
import { readFileSync } from 'node:fs';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { createActorActivities } from '#activities/actor.ts';
import { createApprovalActivities } from '#activities/approval.ts';
import { createDeviceActivities } from '#activities/device.ts';
import type { Commit } from '#contracts/actor.ts';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { actorId, type ActorRef } from '#contracts/ids.ts';
import { canonicalBytes, digestOf } from '#protocols/canonical-json.ts';
import { commitActor } from '#store/actor.ts';
import { readApprovalOutcome } from '#store/approval.ts';
import { deviceNews } from '#store/device.ts';
import { standingVoters } from '#store/operator.ts';
import { createStore } from '#store/store.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { temporalLogger } from '#worker/bundle.ts';
import { createWorker } from '#worker/worker.ts';

/** A moment of a commit about this device. Nothing more of it happens until the parent lets it go on. */
export interface Trap {
  readonly moment: 'before' | 'after';
  readonly kind: Commit['actor']['kind'];
  readonly state: string;
  readonly device: string;
}

export interface WorkerTask {
  readonly databaseUrl: string;
  readonly address: string;
  readonly taskQueue: string;
  readonly bundleFile: string;
  /** What it takes from the queue. */
  readonly takes: 'everything' | 'workflows' | 'activities';
  readonly traps: readonly Trap[];
}

if (import.meta.main) await work(JSON.parse(process.argv[2] ?? '') as WorkerTask);

async function work(task: WorkerTask): Promise<void> {
  const { databaseUrl, address, taskQueue, bundleFile, takes, traps } = task;
  const log = fakeLog();
  Runtime.install({ logger: temporalLogger(log), telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } } });
  const store = await createStore({
    databaseUrl,
    role: 'sentinel_worker',
    pool: 4,
    clock: systemClock,
    random: systemRandom,
    canonicalBytes,
    log,
  });
  const client = new Client({ connection: await Connection.connect({ address }) });
  const workflowId = (ref: ActorRef): string => `${taskQueue}/${actorId(ref)}`;
  const goOn = traps.map(() => Promise.withResolvers<void>());
  process.on('message', (trap) => goOn[trap as number]?.resolve());
  const trapped = async (moment: Trap['moment'], { actor, projection }: Commit): Promise<void> => {
    const about = projection.kind === 'device' ? actor.id : projection.row.subject_id;
    const index = traps.findIndex(
      (trap) =>
        trap.moment === moment &&
        trap.kind === actor.kind &&
        trap.state === projection.row.state &&
        trap.device === about,
    );
    if (index === -1) return;
    process.stdout.write(`reached ${index}\n`);
    await goOn[index]?.promise;
  };
  const connections = { connection: await NativeConnection.connect({ address }), namespace: 'default', taskQueue };
  const activities = {
    ...createActorActivities({
      async commitActor(runId, commit, digest) {
        await trapped('before', commit);
        const result = await commitActor(store, runId, commit, digest, systemClock.now().toISOString());
        await trapped('after', commit);
        return result;
      },
      digestOf,
    }),
    ...createDeviceActivities({
      deviceNews: (query) => deviceNews(store, query),
      policy: {
        require_new_device_approval: true,
        review_ttl_seconds: 3600,
        sensitive_tags: ['payments'],
        sensitive_approvals: 2,
      },
      digestOf,
    }),
    ...createApprovalActivities({
      readApproval: ({ project, approval_id }) => readApprovalOutcome(store, project, approval_id),
      standingVoters: (usernames, permission) => standingVoters(store, usernames, permission),
      workflows: client.workflow,
      taskQueue,
      workflowId,
    }),
  };
  const worker =
    takes === 'activities'
      ? await Worker.create({ ...connections, activities })
      : await createWorker({
          ...connections,
          cachedWorkflows: 2,
          bundle: { code: readFileSync(bundleFile, 'utf8') },
          activities,
          takesActivities: takes !== 'workflows',
        });
  // Whoever started it may be gone.
  process.once('disconnect', () => process.exit(1));
  process.stdout.write('ready\n');
  await worker.run();
}
