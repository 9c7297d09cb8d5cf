// One of both servers restored to an earlier time: every divergence is found, and healing lowers trust or leaves it, never raises it.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { createStandings } from '#api/standings.ts';
import type { ActorMark } from '#contracts/actor.ts';
import { systemClock } from '#contracts/deps.ts';
import type { DivergenceKind } from '#contracts/divergences.ts';
import type { Divergence, DivergenceList, Healed } from '#contracts/http/doctor.ts';
import { actorId } from '#contracts/ids.ts';
import { trustTiers, type TrustTier } from '#contracts/states.ts';
import { findFreePort } from '#start/ports.ts';
import { actorContext } from '#store/actor.ts';
import { recordAlone } from '#store/audit.ts';
import { denyAgain } from '#store/denylist.ts';
import { actorRecords, examineRows, notDenied, strayProjections } from '#store/doctor.ts';
import { withProject } from '#store/with-project.ts';
import { fakeApi } from '#tests/fakes/api-over-fakes.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { startOwnTemporal } from '#tests/harness/start-server.ts';
import { digest, revoke } from '#tests/store/builders.ts';
import { trailOf, type Trail } from '#tests/store/trail.ts';
import { newsSignal, resetUpdate, retireUpdate } from '#workflows/messages.ts';
import { device } from './actors.ts';
import { realActors } from './real-actors.ts';

type Actors = Awaited<ReturnType<typeof realActors>>;

/** Rows of one moment, by the id of their actor. */
interface Moment {
  readonly marks: ReadonlyMap<string, ActorMark & { readonly kind: string }>;
  readonly tiers: ReadonlyMap<string, TrustTier>;
  readonly revoked: readonly string[];
}

