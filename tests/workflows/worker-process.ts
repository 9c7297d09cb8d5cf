// A worker in a process of its own, on the real store, where things go wrong when they are told to: it stops, is killed, or loses answers.
import { readFileSync } from 'node:fs';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { Commit } from '#contracts/actor.ts';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { actorId, type ActorRef } from '#contracts/ids.ts';
import { judgeEvidence } from '#protocols/attestation-verdict.ts';
import { canonicalBytes } from '#protocols/canonical-json.ts';
import { createStore } from '#store/store.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { activityDeps, createActivities, type ActivityDeps } from '#worker/activities.ts';
import { temporalLogger } from '#worker/bundle.ts';
import { createWorkerMetrics } from '#worker/metrics.ts';
import { createWorker } from '#worker/worker.ts';
import { basis } from './evidence.ts';
import { type Around, aroundDependencies, type DependencyCall } from './faulty-deps.ts';

/** A call of a dependency by an activity, and the side of it on which the process is killed. */
export interface CrashPoint {
  readonly activity: string;
  readonly dependency: string;
  readonly moment: 'before' | 'after';
  /** Part of the name of the device or workflow that it is about. */
  readonly about: string;
}

/** Environment variable that names the crash points, as JSON. */
export const crashPointsVariable = 'SENTINEL_TEST_CRASH_POINTS';

/** How often the answer of one call is lost. The first time may be within a workflow task, after which it is made as a call of its own. */
const answersLost = 2;

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
  /** Every dependency does what it is asked, and reports a time-out at first. */
  readonly losesAnswers: boolean;
  /** Workflows kept in memory. */
  readonly cachedWorkflows: number;
}

if (import.meta.main) await work(JSON.parse(process.argv[2] ?? '') as WorkerTask);

async function work(task: WorkerTask): Promise<void> {
  const { databaseUrl, address, taskQueue, bundleFile, takes, traps, losesAnswers, cachedWorkflows } = task;
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
  const metrics = createWorkerMetrics('test');
  const real = activityDeps({
    store,
    workflows: client.workflow,
    taskQueue,
    workflowId,
    clock: systemClock,
    metrics,
    policy: {
      require_new_device_approval: true,
      review_ttl_seconds: 3600,
      sensitive_tags: ['payments'],
      sensitive_approvals: 2,
    },
    attestation: {
      basis: () => basis,
      required: false,
      judge: async (judgement) => judgeEvidence(judgement),
      askVerifier: null,
    },
    verdictDays: 30,
  });
  /** Whose approval it is, by its workflow. */
  const subjects = new Map<string, string>();
  const deps: ActivityDeps = {
    ...real,
    async commitActor(runId, commit, digest) {
      if (commit.projection.kind === 'approval')
        subjects.set(workflowId(commit.actor), commit.projection.row.subject_id);
      await trapped('before', commit);
      const result = await real.commitActor(runId, commit, digest);
      await trapped('after', commit);
      return result;
    },
  };
  const points = JSON.parse(process.env[crashPointsVariable] ?? '[]') as CrashPoint[];
  const around = losesAnswers ? losingAnswers() : crashing(points, (id) => subjects.get(id) ?? '');
  const activities = createActivities(aroundDependencies(deps, around), metrics);
  const worker =
    takes === 'activities'
      ? await Worker.create({ ...connections, activities })
      : await createWorker({
          ...connections,
          cachedWorkflows,
          bundle: { code: readFileSync(bundleFile, 'utf8') },
          activities,
          takesActivities: takes !== 'workflows',
        });
  // Whoever started it may be gone.
  process.once('disconnect', () => process.exit(1));
  process.stdout.write('ready\n');
  await worker.run();
}

/** Ends the process without a word when every point has been reached; until then who has come to one first stays there. */
function crashing(points: readonly CrashPoint[], subjectOf: (workflowId: string) => string): Around {
  const first = new Map<CrashPoint, string>();
  const stop = async (moment: CrashPoint['moment'], call: DependencyCall): Promise<void> => {
    const about = [call.workflowId, call.target ?? ''].map((id) => `${id} ${subjectOf(id)}`).join(' ');
    const point = points.find(
      (each) =>
        each.activity === call.activity &&
        each.dependency === call.dependency &&
        each.moment === moment &&
        about.includes(each.about),
    );
    if (point === undefined || (first.get(point) ?? call.activityId) !== call.activityId) return;
    if (!first.has(point)) process.stdout.write(`at point ${points.indexOf(point)}\n`);
    first.set(point, call.activityId);
    if (first.size === points.length) process.kill(process.pid, 'SIGKILL');
    await new Promise(() => {});
  };
  return async (call, make) => {
    await stop('before', call);
    const made = await make();
    await stop('after', call);
    return made;
  };
}

/** What was asked for is done, and whoever asked hears that it took too long. */
function losingAnswers(): Around {
  const lost = new Map<string, number>();
  return async ({ activity, dependency, workflowId }, make) => {
    const made = await make();
    // Of each actor; the periodic duties, which wait for longer before they try again, are hit once.
    const actor = /\/(device|approval)\//.test(workflowId) ? workflowId : '';
    const name = `${activity} ${dependency} ${actor}`;
    const times = lost.get(name) ?? 0;
    if (times === (actor === '' ? 1 : answersLost)) return made;
    lost.set(name, times + 1);
    process.stdout.write(`lost ${activity} ${dependency}\n`);
    throw new Error('the answer did not come in time');
  };
}
