// The audit trail and the outbox: written in the transaction of the change, read by the numbers that the sealer gives.
import { type AuditEntry, eventTypes, type OutboxEntry } from '#contracts/audit.ts';
import type { Json, JsonObject } from '#contracts/deps.ts';
import { defaultProject } from '#contracts/ids.ts';
import { TrustError } from '#contracts/problems.ts';
import type { AuditCategory, AuditStream, Outcome } from '#contracts/states.ts';
import { AuditEvent, AuditHead, OutboxEvent } from './entities/audit.ts';
import { isContention, isDatabaseError, isDataError } from './errors.ts';
import type { Page } from './page.ts';
import { plain, toInstant } from './plain.ts';
import type { Store } from './store.ts';
import { type ProjectStatements, withProject } from './with-project.ts';

/** An event as it is hashed: everything but its place in the chain. */
export interface CanonicalAudit {
  readonly id: string;
  readonly project_id: string;
  readonly occurred_at: string;
  readonly category: string;
  readonly action: string;
  readonly actor_kind: string;
  readonly actor_id: string;
  readonly actor_ip: string | null;
  readonly subject_kind: string;
  readonly subject_id: string;
  readonly outcome: string;
  readonly details: JsonObject;
  readonly request_id: string | null;
  readonly created_at: string;
}

export interface CanonicalOutbox {
  readonly id: string;
  readonly project_id: string;
  readonly occurred_at: string;
  readonly type: string;
  readonly subject_kind: string;
  readonly subject_id: string;
  readonly data: JsonObject;
  readonly created_at: string;
}

/**
 * Writes audit events and what goes out of them. Every audit action goes out: a dotted event type under its own name,
 * anything else as `audit.<category>.<action>`.
 *
 * @param records.outbox events that go out with data of their own; an audit event of that type is not derived again
 */
export async function record(
  tx: ProjectStatements,
  records: { readonly audit: readonly AuditEntry[]; readonly outbox?: readonly OutboxEntry[] },
): Promise<void> {
  const { audit, outbox = [] } = records;
  const given = new Map<string, number>();
  for (const event of outbox) given.set(nameOf(event), (given.get(nameOf(event)) ?? 0) + 1);
  const derived = audit.map(toOutbox).filter((event) => {
    const left = given.get(nameOf(event)) ?? 0;
    given.set(nameOf(event), left - 1);
    return left <= 0;
  });
  try {
    await insertAudit(tx, audit);
    await insertOutbox(tx, [...outbox, ...derived]);
  } catch (error) {
    throw asUnwritable(error);
  }
  if (audit.length + outbox.length > 0) await tx.query(`SELECT pg_notify('sentinel_seal', '')`);
}

/** Events that fit and are not taken are no mistake of whoever writes them: a later attempt may succeed, and nothing is done until then. */
function asUnwritable(error: unknown): unknown {
  if (!isDatabaseError(error) || isDataError(error) || isContention(error)) return error;
  return new TrustError('service.unavailable', { detail: unwritable, cause: error });
}

/**
 * Whether audit events can be written now: one is, and taken back.
 *
 * @param now of the event
 */
export async function isAuditWritable(store: Store, now: string): Promise<boolean> {
  const undone = new Error('taken back');
  const attempt = withProject(store, defaultProject, async (tx) => {
    await record(tx, { audit: [{ ...probe, occurred_at: now }] });
    throw undone;
  });
  return await attempt.catch((error: unknown) => error === undone);
}

const unwritable = 'The audit trail cannot be written, so nothing was changed';
const probe: Omit<AuditEntry, 'occurred_at'> = {
  category: 'audit',
  action: 'probe',
  actor: { kind: 'system', id: 'api' },
  subject: { kind: 'audit', id: defaultProject },
  outcome: 'success',
  details: {},
  request_id: null,
};

function nameOf({ type, subject }: OutboxEntry): string {
  return JSON.stringify([type, subject.kind, subject.id]);
}

function toOutbox(entry: AuditEntry): OutboxEntry {
  const { occurred_at, category, action, actor, subject, outcome, details, request_id } = entry;
  const isEvent = (eventTypes as readonly string[]).includes(action);
  return {
    occurred_at,
    type: isEvent ? (action as OutboxEntry['type']) : `audit.${category}.${action}`,
    subject,
    data: isEvent ? details : { actor: { kind: actor.kind, id: actor.id }, outcome, details, request_id },
  };
}

async function insertAudit(tx: ProjectStatements, entries: readonly AuditEntry[]): Promise<void> {
  if (entries.length === 0) return;
  const { project, store } = tx;
  const created_at = store.clock.now().toISOString();
  const rows = entries.map((entry): CanonicalAudit => ({
    id: store.random.uuid(),
    project_id: project,
    occurred_at: toInstant(entry.occurred_at),
    category: entry.category,
    action: entry.action,
    actor_kind: entry.actor.kind,
    actor_id: entry.actor.id,
    actor_ip: entry.actor.ip ?? null,
    subject_kind: entry.subject.kind,
    subject_id: entry.subject.id,
    outcome: entry.outcome,
    details: entry.details,
    request_id: entry.request_id,
    created_at,
  }));
  await tx.query(
    `INSERT INTO audit_event (project_id, id, occurred_at, category, action, actor_kind, actor_id, actor_ip,
       subject_kind, subject_id, outcome, details, request_id, created_at, canonical)
     SELECT e.project_id, e.id, e.occurred_at, e.category, e.action, e.actor_kind, e.actor_id, e.actor_ip,
       e.subject_kind, e.subject_id, e.outcome, e.details, e.request_id, e.created_at, e.canonical
     FROM ROWS FROM (
       jsonb_to_recordset($1) AS (project_id text, id uuid, occurred_at timestamptz, category text, action text,
         actor_kind text, actor_id text, actor_ip text, subject_kind text, subject_id text, outcome text,
         details jsonb, request_id text, created_at timestamptz),
       unnest($2::bytea[])
     ) WITH ORDINALITY AS e (project_id, id, occurred_at, category, action, actor_kind, actor_id, actor_ip,
       subject_kind, subject_id, outcome, details, request_id, created_at, canonical, place)
     ORDER BY e.place`,
    [JSON.stringify(rows), rows.map((row) => canonicalOf(store, row))],
  );
}

