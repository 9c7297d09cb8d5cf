// What goes wrong around the effects of activities: the worker is killed on either side of each, and their answers are lost.
// Activities are taken from the worker's own factory, and so are their effects: one that is new and has no case here fails.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { createActivities, type Activities, type ActivityDeps } from '#worker/activities.ts';
import { createWorkerMetrics } from '#worker/metrics.ts';
import { approval, device } from './actors.ts';
import { realActors } from './real-actors.ts';
import type { CrashPoint } from './worker-process.ts';

type Actors = Awaited<ReturnType<typeof realActors>>;
type Worker = Awaited<ReturnType<Actors['startWorker']>>;

/** All are killed at one moment, after which each waits for Temporal to notice. */
const withinMs = 50_000;
/** With activities that are held up, a task that finds no place is lost for the ten seconds that Temporal gives it. */
const cachedWorkflows = 1_000;
/** Of a subject with all its tests, which is limited like one test otherwise. */
const describeLimitMs = 180_000;

/** What happens to a device, to its end. Between them they need every activity. */
const lives = {
  /** Another quorum while it waits, then approved by two. */
  async changed(actors: Actors, id: string): Promise<void> {
    await actors.present(id, `${id}-1`);
    await actors.review(id);
    await actors.present(id, `${id}-1`, { tags: ['payments'] });
    await decided(actors, id);
  },
  /** Reset while its review is open, which nobody waits for any more then. */
  async withdrawn(actors: Actors, id: string): Promise<void> {
    await actors.present(id, `${id}-1`);
    const review = await actors.review(id);
    await actors.reset(id);
    await actors.eventually(
      async () => (await actors.approvalOf(review.id))?.state === 'cancelled',
      'the withdrawal',
      withinMs,
    );
    await actors.handle(approval(review.id)).result();
  },
  /** Its approval is ended by somebody, its news is lost, and it is put back itself: the periodic duty finds all of that. */
  async reconciled(actors: Actors, id: string): Promise<void> {
    await actors.present(id, `${id}-1`);
    const review = await actors.review(id);
    await actors.handle(approval(review.id)).terminate('test');
    await actors.reconcile(`${id}-ended`);
    await actors.eventually(
      async () => (await actors.audit(review.id, 'actor.adopted')).length === 1,
      'the approval to start again',
      withinMs,
    );
    await actors.present(id, `${id}-1`, { tags: ['payments'], announced: false });
    await actors.reconcile(`${id}-news`);
    await decided(actors, id);
    const tasks = (await actors.history(device(id))).filter((event) => event.workflowTaskCompletedEventAttributes);
    await actors.resetTo(device(id), Number(tasks.at(-1)?.eventId), { sayAgain: false });
    await actors.reconcile(`${id}-put-back`);
    await actors.eventually(
      async () => (await actors.audit(id, 'actor.adopted')).length === 1,
      'the adoption',
      withinMs,
    );
  },
  /** Approved before it gave evidence, whose key people bind then; trusted once that was verified again. */
  async attested(actors: Actors, id: string): Promise<void> {
    await actors.present(id, `${id}-1`);
    const enrollment = await actors.review(id);
    await actors.vote(enrollment.id, 'ann');
    await actors.handle(approval(enrollment.id)).result();
    await actors.attest(id);
    const hardware = await actors.review(id, enrollment.id);
    await actors.vote(hardware.id, 'ann');
    await actors.eventually(
      async () => (await actors.grantOf(id))?.tier === 'trusted',
      `${id} to be trusted`,
      withinMs,
    );
  },
  async swept(actors: Actors, id: string): Promise<void> {
    await actors.prune(id);
  },
} as const;
type Life = keyof typeof lives;

async function decided(actors: Actors, id: string): Promise<void> {
  const review = await actors.eventually(
    async () => {
      const found = (await actors.grantOf(id))?.review;
      return found?.required === 2 && found;
    },
    `a review of ${id} by two`,
    withinMs,
  );
  // What it is about has changed for the approval too.
  await actors.eventually(
    async () => (await actors.audit(review.id, 'approval.changed')).length > 0,
    `the approval of ${id} to hear of it`,
    withinMs,
  );
  await actors.vote(review.id, 'ann');
  await actors.vote(review.id, 'bob');
  await actors.handle(approval(review.id)).result();
}

interface Case {
  readonly life: Life;
  /** What it is there for: what it changes, or else what it finds out. */
  readonly effects: readonly string[];
  /** What it asks besides. */
  readonly reads?: readonly string[];
}

