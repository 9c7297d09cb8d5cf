// /api/doctor: lists where rows, actors, audit trail and denylist disagree, and has actors look again, which only ever lowers trust.
import { setTimeout as pause } from 'node:timers/promises';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { ActorMark } from '#contracts/actor.ts';
import type { AuditEntry, IntegrityReport, Principal } from '#contracts/audit.ts';
import type { Clock, Json, JsonObject } from '#contracts/deps.ts';
import { divergences, type DivergenceKind } from '#contracts/divergences.ts';
import { DivergenceList, DoctorQuery, HealBody, Healed, type Divergence } from '#contracts/http/doctor.ts';
import { actorId, isDeviceId, isUuid, type ActorRef } from '#contracts/ids.ts';
import { TrustError } from '#contracts/problems.ts';
import { compareActor } from '#machines/divergence.ts';
import type { ActorRecord, ExaminedRow, RowFinding, RowsQuery } from '#store/doctor.ts';
import { signedIn } from './authorization.ts';
import type { TrustedProxy } from './client-address.ts';
import type { Cursors } from './cursors.ts';
import { projectOf } from './projects.ts';
import type { Standings } from './standings.ts';

export interface DoctorDeps {
  /** What verifying the audit trail says, with what the sealer has not sealed yet. */
  readonly verifyTrail: (project: string, options: { full: boolean }) => Promise<IntegrityReport>;
  readonly examineRows: (project: string, query: RowsQuery) => Promise<readonly ExaminedRow[]>;
  readonly strayProjections: (project: string, limit: number) => Promise<readonly RowFinding[]>;
  readonly actorRecords: (project: string, refs: readonly ActorRef[]) => Promise<ReadonlyMap<string, ActorRecord>>;
  readonly notDenied: (project: string, fingerprints: readonly string[]) => Promise<readonly string[]>;
  readonly standings: Standings;
  /** What an approval was opened with, as its row remembers it; null when there is none. */
  readonly approvalInput: (ref: ActorRef) => Promise<JsonObject | null>;
  readonly audit: (project: string, entry: AuditEntry) => Promise<void>;
  /** @returns how many were missing */
  readonly denyAgain: (ref: ActorRef, fingerprints: readonly string[], by: Principal) => Promise<number>;
  readonly cursors: Cursors;
  readonly proxy: Pick<TrustedProxy, 'clientAddress'>;
  readonly clock: Clock;
  /** Between two looks at what seemed to disagree: things change while they are compared. */
  readonly pauseMs?: number;
}

/** Where the list goes on. The trail comes first, then rows, then what runs without a row. */
type Position = { readonly rows: string } | { readonly runs: string | null };

const routeTimeoutMs = 120_000;
const looks = 3;
const concurrency = 20;
const strayLimit = 200;

