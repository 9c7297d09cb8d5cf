// Actors on the real Temporal and the real Postgres, run by worker processes that can be killed at any moment.
import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection, isGrpcServiceError } from '@temporalio/client';
import proto from '@temporalio/proto';
import { actorId, type ActorRef } from '#contracts/ids.ts';
import { basisDigest } from '#protocols/attestation-basis.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import { systemClock } from '#contracts/deps.ts';
import { heartbeatBatch } from '#store/heartbeat.ts';
import { syncOperators } from '#store/operator.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { testTemporal } from '#tests/harness/temporal.ts';
import { digest, heartbeat, heartbeatLimits } from '#tests/store/builders.ts';
import { storeTest } from '#tests/store/database.ts';
import {
  actorStartOptions,
  newsSignal,
  resetUpdate,
  verifySignal,
  voteUpdate,
  workflowTypes,
} from '#workflows/messages.ts';
import { prune, reconcile, type ReconcileReport } from '#workflows/reconcile.ts';
import { bundleWorkflows } from '#worker/bundle.ts';
import { keptBundle, keptInPackages } from '#worker/kept-bundle.ts';
import { approval, device } from './actors.ts';
import { basis, giveEvidence } from './evidence.ts';
import { type CrashPoint, crashPointsVariable, type Trap, type WorkerTask } from './worker-process.ts';

const script = join(import.meta.dirname, 'worker-process.ts');
const people = ['ann', 'bob', 'carl'];

interface Grant {
  readonly state: string;
  readonly tier: string;
  readonly epoch: number;
  readonly pinned_fingerprint: string | null;
  readonly review: { readonly id: string; readonly digest: string; readonly required: number } | null;
}

interface Approval {
  readonly state: string;
  readonly votes: readonly { readonly by: string; readonly decision: string }[];
}

interface VoteOptions {
  readonly request?: string;
  readonly decision?: 'approve' | 'reject';
}

interface WorkerFaults {
  readonly crashPoints?: readonly CrashPoint[];
  readonly losesAnswers?: boolean;
  /** Workflows kept in memory; so few that every task replays when absent. */
  readonly cachedWorkflows?: number;
}

/** gRPC's status code (grpc/status.h). */
const failedPrecondition = 9;

const fewCached = 2;

interface Presented {
  readonly tags?: readonly string[];
  /** Whether the actor hears of it; true when absent. */
  readonly announced?: boolean;
}

/** Where the rows of an actor are, and by which column. */
const rowsOf = {
  device: { actor: 'subject_id', device: 'device_id' },
  approval: { actor: 'subject_id', approval: 'id' },
} as const;

/** A worker that was killed is noticed after ten seconds, and again if the next try met the same. */
const reviewWithinMs = 50_000;

/** Temporal takes no update while the tasks of a run are lost one after the other, as they are when workers die. */
function isTaskFailing(error: unknown): boolean {
  const { cause } = error as Error;
  return isGrpcServiceError(cause) && cause.code === failedPrecondition;
}

