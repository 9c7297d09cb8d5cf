// One worker for all that is compared: real approvals on the real store, and the bare workflows beside them.
import pg from 'pg';
import { NativeConnection, Runtime } from '@temporalio/worker';
import { createActorActivities } from '#activities/actor.ts';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { canonicalBytes, digestOf } from '#protocols/canonical-json.ts';
import { readDataKeys } from '#protocols/data-keys.ts';
import { createDataConverter } from '#protocols/payload-codec.ts';
import { commitActor } from '#store/actor.ts';
import { createStore } from '#store/store.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { bundleWorkflows, temporalLogger } from '#worker/bundle.ts';
import { createWorker } from '#worker/worker.ts';
import type { BareActivities } from './workflows.ts';

export interface VoteWorkerTask {
  readonly databaseUrl: string;
  /** May write the table of the bare commits. */
  readonly ownerUrl: string;
  readonly address: string;
  readonly taskQueue: string;
  readonly dataKeys: Readonly<Record<string, string>>;
  readonly activeKey: string;
}

if (import.meta.main) await work(JSON.parse(process.argv[2] ?? '') as VoteWorkerTask);

async function work(task: VoteWorkerTask): Promise<void> {
  const log = fakeLog();
  Runtime.install({ logger: temporalLogger(log), telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } } });
  const store = await createStore({
    databaseUrl: task.databaseUrl,
    role: 'sentinel_worker',
    pool: 10,
    clock: systemClock,
    random: systemRandom,
    canonicalBytes,
    log,
  });
  const bare = new pg.Pool({ connectionString: task.ownerUrl, max: 10 });
  const bareActivities: BareActivities = {
    async commitOnce(id) {
      await bare.query(
        'INSERT INTO bench_commit (id, votes) VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET votes = bench_commit.votes + 1',
        [id],
      );
    },
  };
  const worker = await createWorker({
    connection: await NativeConnection.connect({ address: task.address }),
    namespace: 'default',
    taskQueue: task.taskQueue,
    dataConverter: createDataConverter(readDataKeys(task.dataKeys, task.activeKey), 'default'),
    cachedWorkflows: 1_000,
    bundle: await bundleWorkflows(log, new URL('./workflows.ts', import.meta.url).pathname),
    activities: {
      ...createActorActivities({
        commitActor: (run, commit, digest) => commitActor(store, run, commit, digest, systemClock.now().toISOString()),
        digestOf,
      }),
      ...bareActivities,
    },
  });
  // Whoever started it may be gone.
  process.once('disconnect', () => process.exit(1));
  process.send?.('ready');
  await worker.run();
}