async function insertOutbox(tx: ProjectStatements, entries: readonly OutboxEntry[]): Promise<void> {
  if (entries.length === 0) return;
  const { project, store } = tx;
  const created_at = store.clock.now().toISOString();
  const rows = entries.map(({ occurred_at, type, subject, data }): CanonicalOutbox => ({
    id: store.random.uuid(),
    project_id: project,
    occurred_at: toInstant(occurred_at),
    type,
    subject_kind: subject.kind,
    subject_id: subject.id,
    data,
    created_at,
  }));
  await tx.query(
    `INSERT INTO outbox_event (project_id, id, occurred_at, type, subject_kind, subject_id, data, created_at, canonical)
     SELECT e.project_id, e.id, e.occurred_at, e.type, e.subject_kind, e.subject_id, e.data, e.created_at, e.canonical
     FROM ROWS FROM (
       jsonb_to_recordset($1) AS (project_id text, id uuid, occurred_at timestamptz, type text, subject_kind text,
         subject_id text, data jsonb, created_at timestamptz),
       unnest($2::bytea[])
     ) WITH ORDINALITY AS e (project_id, id, occurred_at, type, subject_kind, subject_id, data, created_at, canonical,
       place)
     ORDER BY e.place`,
    [JSON.stringify(rows), rows.map((row) => canonicalOf(store, row))],
  );
}

/** The bytes that are stored, hashed and later compared with the columns. */
export function canonicalOf(store: Pick<Store, 'canonicalBytes'>, row: CanonicalAudit | CanonicalOutbox): Buffer {
  return Buffer.from(store.canonicalBytes(row as unknown as Json));
}

/** An audit event with its place in the chain. */
export interface SealedAuditEvent extends CanonicalAudit {
  readonly sequence: number;
  readonly previous_hash: string;
  readonly hash: string;
}

export interface AuditFilter {
  readonly category?: AuditCategory;
  readonly action?: string;
  readonly actor_id?: string;
  readonly subject_kind?: string;
  readonly subject_id?: string;
  readonly outcome?: Outcome;
  readonly since?: string;
  readonly until?: string;
  readonly order?: 'newest' | 'oldest';
}

/** Lists sealed events by their sequence, newest first unless asked otherwise. Unsealed ones have no place yet. */
export async function listAudit(
  store: Store,
  project: string,
  filter: AuditFilter,
  page: Page<number>,
): Promise<readonly SealedAuditEvent[]> {
  const { since, until, order = 'newest', ...equal } = filter;
  const descending = order === 'newest';
  const rows = await withProject(store, project, (tx) =>
    tx.entities.find(
      AuditEvent,
      {
        ...equal,
        project_id: project,
        sequence: descending && page.after !== null ? { $lt: page.after } : { $gt: page.after ?? 0 },
        ...(since === undefined && until === undefined
          ? {}
          : {
              occurred_at: {
                ...(since === undefined ? {} : { $gte: since }),
                ...(until === undefined ? {} : { $lt: until }),
              },
            }),
      },
      { orderBy: { sequence: descending ? 'desc' : 'asc' }, limit: page.limit },
    ),
  );
  return rows.map((row) => plain<SealedAuditEvent>(row));
}

export interface SealedOutboxEvent extends CanonicalOutbox {
  readonly sequence: number;
}

/** Lists what went out after a sequence, oldest first: how every consumer follows the outbox. */
export async function listOutbox(
  store: Store,
  project: string,
  page: { readonly after: number; readonly limit: number },
): Promise<readonly SealedOutboxEvent[]> {
  const rows = await withProject(store, project, (tx) =>
    tx.entities.find(
      OutboxEvent,
      { project_id: project, sequence: { $gt: page.after } },
      { orderBy: { sequence: 'asc' }, limit: page.limit },
    ),
  );
  return rows.map((row) => plain<SealedOutboxEvent>(row));
}

/** The last sequence of a chain; 0 before the first. */
export async function headSequence(store: Store, project: string, stream: AuditStream): Promise<number> {
  const head = await withProject(store, project, (tx) =>
    tx.entities.findOne(AuditHead, { project_id: project, stream }),
  );
  return head?.sequence ?? 0;
}

/** Writes one audit event by itself, for what changed nothing else: a refusal. */
export async function recordAlone(store: Store, project: string, entry: AuditEntry): Promise<void> {
  await withProject(store, project, (tx) => record(tx, { audit: [entry] }));
}

/** How long the oldest event of any project has waited for its place. */
export async function sealLagSeconds(store: Store, now: string): Promise<number> {
  const [row] = await store.query<{ seconds: number }>('SELECT seal_lag_seconds($1) AS seconds', [now]);
  if (row === undefined) throw new TypeError('the function returns a row');
  return row.seconds;
}