export const doctorRoutes: FastifyPluginAsyncTypebox<DoctorDeps> = async (app, deps) => {
  const { cursors, standings, clock, proxy, pauseMs = 700 } = deps;

  app.get(
    '/api/doctor',
    {
      config: { access: 'workflow.read' },
      handlerTimeout: routeTimeoutMs,
      schema: {
        operationId: 'listDivergences',
        tags: ['operations'],
        summary: 'Where rows, actors, audit trail and denylist disagree, a page at a time; a page may be empty',
        querystring: DoctorQuery,
        response: { 200: DivergenceList },
      },
    },
    async (request) => {
      const project = projectOf(request);
      const { limit = 100, cursor, full = false } = request.query;
      const list: Json = ['doctor', project];
      const position = cursor === undefined ? null : (cursors.open(list, cursor) as Position);
      const { items, examined, next } = await pageAt(project, position, { limit, full });
      return { items: [...items], examined, next_cursor: next === null ? null : cursors.seal(list, next) };
    },
  );

  app.post(
    '/api/doctor/heal',
    {
      // It only ever lowers trust, and is wanted most when the trail waits for somebody.
      config: { access: 'workflow.write', sealing: 'not-needed' },
      schema: {
        operationId: 'healDivergences',
        tags: ['operations'],
        summary: 'Have actors make sure of their rows, which lowers trust to what both sides support',
        body: HealBody,
        response: { 200: Healed },
      },
    },
    async (request) => {
      const project = projectOf(request);
      const refs = request.body.subjects.map((subject): ActorRef => ({ ...subject, project }));
      if (!refs.every(({ kind, id }) => (kind === 'device' ? isDeviceId(id) : isUuid(id))))
        throw new TrustError('request.invalid');
      const by: Principal = { kind: 'user', id: signedIn(request).username, ip: proxy.clientAddress(request) };
      // Written down first: what is asked for cannot be taken back.
      await deps.audit(project, {
        occurred_at: clock.now().toISOString(),
        category: 'operations',
        action: 'actors.verified',
        actor: by,
        subject: { kind: 'project', id: project },
        outcome: 'success',
        details: { actors: refs.map((ref) => actorId(ref)) },
        request_id: request.id,
      });
      const records = await deps.actorRecords(project, refs);
      let denied_again = 0;
      await forEach(refs, async (ref) => {
        // Not `+= await`: others add to it meanwhile.
        const given = ref.kind === 'device' ? await giveBack(ref, by) : 0;
        denied_again += given;
        await standings.verify(ref, await inputOf(ref, records.get(actorId(ref))));
      });
      return { asked: refs.length, denied_again };
    },
  );

  async function giveBack(ref: ActorRef, by: Principal): Promise<number> {
    const asked = await standings.of(ref);
    if (asked.found !== 'standing' || asked.standing.revoked_fingerprints.length === 0) return 0;
    return await deps.denyAgain(ref, asked.standing.revoked_fingerprints, by);
  }

  /** What an actor that should run is started with. */
  async function inputOf(ref: ActorRef, record: ActorRecord | undefined): Promise<object | null> {
    if (ref.kind === 'device') return { project: ref.project, id: ref.id };
    return record?.runs ? await deps.approvalInput(ref) : null;
  }

  async function pageAt(
    project: string,
    position: Position | null,
    { limit, full }: { limit: number; full: boolean },
  ): Promise<{ items: readonly Divergence[]; examined: number; next: Position | null }> {
    if (position === null) {
      const items = [...(await trail(project, full)), ...(await deps.strayProjections(project, strayLimit)).map(plain)];
      return { items, examined: 2, next: { rows: '' } };
    }
    if ('rows' in position) {
      const rows = await deps.examineRows(project, { after: position.rows, limit });
      const last = rows.at(-1);
      const next: Position = last === undefined || rows.length < limit ? { runs: null } : { rows: actorId(last.ref) };
      return { items: await examine(project, rows), examined: rows.length, next };
    }
    const { refs, next } = await standings.running(project, { limit, token: position.runs });
    return {
      items: await withoutRow(project, refs),
      examined: refs.length,
      next: next === null ? null : { runs: next },
    };
  }

  async function trail(project: string, full: boolean): Promise<readonly Divergence[]> {
    const { valid, reason } = await deps.verifyTrail(project, { full });
    if (valid) return [];
    const subject = { kind: 'audit', id: project };
    return [
      { kind: 'trail.invalid', subject, detail: reason ?? 'It is not whole', row: null, actor: null, heals: false },
    ];
  }

  async function examine(project: string, rows: readonly ExaminedRow[]): Promise<readonly Divergence[]> {
    const found: Divergence[] = [];
    let suspects: readonly ExaminedRow[] = rows;
    // What is under way looks like a divergence for a moment; a real one is still there at the next look.
    for (let look = 1; look <= looks && suspects.length > 0; look += 1) {
      if (look > 1) await pause(pauseMs);
      const again: ExaminedRow[] = [];
      const actors = suspects.map(({ ref }) => ref);
      const current = look === 1 ? rows : await deps.examineRows(project, { actors });
      await forEach(current, async (row) => {
        const divergent = [...row.findings.map(plain), ...(await askActor(project, row))];
        if (divergent.length === 0) return;
        if (look === looks) found.push(...unique(divergent));
        else again.push(row);
      });
      suspects = again;
    }
    return found.toSorted((a, b) => (a.subject.id < b.subject.id ? -1 : 1));
  }

  async function askActor(project: string, { ref, mark, runs }: ActorRecord): Promise<readonly Divergence[]> {
    if (!runs) return [];
    const asked = await standings.of(ref);
    if (asked.found === 'missing') return [between('actor.missing', ref, asked.detail, mark, null)];
    if (asked.found === 'silent')
      return [between('actor.silent', ref, divergences['actor.silent'].meaning, mark, null)];
    const { standing } = asked;
    const kind = compareActor(mark, standing);
    const lost = await deps.notDenied(project, standing.revoked_fingerprints);
    return [
      ...(kind === null ? [] : [between(kind, ref, divergences[kind].meaning, mark, standing)]),
      ...lost.map((fingerprint) =>
        between('denylist.lost', ref, `Certificate ${fingerprint} was revoked`, mark, standing),
      ),
    ];
  }

  /** Actors that run and have no row, or that run behind the row of an approval that is closed. */
  async function withoutRow(project: string, refs: readonly ActorRef[]): Promise<readonly Divergence[]> {
    const found: Divergence[] = [];
    let suspects = refs;
    for (let look = 1; look <= looks && suspects.length > 0; look += 1) {
      if (look > 1) await pause(pauseMs);
      const records = await deps.actorRecords(project, suspects);
      const again: ActorRef[] = [];
      await forEach(suspects, async (ref) => {
        const record = records.get(actorId(ref));
        // The other rows were examined by their own pages.
        if (record?.runs) return;
        const asked = await standings.of(ref);
        if (asked.found === 'missing') return;
        const standing = asked.found === 'standing' ? asked.standing : null;
        const kind =
          record === undefined
            ? 'row.missing'
            : standing === null
              ? 'actor.silent'
              : compareActor(record.mark, standing);
        if (kind === null) return;
        if (look < looks) again.push(ref);
        else found.push(between(kind, ref, divergences[kind].meaning, record?.mark ?? null, standing));
      });
      suspects = again;
    }
    return found;
  }
};

function between(
  kind: DivergenceKind,
  { kind: subject, id }: ActorRef,
  detail: string,
  row: ActorMark | null,
  actor: ActorMark | null,
): Divergence {
  const markOf = (mark: ActorMark | null): ActorMark | null =>
    mark && { run_id: mark.run_id, revision: mark.revision, epoch: mark.epoch, state: mark.state };
  return {
    kind,
    subject: { kind: subject, id },
    detail,
    row: markOf(row),
    actor: markOf(actor),
    heals: divergences[kind].heals,
  };
}

function plain({ kind, subject, detail }: RowFinding): Divergence {
  return { kind, subject: { ...subject }, detail, row: null, actor: null, heals: divergences[kind].heals };
}

/** Row and actor may both know of the same one. */
function unique(found: readonly Divergence[]): readonly Divergence[] {
  return [...new Map(found.map((one) => [JSON.stringify([one.kind, one.detail]), one])).values()];
}

async function forEach<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const left = items.values();
  const lane = async (): Promise<void> => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, lane));
}
