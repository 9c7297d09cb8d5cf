// Votes on approvals beside the same updates to workflows that do nothing with them, in rounds that take turns.
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { Client, Connection } from '@temporalio/client';
import { defaultProject } from '#contracts/ids.ts';
import type { ApprovalInput } from '#machines/approval.ts';
import { readDataKeys } from '#protocols/data-keys.ts';
import { createDataConverter } from '#protocols/payload-codec.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';
import { actorStartOptions, voteUpdate, workflowTypes } from '#workflows/messages.ts';
import { withCleanup } from './cleanup.ts';
import type { Bench } from './main.ts';
import { percentile, spread } from './percentile.ts';
import { usageOf } from './process-groups.ts';
import { benchPostgres, benchTemporal } from './servers.ts';
import type { VoteWorkerTask } from './votes/worker.ts';

const rounds = 5;
const workflowsARound = 40;
const votesEach = 4;
/** Callers at once, each with a workflow of its own. */
const callers = 16;

const kinds = ['bare update', 'bare update with a commit', 'vote on an approval'] as const;
type Kind = (typeof kinds)[number];

interface Round {
  readonly perSecond: number;
  readonly latenciesMs: readonly number[];
  readonly cpu: Readonly<Record<string, number>>;
}

export const approvalsBench: Bench = (say) =>
  withCleanup(async (cleanup) => {
    say('starts servers and a worker');
    const subject = await prepare(cleanup);
    const done: Record<Kind, Round[]> = {
      'bare update': [],
      'bare update with a commit': [],
      'vote on an approval': [],
    };
    // What is loaded and compiled at the first use is no part of a vote.
    for (const kind of kinds) await subject.round(kind);
    for (let round = 1; round <= rounds; round += 1) {
      say(`round ${round} of ${rounds}`);
      // Nobody is always the one that finds the servers warm.
      const order = round % 2 === 1 ? kinds : kinds.toReversed();
      for (const kind of order) done[kind].push(await subject.round(kind));
    }

    const rate = (kind: Kind): number =>
      percentile(
        done[kind].map(({ perSecond }) => perSecond),
        0.5,
      );
    const ratios = (one: Kind, other: Kind): number =>
      percentile(
        done[one].map(({ perSecond }, round) => perSecond / (done[other][round]?.perSecond ?? Number.NaN)),
        0.5,
      );
    return {
      measurements: kinds.flatMap((kind) => {
        const latencies = done[kind].flatMap(({ latenciesMs }) => latenciesMs);
        return [
          { label: `${kind}, rate`, unit: 'votes/s', value: rate(kind), p50: null, p99: null },
          { label: `${kind}, answered after`, unit: 'ms', value: percentile(latencies, 0.5), ...spread(latencies) },
          ...subject.parts.map((part) => ({
            label: `${kind}, processor time of ${part}`,
            unit: 'ms',
            value: percentile(
              done[kind].map(({ cpu }) => ((cpu[part] ?? 0) * 1000) / (workflowsARound * votesEach)),
              0.5,
            ),
            p50: null,
            p99: null,
          })),
        ];
      }),
      ratios: {
        ours_to_bare_update: ratios('vote on an approval', 'bare update'),
        ours_to_bare_update_with_commit: ratios('vote on an approval', 'bare update with a commit'),
      },
    };
  });

async function prepare(cleanup: Cleanup) {
  const postgres = await benchPostgres(cleanup);
  const temporal = await benchTemporal(cleanup);
  await createBareTable(postgres.ownerUrl);
  const task: VoteWorkerTask = {
    databaseUrl: postgres.url.sentinel_worker_login,
    ownerUrl: postgres.ownerUrl,
    address: temporal.address,
    taskQueue: 'bench',
    dataKeys: { bench: randomBytes(32).toString('base64url') },
    activeKey: 'bench',
  };
  const worker = await startWorker(task, cleanup);
  const connection = await Connection.connect({ address: temporal.address });
  cleanup.after(() => connection.close());
  const dataConverter = createDataConverter(readDataKeys(task.dataKeys, task.activeKey), 'default');
  const client = new Client({ connection, dataConverter });
  const pids = { postgres: postgres.pid, temporal: temporal.pid, worker: worker.pid ?? 0 };
  const cpu = (): Record<string, number> =>
    Object.fromEntries(Object.entries(pids).map(([part, pid]) => [part, usageOf(pid).cpuSeconds]));

  async function start(kind: Kind): Promise<string> {
    const id = randomUUID();
    const common = { workflowId: id, taskQueue: task.taskQueue };
    if (kind === 'vote on an approval') {
      await client.workflow.start(workflowTypes.approval, {
        ...actorStartOptions({ kind: 'approval', project: defaultProject, id }),
        ...common,
        args: [approvalInput(id)],
      });
    } else {
      await client.workflow.start(kind === 'bare update' ? 'bareVotes' : 'committedVotes', { ...common, args: [id] });
    }
    return id;
  }

  async function vote(id: string, voter: string): Promise<void> {
    const request_id = randomUUID();
    await client.workflow.getHandle(id).executeUpdate(voteUpdate, {
      updateId: request_id,
      args: [{ by: { kind: 'user', id: voter }, decision: 'approve', reason: null, digest: null, request_id }],
    });
  }

  return {
    parts: Object.keys(pids),
    /** Starts workflows, and measures the votes on them. */
    async round(kind: Kind): Promise<Round> {
      const ids: string[] = [];
      for (let count = 0; count < workflowsARound; count += 1) ids.push(await start(kind));
      // The first vote finds each of them begun.
      await Promise.all(ids.map((id) => vote(id, 'first')));
      const latenciesMs: number[] = [];
      const before = cpu();
      const began = performance.now();
      const left = ids.values();
      await Promise.all(
        Array.from({ length: callers }, async () => {
          for (const id of left) {
            for (let voter = 0; voter < votesEach; voter += 1) {
              const asked = performance.now();
              await vote(id, `voter-${voter}`);
              latenciesMs.push(performance.now() - asked);
            }
          }
        }),
      );
      const seconds = (performance.now() - began) / 1000;
      const after = cpu();
      await Promise.all(ids.map((id) => client.workflow.getHandle(id).terminate('measured')));
      return {
        perSecond: (workflowsARound * votesEach) / seconds,
        latenciesMs,
        cpu: Object.fromEntries(Object.keys(pids).map((part) => [part, (after[part] ?? 0) - (before[part] ?? 0)])),
      };
    },
  };
}

/** Takes more votes than it gets. */
function approvalInput(id: string): ApprovalInput {
  return {
    project: defaultProject,
    id,
    kind: 'enrollment',
    subject: { kind: 'device', id: 'bench-device' },
    content: { device_id: 'bench-device', hostname: 'bench-device.example', platform: 'linux', tags: [] },
    digest: randomBytes(32).toString('hex'),
    required: votesEach + 2,
    permission: 'identity.review',
    requested_by: { kind: 'device', id: 'bench-device' },
    requesters: [],
    ttl_seconds: 3_600,
    at: new Date().toISOString(),
  };
}

async function createBareTable(ownerUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: ownerUrl });
  await client.connect();
  try {
    await client.query('CREATE TABLE bench_commit (id text PRIMARY KEY, votes integer NOT NULL)');
  } finally {
    await client.end();
  }
}

async function startWorker(task: VoteWorkerTask, cleanup: Cleanup): Promise<ChildProcess> {
  const script = fileURLToPath(new URL('votes/worker.ts', import.meta.url));
  const child = fork(script, [JSON.stringify(task)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  cleanup.after(async () => {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  });
  await once(child, 'message');
  return child;
}