const cases: Readonly<Record<keyof Activities, Case>> = {
  commitActor: { life: 'changed', effects: ['commitActor'] },
  fetchDeviceNews: { life: 'changed', effects: ['deviceNews'] },
  verifyEvidence: { life: 'attested', effects: ['storedEvidence'] },
  openApproval: { life: 'changed', effects: ['workflows.start', 'workflows.getHandle.signal'] },
  confirmVotes: { life: 'changed', effects: ['standingVoters'] },
  deliverOutcome: { life: 'changed', effects: ['workflows.executeUpdateWithStart'] },
  readApproval: { life: 'changed', effects: ['readApproval'] },
  withdrawApproval: { life: 'withdrawn', effects: ['workflows.getHandle.signal'] },
  announceNews: { life: 'reconciled', effects: ['workflows.signalWithStart'], reads: ['devicesWithNews'] },
  verifyActors: {
    life: 'reconciled',
    effects: ['workflows.signalWithStart'],
    reads: [
      'actorRuns',
      'approvalInput',
      'workflows.getHandle.describe',
      'workflows.getHandle.query',
      'workflows.getHandle.signal',
    ],
  },
  prune: { life: 'swept', effects: ['prune'] },
};
const activities = Object.keys(
  createActivities({} as ActivityDeps, createWorkerMetrics('test')),
) as (keyof Activities)[];

describe('the effects of activities', () => {
  const cleanup = cleanupAfterAll();
  let actors: Actors;
  const expected = new Map<Life, object>();
  before(async () => {
    actors = await realActors(cleanup);
    const worker = await actors.startWorker();
    await Promise.all(
      (Object.keys(lives) as Life[]).map(async (life) => {
        const id = `calm-${life}`;
        await lives[life](actors, id);
        expected.set(life, await actors.outcomeOf(id));
      }),
    );
    await worker.kill();
  });

  it('have a case for every activity of the worker', () => {
    assert.deepEqual(activities.toSorted(), Object.keys(cases).toSorted());
  });

  describe('are there once when the worker is killed', { timeout: describeLimitMs }, () => {
    const points = activities.flatMap((activity) =>
      (cases[activity]?.effects ?? []).flatMap((dependency) =>
        (['before', 'after'] as const).map((moment): CrashPoint & { readonly life: Life } => ({
          activity,
          dependency,
          moment,
          about: `crash-${randomUUID()}`,
          life: cases[activity].life,
        })),
      ),
    );
    const living = new Map<string, Promise<void>>();
    let running: Worker;

    // All are killed at once: what takes time is that Temporal notices.
    before(async () => {
      running = await actors.startWorker('everything', [], { crashPoints: points, cachedWorkflows });
      for (const [index, { about, life }] of points.entries()) {
        const lived = lives[life](actors, about);
        lived.catch(() => {});
        living.set(about, lived);
        // A periodic duty looks after all devices. Held up at the point of another one, it would never come to its own.
        if (life === 'reconciled')
          await actors.eventually(
            () => running.said().includes(`at point ${index}`),
            `${about} to come to its point`,
            withinMs,
          );
      }
      assert.equal(await running.ended, 'SIGKILL');
      running = await actors.startWorker('everything', [], { cachedWorkflows });
    });
    after(() => running.kill());

    for (const { activity, dependency, moment, about, life } of points) {
      it(`${moment} ${activity} has called ${dependency} (FT-01)`, async () => {
        await living.get(about);
        assert.deepEqual(await actors.outcomeOf(about), expected.get(life));
      });
    }
  });

  describe(
    'are there once when each of them has happened and its answer came too late',
    { timeout: describeLimitMs },
    () => {
      const living = new Map<Life, Promise<void>>();
      let worker: Worker;
      before(async () => {
        worker = await actors.startWorker('everything', [], { losesAnswers: true, cachedWorkflows });
        for (const life of Object.keys(lives) as Life[]) {
          const lived = lives[life](actors, `late-${life}`);
          lived.catch(() => {});
          living.set(life, lived);
        }
      });
      after(() => worker.kill());

      for (const life of Object.keys(lives) as Life[]) {
        it(`and a device is ${life} as if nothing had been (FT-04)`, async () => {
          await living.get(life);
          assert.deepEqual(await actors.outcomeOf(`late-${life}`), expected.get(life));
        });
      }

      it('and that was so of every dependency of every activity (FT-04)', () => {
        const lost = worker.said().flatMap((line) => (line.startsWith('lost ') ? [line.slice('lost '.length)] : []));
        const known = activities.flatMap((activity) =>
          [...cases[activity].effects, ...(cases[activity].reads ?? [])].map((each) => `${activity} ${each}`),
        );
        assert.deepEqual([...new Set(lost)].toSorted(), known.toSorted());
      });
    },
  );
});
