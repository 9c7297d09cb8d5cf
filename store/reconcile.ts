// What looks across projects: devices whose news nobody has taken in, actors and the runs that wrote them, and the sweep.
import type { ActorMark } from '#contracts/actor.ts';
import type { ActorKind, ActorRef } from '#contracts/ids.ts';
import { TrustError } from '#contracts/problems.ts';
import type { Store } from './store.ts';

export interface DeviceKey {
  readonly project: string;
  readonly device_id: string;
}

export interface ActorRun {
  readonly ref: ActorRef;
  /** What the row says. */
  readonly mark: ActorMark;
}

/** Some items, and where the next page goes on; null at the end. */
export interface Sweep<Item, Position> {
  readonly items: readonly Item[];
  readonly next: Position | null;
}

/** Rows of one kind that one sweep removes at most; the next sweep goes on. */
const pruneBatch = 10_000;
/** Verdicts come with every heartbeat that carries evidence, so a sweep removes them in several steps. */
const verdictSteps = 300;
const dayMs = 86_400_000;

/** Devices whose news has waited for longer than it takes to announce it, by project and id. */
export async function devicesWithNews(
  store: Store,
  after: DeviceKey | null,
  limit: number,
  now: Date,
): Promise<Sweep<DeviceKey, DeviceKey>> {
  const rows = await store.query<{ project_id: string; device_id: string }>(
    'SELECT project_id, device_id FROM devices_with_news($1, $2, $3, $4)',
    [after?.project ?? '', after?.device_id ?? '', limit, now.toISOString()],
  );
  const items = rows.map(({ project_id: project, device_id }) => ({ project, device_id }));
  return { items, next: items.length < limit ? null : (items.at(-1) ?? null) };
}

/** How many devices have had news for longer than a minute that nobody took in, counted up to `most`. */
export async function waitingNews(store: Store, most: number, now: Date): Promise<number> {
  // The function leaves out what is younger than ten seconds by itself.
  const at = new Date(now.getTime() - 50_000).toISOString();
  const [row] = await store.query<{ devices: number }>('SELECT waiting_news($1, $2) AS devices', [at, most]);
  return row?.devices ?? 0;
}

/** Actors that may be running, in a fixed order. */
export async function actorRuns(store: Store, after: string | null, limit: number): Promise<Sweep<ActorRun, string>> {
  const [project, id] = after === null ? ['', ''] : readPosition(after);
  const rows = await store.query<{
    project_id: string;
    id: string;
    kind: ActorKind;
    subject_id: string;
    run_id: string;
    revision: number;
    epoch: number;
    state: string;
  }>(
    `SELECT project_id, id, kind, subject_id, run_id, revision::float8 AS revision, epoch, state
     FROM actor_runs($1, $2, $3)`,
    [project, id, limit],
  );
  const last = rows.at(-1);
  return {
    items: rows.map((row) => ({
      ref: { kind: row.kind, project: row.project_id, id: row.subject_id },
      mark: { run_id: row.run_id, revision: row.revision, epoch: row.epoch, state: row.state },
    })),
    next: rows.length < limit || last === undefined ? null : JSON.stringify([last.project_id, last.id]),
  };
}

function readPosition(text: string): readonly [string, string] {
  const position: unknown = JSON.parse(text);
  const [project, id] = Array.isArray(position) ? (position as unknown[]) : [];
  if (typeof project !== 'string' || typeof id !== 'string') throw new TrustError('request.cursor_invalid');
  return [project, id];
}

/** Of the next page of standings in attestation, the devices whose evidence counts no longer. */
export async function staleStandings(
  store: Store,
  after: DeviceKey | null,
  limit: number,
  now: Date,
): Promise<Sweep<DeviceKey, DeviceKey>> {
  const rows = await store.query<{ project_id: string; device_id: string; stale: boolean; goes_on: boolean }>(
    'SELECT project_id, device_id, stale, goes_on FROM stale_standings($1, $2, $3, $4)',
    [after?.project ?? '', after?.device_id ?? '', limit, now.toISOString()],
  );
  const keyOf = (row: (typeof rows)[number]): DeviceKey => ({ project: row.project_id, device_id: row.device_id });
  const last = rows.at(-1);
  return {
    items: rows.filter(({ stale }) => stale).map(keyOf),
    next: last?.goes_on === true ? keyOf(last) : null,
  };
}

/**
 * Removes what nobody will ask for again, a bounded number of rows.
 *
 * @param options.verdictDays how long verdicts on evidence are kept that moved no standing
 * @returns how many of each kind
 */
export async function prune(
  store: Store,
  now: Date,
  { verdictDays }: { readonly verdictDays: number },
): Promise<Readonly<Record<string, number>>> {
  const [removed] = await store.query<Record<string, number>>(
    `SELECT inbox::float8 AS inbox, idempotency_keys::float8 AS idempotency_keys, sessions::float8 AS sessions,
       totp_uses::float8 AS totp_uses
     FROM prune_lapsed($1, $2)`,
    [now.toISOString(), pruneBatch],
  );
  const before = new Date(now.getTime() - verdictDays * dayMs).toISOString();
  const attestation = { verdicts: 0, commons: 0, bases: 0 };
  for (let step = 1; step <= verdictSteps; step += 1) {
    const [more = { verdicts: 0, commons: 0, bases: 0 }] = await store.query<typeof attestation>(
      `SELECT verdicts::float8 AS verdicts, commons::float8 AS commons, bases::float8 AS bases
       FROM prune_verdicts($1, $2)`,
      [before, pruneBatch],
    );
    attestation.verdicts += more.verdicts;
    attestation.commons += more.commons;
    attestation.bases += more.bases;
    if (more.verdicts < pruneBatch) break;
  }
  return {
    ...removed,
    attestation_verdicts: attestation.verdicts,
    attestation_commons: attestation.commons,
    attestation_bases: attestation.bases,
  };
}
