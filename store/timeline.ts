// Everything that happened to a device in one order, the newest first: decisions, the audit trail, and when it fell silent.
import { actorId } from '#contracts/ids.ts';
import type { TimelineKind } from '#contracts/states.ts';
import type { SealedAuditEvent } from './audit.ts';
import type { HistoryRow } from './device.ts';
import type { Page } from './page.ts';
import { toInstant } from './plain.ts';
import type { Store } from './store.ts';
import { type ProjectTransaction, withProject } from './with-project.ts';

/** Of what happened at one moment the later first: it is heard, then decided about, then that is on record. */
const order: readonly TimelineKind[] = ['audit', 'transition', 'heartbeat'];

export type TimelineRow = { readonly at: string; readonly key: readonly [number, number] } & (
  | { readonly kind: 'audit'; readonly audit: SealedAuditEvent }
  | { readonly kind: 'transition'; readonly transition: HistoryRow }
  /** Heard again, or for the first time when it was not silent before. */
  | { readonly kind: 'heartbeat'; readonly silent_since: string | null }
);

export type TimelinePosition = {
  readonly at: string;
  readonly kind: TimelineKind;
  readonly key: readonly [number, number];
};

export interface Silence {
  readonly from: string;
  readonly until: string;
}

interface DeviceRef {
  readonly project: string;
  readonly device_id: string;
}

/** Each kind is read from its own order, as far as the page may need it, and then they are merged. */
export async function listTimeline(
  store: Store,
  { project, device_id }: DeviceRef,
  kinds: readonly TimelineKind[],
  page: Page<TimelinePosition>,
): Promise<readonly TimelineRow[]> {
  const rows = await withProject(store, project, async (tx) => {
    const found: TimelineRow[] = [];
    for (const kind of kinds) found.push(...(await readers[kind](tx, device_id, page)));
    return found;
  });
  return rows.toSorted(newestFirst).slice(0, page.limit);
}

/** Stretches without heartbeats, the newest first: all that ended after `since`, and the newest in any case. */
export async function listSilences(
  store: Store,
  { project, device_id }: DeviceRef,
  since: string,
): Promise<readonly Silence[]> {
  const rows = await withProject(store, project, (tx) =>
    tx.query<{ from_at: string; until_at: string }>(
      `SELECT from_at, until_at FROM device_silence WHERE project_id = $1 AND device_id = $2 AND until_at >= least($3,
         (SELECT max(n.until_at) FROM device_silence n WHERE n.project_id = $1 AND n.device_id = $2))
       ORDER BY until_at DESC`,
      [project, device_id, since],
    ),
  );
  return rows.map(({ from_at, until_at }) => ({ from: toInstant(from_at), until: toInstant(until_at) }));
}

type Reader = (tx: ProjectTransaction, deviceId: string, page: Page<TimelinePosition>) => Promise<TimelineRow[]>;

const readers: Record<TimelineKind, Reader> = {
  async transition(tx, device_id, page) {
    const { condition, values } = beyond('transition', page.after, ['at', 'epoch', 'revision']);
    const id = actorId({ kind: 'device', project: tx.project, id: device_id });
    const rows = await tx.query<Omit<HistoryRow, 'revision'> & { readonly revision: string }>(
      `SELECT epoch, revision, at, event, by, from_state, to_state, details FROM actor_transition
       WHERE project_id = $1 AND actor_id = $2 AND ${condition}
       ORDER BY at DESC, epoch DESC, revision DESC LIMIT $3`,
      [tx.project, id, page.limit, ...values],
    );
    return rows.map((row) => {
      const transition = { ...row, at: toInstant(row.at), revision: Number(row.revision) };
      return { kind: 'transition', at: transition.at, key: [row.epoch, transition.revision], transition };
    });
  },

  /** What is on record about the device, and about the reviews of it. */
  async audit(tx, device_id, page) {
    const { condition, values } = beyond('audit', page.after, ['occurred_at', 'sequence', '0']);
    const columns = `sequence, id, project_id, occurred_at, category, action, actor_kind, actor_id, actor_ip,
      subject_kind, subject_id, outcome, details, request_id, previous_hash, hash, created_at`;
    const about = (subject: string): string => `(SELECT ${columns} FROM audit_event
      WHERE project_id = $1 AND ${subject} AND sequence IS NOT NULL AND ${condition}
      ORDER BY occurred_at DESC, sequence DESC LIMIT $3)`;
    const rows = await tx.query<Omit<SealedAuditEvent, 'sequence'> & { readonly sequence: string }>(
      `SELECT * FROM (
         ${about(`subject_kind = 'device' AND subject_id = $2`)}
         UNION ALL
         SELECT e.* FROM (SELECT id::text AS approval_id FROM approval
           WHERE project_id = $1 AND subject_kind = 'device' AND subject_id = $2) a
         CROSS JOIN LATERAL ${about(`subject_kind = 'approval' AND subject_id = a.approval_id`)} e
       ) found ORDER BY occurred_at DESC, sequence DESC LIMIT $3`,
      [tx.project, device_id, page.limit, ...values],
    );
    return rows.map((row) => {
      const sequence = Number(row.sequence);
      const [occurred_at, created_at] = [toInstant(row.occurred_at), toInstant(row.created_at)];
      return {
        kind: 'audit',
        at: occurred_at,
        key: [sequence, 0],
        audit: { ...row, sequence, occurred_at, created_at },
      };
    });
  },

  async heartbeat(tx, device_id, page) {
    const { condition, values } = beyond('heartbeat', page.after, ['at', '0', '0']);
    const rows = await tx.query<{ at: string; silent_since: string | null }>(
      `SELECT * FROM (
         SELECT until_at AS at, from_at AS silent_since FROM device_silence WHERE project_id = $1 AND device_id = $2
         UNION ALL
         SELECT first_seen_at, NULL FROM device_liveness WHERE project_id = $1 AND device_id = $2
       ) heard WHERE ${condition} ORDER BY at DESC LIMIT $3`,
      [tx.project, device_id, page.limit, ...values],
    );
    return rows.map(({ at, silent_since }) => ({
      kind: 'heartbeat',
      at: toInstant(at),
      key: [0, 0],
      silent_since: silent_since && toInstant(silent_since),
    }));
  },
};

/** What comes after a position among the rows of one kind; bound from the fourth value on. */
function beyond(
  kind: TimelineKind,
  after: TimelinePosition | null,
  [at, first, second]: readonly [string, string, string],
): { readonly condition: string; readonly values: readonly unknown[] } {
  if (after === null) return { condition: 'true', values: [] };
  if (kind === after.kind) {
    return {
      condition: `(${at}, ${first}, ${second}) < ($4, $5::bigint, $6::bigint)`,
      values: [after.at, ...after.key],
    };
  }
  const isLater = order.indexOf(kind) > order.indexOf(after.kind);
  return { condition: `${at} ${isLater ? '<=' : '<'} $4`, values: [after.at] };
}

function newestFirst(one: TimelineRow, other: TimelineRow): number {
  if (one.at !== other.at) return one.at < other.at ? 1 : -1;
  if (one.kind !== other.kind) return order.indexOf(one.kind) - order.indexOf(other.kind);
  return other.key[0] - one.key[0] || other.key[1] - one.key[1];
}