const names = (name: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${name}-${n + 1}`);
const steady = names('steady', 3);
const toRevoke = names('revoked', 3);
const churn = names('churn', 6);
const rounds = 2;
/** Heartbeats of each device that stays as it is: they change nothing but when it was heard. */
const heartbeats = 50;
/** All of them: what is restored is replayed after each start all the same, and with fewer every task would be. */
const cachedWorkflows = 1_000;
const approvedBefore = [...steady, ...toRevoke, ...churn, 'reset', 'retired', 'rotated', 'rotation-rejected'];
const pendingBefore = ['approved-later', 'rejected-later', 'left-pending'];

describe('after a restore of one of both servers', { timeout: 240_000 }, () => {
  const cleanup = cleanupAfterAll();
  let actors: Actors;
  let trail: Trail;
  let worker: Awaited<ReturnType<Actors['startWorker']>>;
  let temporal: Awaited<ReturnType<typeof startOwnTemporal>>;
  let ask: (method: 'GET' | 'POST', url: string, payload?: object) => Promise<unknown>;
  let directory = '';
  let port = 0;
  let operations = 0;
  let earlier: Moment;
  let later: Moment;

  const live = (): string => join(directory, 'live');
  const startTemporal = async () => {
    temporal = await startOwnTemporal({}, { port, databaseFile: join(live(), 'temporal.sqlite') });
  };

  const startWorker = () => actors.startWorker('everything', [], { cachedWorkflows });

  before(
    async () => {
      directory = await mkdtemp(join(tmpdir(), 'sentinel-restore-'));
      cleanup.after(() => rm(directory, { recursive: true, force: true }));
      await mkdir(live());
      port = await findFreePort();
      await startTemporal();
      cleanup.after(() => temporal.stop());
      actors = await realActors(cleanup, { address: temporal.address });
      trail = await trailOf(cleanup, actors.database);
      ask = await doctorApi();
      worker = await startWorker();

      await each(approvedBefore, async (id) => approve(id, `${id}-1`));
      await each(pendingBefore, async (id) => {
        await present(id, `${id}-1`);
        await actors.review(id);
      });
      earlier = await settled('earlier');
      await worker.kill();
      await temporal.stop();
      await cp(live(), join(directory, 'earlier'), { recursive: true });
      await startTemporal();
      worker = await startWorker();

      operations = 0;
      await operate();
      assert.ok(operations >= 200, `${operations} operations`);
      later = await settled('later');
    },
    { timeout: 200_000 },
  );

  /** The real routes over the real parts, as an administrator asks them. */
  async function doctorApi(): Promise<typeof ask> {
    const { api } = actors.database;
    const { app, as } = await fakeApi(cleanup, {
      change: (deps) => ({
        ...deps,
        doctor: {
          ...deps.doctor,
          verifyTrail: (project, { full }) => trail.verify(full, project),
          examineRows: (project, query) => examineRows(api, project, query, systemClock.now()),
          strayProjections: (project, limit) => strayProjections(api, project, limit),
          actorRecords: (project, refs) => actorRecords(api, project, refs),
          notDenied: (project, fingerprints) => notDenied(api, project, fingerprints),
          standings: createStandings({
            client: actors.client,
            namespace: 'default',
            taskQueue: actors.taskQueue,
            workflowIdOf: actors.workflowId,
            // These ids say no more than hashed ones would.
            opaqueIds: true,
            clock: systemClock,
          }),
          approvalInput: (ref) => actorContext(api, ref),
          audit: (project, entry) => recordAlone(api, project, entry),
          async denyAgain({ project, id }, fingerprints, by) {
            const again = { device_id: id, fingerprints, by, now: systemClock.now().toISOString() };
            return (await withProject(api, project, (tx) => denyAgain(tx, again))).length;
          },
          pauseMs: 300,
        },
      }),
    });
    const headers = await as('admin');
    return async (method, url, payload) => {
      const answer = await app.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) });
      assert.equal(answer.statusCode, 200, answer.body);
      return answer.json();
    };
  }

  async function doctor(): Promise<readonly Divergence[]> {
    const found: Divergence[] = [];
    let cursor = '';
    do {
      const page = (await ask('GET', `/api/doctor?limit=50&full=true${cursor}`)) as DivergenceList;
      found.push(...page.items);
      cursor = page.next_cursor === null ? '' : `&cursor=${encodeURIComponent(page.next_cursor)}`;
    } while (cursor !== '');
    return found;
  }

  async function present(id: string, certificate: string, tags: readonly string[] = []): Promise<void> {
    operations += 1;
    await actors.present(id, certificate, { tags });
  }

  async function vote(id: string, decision: 'approve' | 'reject', before?: string): Promise<void> {
    const { id: review } = await actors.review(id, before);
    operations += 1;
    await actors.vote(review, 'ann', { decision });
  }

  async function approve(id: string, certificate: string): Promise<void> {
    await present(id, certificate);
    await vote(id, 'approve');
  }

  async function request(id: string, update: typeof resetUpdate): Promise<void> {
    operations += 1;
    const request_id = randomUUID();
    const by = { kind: 'user', id: 'sam' } as const;
    await actors.handle(device(id)).executeUpdate(update, {
      updateId: request_id,
      args: [{ by, request_id, reason: null }],
    });
  }

  async function operate(): Promise<void> {
    await Promise.all([
      each(toRevoke, async (id) => {
        operations += 1;
        await revoke(actors.database.api, id, null, { now: systemClock.now().toISOString() });
        await actors.handle(device(id)).signal(newsSignal);
        await actors.eventually(() => hasHeard(id), `${id} to hear of it`);
      }),
      vote('approved-later', 'approve'),
      vote('rejected-later', 'reject'),
      request('reset', resetUpdate),
      request('retired', retireUpdate),
      (async () => {
        await present('rotated', 'rotated-2');
        await vote('rotated', 'approve');
      })(),
      (async () => {
        await present('rotation-rejected', 'rotation-rejected-2');
        await vote('rotation-rejected', 'reject');
      })(),
      each(steady, async (id) => {
        for (let beat = 1; beat <= heartbeats; beat += 1) await present(id, `${id}-1`);
      }),
      each(names('new', 2), async (id) => approve(id, `${id}-1`)),
      (async () => {
        await present('new-pending', 'new-pending-1');
        await actors.review('new-pending');
      })(),
      each(churn, async (id) => {
        for (let round = 1; round <= rounds; round += 1) {
          await present(id, `${id}-${round}`, [`round-${round}`]);
          await request(id, resetUpdate);
          await present(id, `${id}-${round + 1}`, [`round-${round}`]);
          await vote(id, 'approve');
        }
      }),
    ]);
  }

  async function hasHeard(id: string): Promise<boolean> {
    const { revoked_fingerprints } = ((await actorContext(actors.database.api, device(id))) ?? {}) as {
      revoked_fingerprints?: readonly string[];
    };
    return revoked_fingerprints?.includes(digest(`${id}-1`)) === true;
  }

  /** @param but these */
  async function nothingDiverges(but: readonly DivergenceKind[] = []): Promise<void> {
    let left: readonly Divergence[] = [];
    const look = async (): Promise<boolean> => {
      left = (await doctor()).filter(({ kind }) => !but.includes(kind));
      return left.length === 0;
    };
    await actors.eventually(look, 'nothing to diverge', 30_000).catch((cause: unknown) => {
      throw new Error(`still there: ${JSON.stringify(left, null, 1)}`, { cause });
    });
  }

  /** Nothing is under way, nothing diverges, and the trail is signed; then everything is copied under this name. */
  async function settled(name: string): Promise<Moment> {
    await nothingDiverges();
    await trail.write(0);
    await trail.checkpoints.sign();
    const rows = actors.database.rows;
    await rows(`CREATE SCHEMA ${name}`);
    for (const table of await tables()) await rows(`CREATE TABLE ${name}.${table} AS TABLE public.${table}`);
    return momentOf();
  }

  async function momentOf(): Promise<Moment> {
    const marks = await actors.database.rows<ActorMark & { id: string; kind: string }>(
      'SELECT id, kind, run_id, revision::float8 AS revision, epoch, state FROM actor',
    );
    const tiers = await actors.database.rows<{ device_id: string; tier: TrustTier }>(
      `SELECT d.device_id, CASE WHEN r.fingerprint_sha256 IS NULL THEN d.tier ELSE 'revoked' END AS tier FROM device d
       LEFT JOIN certificate_denylist r ON r.fingerprint_sha256 = d.pinned_fingerprint`,
    );
    const revoked = await actors.database.rows<{ device_id: string }>('SELECT device_id FROM certificate_denylist');
    return {
      marks: new Map(marks.map(({ id, ...mark }) => [id, mark])),
      tiers: new Map(tiers.map(({ device_id, tier }) => [device_id, tier])),
      revoked: revoked.map(({ device_id }) => device_id),
    };
  }

  async function tables(): Promise<readonly string[]> {
    const rows = await actors.database.rows<{ name: string }>(
      `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN ('project',
         'organisation', 'operator') AND tablename NOT LIKE '%migration%' ORDER BY 1`,
    );
    return rows.map(({ name }) => name);
  }

  /** Everything that the database held then, and nothing else. */
  async function restoreDatabase(name: string): Promise<void> {
    const rows = actors.database.rows;
    await rows(`SET session_replication_role = replica`);
    const all = await tables();
    // Actors go on meanwhile, and one of their transactions may be between two of the tables.
    await actors.eventually(
      () =>
        rows(`TRUNCATE ${all.join(', ')}`).catch((error: unknown) => {
          if ((error as { code?: unknown }).code !== '40P01') throw error;
          return null;
        }),
      'the tables to be emptied',
    );
    for (const table of all) {
      const [columns] = await rows<{ names: string }>(
        `SELECT string_agg(quote_ident(column_name), ', ') AS names FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER'`,
        [table],
      );
      const list = columns?.names ?? '';
      await rows(`INSERT INTO ${table} (${list}) OVERRIDING SYSTEM VALUE SELECT ${list} FROM ${name}.${table}`);
    }
    await rows(`SET session_replication_role = origin`);
  }

  async function restoreTemporal(): Promise<void> {
    await worker.kill();
    await temporal.stop();
    await rm(live(), { recursive: true });
    await cp(join(directory, 'earlier'), live(), { recursive: true });
    await startTemporal();
    worker = await startWorker();
  }

  const runs = ({ kind, state }: { kind: string; state: string }): boolean =>
    kind === 'device' || state === 'open' || state === 'deciding';
  const isSame = (one: ActorMark | undefined, other: ActorMark): boolean =>
    one?.run_id === other.run_id && one.revision === other.revision && one.epoch === other.epoch;
  const subjectOf = (id: string): string => id.replace(/^device\/default\//, 'device/').replace('/', ' ');
  const said = (found: readonly Divergence[]): string[] =>
    found.map(({ kind, subject }) => `${kind}: ${subject.kind} ${subject.id}`).toSorted();

  async function heal(found: readonly Divergence[]): Promise<Healed> {
    const subjects = found
      .filter(({ heals }) => heals)
      .map(({ subject }) => subject)
      .filter((one, index, all) => all.findIndex(({ kind, id }) => kind === one.kind && id === one.id) === index);
    return (await ask('POST', '/api/doctor/heal', { subjects })) as Healed;
  }

  /**
   * No device is trusted more than at either time.
   *
   * @param unknown what a time says of a device that it does not know: nothing for a database, which people's decisions are
   *                read from, and no objection for Temporal
   */
  async function assertNoMoreTrust(unknown: TrustTier): Promise<void> {
    const { tiers } = await momentOf();
    const rank = (moment: Moment, id: string): number => trustTiers.indexOf(moment.tiers.get(id) ?? unknown);
    for (const [id, tier] of tiers) {
      const allowed = Math.min(rank(earlier, id), rank(later, id));
      assert.ok(trustTiers.indexOf(tier) <= allowed, `${id} is ${tier}`);
    }
    for (const id of steady) assert.equal(tiers.get(id), 'monitored', `nothing happened to ${id}`);
  }

  it(
    'of the database, every divergence is listed, and none is healed to more trust (FT-18)',
    { timeout: 120_000 },
    async () => {
      await restoreDatabase('earlier');
      const expected: string[] = ['trail.invalid: audit default'];
      const expect = (kind: DivergenceKind, id: string): void => void expected.push(`${kind}: ${subjectOf(id)}`);
      for (const [id, row] of earlier.marks) {
        const actor = later.marks.get(id);
        if (!runs(row) || isSame(actor, row)) continue;
        expect(actor !== undefined && runs(actor) ? 'row.older' : 'actor.missing', id);
      }
      for (const [id, actor] of later.marks) if (!earlier.marks.has(id) && runs(actor)) expect('row.missing', id);
      for (const id of toRevoke) expect('denylist.lost', actorId(device(id)));
      const found = await doctor();
      assert.deepEqual(said(found), expected.toSorted());
      assert.ok(expected.length > 20, `${expected.length} divergences`);
      assert.ok(
        toRevoke.every((id) => !found.some(({ subject, heals }) => subject.id === id && !heals)),
        'what was lost can be given back',
      );

      const { denied_again } = await heal(found);
      assert.equal(denied_again, toRevoke.length);
      await actors.eventually(
        async () => (await doctor()).every(({ kind }) => kind === 'trail.invalid'),
        'nothing else to diverge',
        60_000,
      );
      await assertNoMoreTrust('observed');
      const { revoked } = await momentOf();
      assert.deepEqual(revoked.toSorted(), toRevoke, 'the revocations that the database had lost');
      const [asked] = await actors.audit('default', 'actors.verified');
      assert.ok(asked, 'who asked for it is in the trail');
    },
  );

  it(
    'of Temporal, every divergence is listed, and none is healed to more trust (FT-18)',
    { timeout: 120_000 },
    async () => {
      await restoreDatabase('later');
      await restoreTemporal();
      const expected: string[] = [];
      for (const [id, row] of later.marks) {
        const actor = earlier.marks.get(id);
        if (isSame(actor, row)) continue;
        // One that was closed since, and runs again: nobody may vote on it once more.
        if (runs(row) || (actor !== undefined && runs(actor)))
          expected.push(`${actor === undefined ? 'actor.missing' : 'actor.older'}: ${subjectOf(id)}`);
      }
      const found = await doctor();
      assert.deepEqual(said(found), expected.toSorted());
      assert.ok(expected.length > 15, `${expected.length} divergences`);

      await heal(found);
      await actors.eventually(async () => (await doctor()).length === 0, 'nothing to diverge', 60_000);
      await assertNoMoreTrust('trusted');
      const { tiers } = await momentOf();
      for (const id of toRevoke) assert.equal(tiers.get(id), 'revoked');
    },
  );

  it(
    'the round that a worker begins with finds and heals the same by itself (FT-18)',
    { timeout: 120_000 },
    async () => {
      await restoreDatabase('earlier');
      await restoreTemporal();
      assert.deepEqual(said(await doctor()), ['trail.invalid: audit default'], 'both are of one moment');
      await approve('revoked-1', 'revoked-1-9').catch(() => {});
      await revoke(actors.database.api, 'steady-1', null, { now: systemClock.now().toISOString() });
      await actors.handle(device('steady-1')).signal(newsSignal);
      await actors.eventually(async () => {
        const context = await actorContext(actors.database.api, device('steady-1'));
        return (context?.['revoked_fingerprints'] as readonly string[] | undefined)?.length === 1;
      }, 'the actor to hear of it');
      await restoreDatabase('earlier');
      assert.equal((await momentOf()).tiers.get('steady-1'), 'monitored', 'the restore has lost the revocation');
      assert.ok((await actors.reconcile()).verified >= 1);
      await actors.eventually(async () => (await momentOf()).tiers.get('steady-1') === 'revoked', 'the revocation');
    },
  );
});

async function each<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  await Promise.all(items.map(work));
}