/** @param other another Temporal than the one that the run shares */
export async function realActors(t: Cleanup, other?: { readonly address: string }) {
  const database = await storeTest(t);
  const { taskQueue, ...shared } = await testTemporal(t);
  const { address } = other ?? shared;
  const directory = await mkdtemp(join(tmpdir(), 'sentinel-worker-'));
  const bundleFile = join(directory, 'workflows.js');
  const { code } = await keptBundle({ ...keptInPackages, make: () => bundleWorkflows(fakeLog()) });
  await writeFile(bundleFile, code);
  const connection = await Connection.connect({ address });
  const client = new Client({ connection });
  const children = new Set<ChildProcess>();
  const workflowId = (ref: ActorRef): string => `${taskQueue}/${actorId(ref)}`;
  const handle = (ref: ActorRef) => client.workflow.getHandle(workflowId(ref));
  const now = (): string => systemClock.now().toISOString();
  await syncOperators(
    database.api,
    people.map((username) => ({ username, roles: ['approver'], permissions: [], disabled: false })),
    now(),
  );

  t.after(async () => {
    await Promise.all(
      [...children].map((child) => {
        const gone = once(child, 'exit');
        child.kill('SIGKILL');
        return gone;
      }),
    );
    const query = `TaskQueue = '${taskQueue}' AND ExecutionStatus = 'Running'`;
    for await (const { workflowId: id } of client.workflow.list({ query }))
      await client.workflow
        .getHandle(id)
        .terminate('the test is over')
        .catch(() => {});
    await connection.close();
    await rm(directory, { recursive: true, force: true });
  });

  /** Starts a worker process, which takes everything unless told. */
  async function startWorker(
    takes: WorkerTask['takes'] = 'everything',
    traps: readonly Trap[] = [],
    { crashPoints = [], losesAnswers = false, cachedWorkflows = fewCached }: WorkerFaults = {},
  ) {
    const databaseUrl = database.url.sentinel_worker_login;
    const task: WorkerTask = {
      ...{ databaseUrl, address, taskQueue, bundleFile },
      ...{ takes, traps, losesAnswers, cachedWorkflows },
    };
    const child = fork(script, [JSON.stringify(task)], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      env: { ...process.env, [crashPointsVariable]: JSON.stringify(crashPoints) },
    });
    const ended = once(child, 'exit').then(([, signal]) => signal as NodeJS.Signals | null);
    children.add(child);
    const ready = Promise.withResolvers<void>();
    const reached = traps.map(() => Promise.withResolvers<void>());
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes('ready\n')) ready.resolve();
      for (const [index, { resolve }] of reached.entries()) if (output.includes(`reached ${index}\n`)) resolve();
    });
    child.once('exit', () => {
      children.delete(child);
      child.stdout?.destroy();
      if (child.connected) child.disconnect();
      for (const { reject } of [ready, ...reached]) reject(new Error('the worker ended'));
    });
    for (const { promise } of reached) promise.catch(() => {});
    await ready.promise;
    return {
      /** Ends well when this trap was reached, or all of them. */
      reached: (trap?: Trap) =>
        Promise.all(
          reached.filter((_, index) => trap === undefined || traps[index] === trap).map(({ promise }) => promise),
        ),
      /** Lets a commit go on that a trap holds. */
      goOn: (trap: Trap) => child.send(traps.indexOf(trap)),
      /** How it ended, when it has. */
      ended,
      /** What it has said, one line for each thing. */
      said: () => output.split('\n'),
      async kill(): Promise<void> {
        child.kill('SIGKILL');
        await ended;
      },
    };
  }

  async function grantOf(id: string): Promise<Grant | undefined> {
    const [row] = await database.rows<Grant>(
      'SELECT state, tier, epoch, pinned_fingerprint, review FROM device WHERE device_id = $1',
      [id],
    );
    return row;
  }

  async function removeRows(ref: ActorRef): Promise<void> {
    for (const [table, column] of Object.entries(rowsOf[ref.kind]))
      await database.rows(`DELETE FROM ${table} WHERE ${column} = $1`, [ref.id]);
  }

  const run = <T>(duty: () => Promise<T>, id: string): Promise<T> =>
    client.workflow.execute(duty, { taskQueue, workflowId: `${taskQueue}/${id}`, args: [] });

  return {
    database,
    client,
    taskQueue,
    workflowId,
    handle,
    eventually,
    startWorker,
    grantOf,
    /** A heartbeat with this certificate, and the news of it, unless that is lost: then it waits for longer than it should. */
    async present(id: string, certificate: string, { tags = [], announced = true }: Presented = {}): Promise<void> {
      const observation = { ...heartbeat(id).observation, tags };
      const observed_digest = digest(JSON.stringify(observation));
      await heartbeatBatch(
        database.api,
        [heartbeat(id, { certificate, counter: Date.now(), observation, observed_digest })],
        heartbeatLimits,
        now(),
      );
      if (!announced) {
        const late = `UPDATE device_liveness SET news_since = now() - interval '1 minute' WHERE device_id = $1`;
        await database.rows(late, [id]);
        return;
      }
      await client.workflow.signalWithStart(workflowTypes.device, {
        ...actorStartOptions(device(id)),
        workflowId: workflowId(device(id)),
        taskQueue,
        args: [{ project: 'default', id }],
        workflowIdConflictPolicy: 'USE_EXISTING',
        signal: newsSignal,
      });
    },
    /** Evidence of this device that the API has found good, and the news of it. */
    async attest(id: string): Promise<void> {
      const { at, evidence, circumstances, result, standing } = giveEvidence(id);
      await database.rows(
        `INSERT INTO attestation_basis (project_id, digest, content, first_used_at) VALUES ('default', $1, $2, $3)
         ON CONFLICT DO NOTHING`,
        [basisDigest(basis), JSON.stringify(basis), at],
      );
      await database.rows(
        `INSERT INTO attestation_verdict (project_id, device_id, verdict, at, provider, outcome, changed, generation,
           evidence_digest, evidence, circumstances, basis_digest, result)
         VALUES ('default', $1, $2, $3, $4, $5, true, $6, $7, $8, $9, $10, $11)`,
        [
          id,
          standing.verdict,
          at,
          standing.provider,
          result.outcome,
          standing.generation,
          digestOf(evidence),
          JSON.stringify(evidence),
          JSON.stringify(circumstances),
          basisDigest(basis),
          JSON.stringify(result),
        ],
      );
      await database.rows(
        `INSERT INTO device_attestation SELECT r.* FROM jsonb_populate_record(NULL::device_attestation, $1) r`,
        [JSON.stringify({ ...standing, project_id: 'default', device_id: id, unrecorded: 0, updated_at: at })],
      );
      await handle(device(id)).signal(newsSignal);
    },
    /** A run of a periodic duty, to its end. */
    prune: (id: string): Promise<unknown> => run(prune, `prune/${id}`),
    reconcile: (id: string = randomUUID()): Promise<ReconcileReport> => run(reconcile, `reconcile/${id}`),
    reset(id: string) {
      const request_id = randomUUID();
      return handle(device(id)).executeUpdate(resetUpdate, {
        updateId: request_id,
        args: [{ by: { kind: 'user', id: 'olga' }, reason: null, request_id }],
      });
    },
    /** How a device and everything that was decided about it stand, and how that came about, without the names. */
    async outcomeOf(id: string): Promise<object> {
      const grant = await grantOf(id);
      const approvals = await database.rows<Approval & { readonly id: string; readonly required_approvals: number }>(
        'SELECT id, state, votes, required_approvals FROM approval WHERE subject_id = $1 ORDER BY opened_at, id',
        [id],
      );
      const actors = [device(id), ...approvals.map((row) => approval(row.id))];
      return {
        device: grant && {
          ...grant,
          review: grant.review !== null,
          pinned_fingerprint: grant.pinned_fingerprint === digest(`${id}-1`),
        },
        approvals: approvals.map(({ state, votes, required_approvals }) => ({
          state,
          required_approvals,
          votes: votes.map(({ by, decision }) => ({ by, decision })),
        })),
        consumed: (await database.rows('SELECT FROM approval_consumption WHERE actor_id = $1', [actorId(device(id))]))
          .length,
        history: await Promise.all(
          actors.map(async (ref) => ({
            audit: await database.rows(
              'SELECT action, outcome FROM audit_event WHERE subject_kind = $1 AND subject_id = $2 ORDER BY position',
              [ref.kind, ref.id],
            ),
            transitions: await database.rows(
              // How many looks at the store there were, and which of them found the news, is a matter of time.
              `SELECT epoch, event, from_state, to_state FROM actor_transition
               WHERE actor_id = $1 AND (event <> 'news.fetched' OR from_state <> to_state) ORDER BY epoch, revision`,
              [actorId(ref)],
            ),
          })),
        ),
      };
    },
    /** The review that the device waits for, once it can be voted on. */
    review: (id: string, other?: string): Promise<NonNullable<Grant['review']>> =>
      eventually(
        async () => {
          const review = (await grantOf(id))?.review;
          if (!review || review.id === other) return null;
          const [row] = await database.rows('SELECT FROM approval WHERE id = $1 AND state = $2', [review.id, 'open']);
          return row === undefined ? null : review;
        },
        `a review of ${id}`,
        reviewWithinMs,
      ),
    async vote(approvalId: string, by: string, { request = randomUUID(), decision = 'approve' }: VoteOptions = {}) {
      const ask = () =>
        handle(approval(approvalId)).executeUpdate(voteUpdate, {
          updateId: request,
          args: [{ by: { kind: 'user', id: by }, decision, reason: null, digest: null, request_id: request }],
        });
      const { answer } = await eventually(
        () =>
          ask().then(
            (value) => ({ answer: value }),
            (error: unknown) => {
              if (isTaskFailing(error)) return null;
              throw error;
            },
          ),
        `the vote of ${by}`,
        reviewWithinMs,
      );
      return answer;
    },
    async approvalOf(id: string): Promise<Approval | undefined> {
      const [row] = await database.rows<Approval>('SELECT state, votes FROM approval WHERE id = $1', [id]);
      return row;
    },
    verify: (ref: ActorRef) => handle(ref).signal(verifySignal),
    async history(ref: ActorRef) {
      return [...((await handle(ref).fetchHistory()).events ?? [])];
    },
    /** Puts the actor back to before an event, as an operator can; what was said to it later is said again, or not. */
    async resetTo(ref: ActorRef, eventId: number, { sayAgain }: { readonly sayAgain: boolean }): Promise<void> {
      await client.workflowService.resetWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId: workflowId(ref) },
        reason: 'test',
        requestId: randomUUID(),
        workflowTaskFinishEventId: eventId as never,
        resetReapplyExcludeTypes: sayAgain
          ? []
          : [
              proto.temporal.api.enums.v1.ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL,
              proto.temporal.api.enums.v1.ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE,
            ],
      });
    },
    /** The rows of an actor as they are now, to be put back later. What it wrote elsewhere stays. */
    async backup(ref: ActorRef): Promise<() => Promise<void>> {
      const saved: { table: string; row: string }[] = [];
      for (const [table, column] of Object.entries(rowsOf[ref.kind])) {
        const [found] = await database.rows<{ row: object }>(
          `SELECT to_jsonb(x) AS row FROM ${table} x WHERE ${column} = $1`,
          [ref.id],
        );
        saved.push({ table, row: JSON.stringify(found?.row) });
      }
      return async () => {
        await removeRows(ref);
        for (const { table, row } of saved)
          await database.rows(`INSERT INTO ${table} SELECT * FROM jsonb_populate_record(NULL::${table}, $1)`, [row]);
      };
    },
    removeRows,
    /** Every transition of an actor in the order of its epochs, each with the row that the fence is about, as of one moment. */
    transitions: (ref: ActorRef) =>
      database.rows<{ epoch: number; revision: number; held_epoch: number; held_revision: number }>(
        `SELECT t.epoch, t.revision::float8 AS revision, a.epoch AS held_epoch, a.revision::float8 AS held_revision
         FROM actor_transition t LEFT JOIN actor a ON a.project_id = t.project_id AND a.id = t.actor_id
         WHERE t.actor_id = $1 ORDER BY t.epoch, t.revision`,
        [actorId(ref)],
      ),
    audit: (subject: string, action: string) =>
      database.rows<{ details: Record<string, unknown> }>(
        'SELECT details FROM audit_event WHERE subject_id = $1 AND action = $2 ORDER BY position',
        [subject, action],
      ),
  };
}
