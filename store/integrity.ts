// Whether the audit trail is whole: every hash, link, number and column of a project's chains, and what signed checkpoints say of them.
import type { Checkpoint, IntegrityReport } from '#contracts/audit.ts';
import { auditStreams, type AuditStream } from '#contracts/states.ts';
import { canonicalOf, type CanonicalAudit, type CanonicalOutbox } from './audit.ts';
import { chainHash, firstHash } from './chain.ts';
import { toInstant } from './plain.ts';
import { chainTables, hashesAt } from './sealer.ts';
import type { Store } from './store.ts';
import { withProject } from './with-project.ts';

export interface VerifyOptions {
  /** From the start, and not only from the newest checkpoint. */
  readonly full: boolean;
  /** Whose signature was verified with a key from outside the database, newest first. */
  readonly checkpoints: readonly Checkpoint[];
  /** What is wrong with the checkpoints themselves, in words; the trail is not valid then. */
  readonly complaint: string | null;
  readonly signal: AbortSignal;
}

/** Events that are looked at in one transaction. */
const pageSize = 1_000;
const sealPollMs = 25;

/** A break in a chain. */
interface Finding {
  readonly sequence: number;
  readonly reason: string;
}

interface ChainReport {
  readonly checked: number;
  readonly from: number;
  readonly head: number;
  /** What the newest checkpoint that knows the chain says of it. */
  readonly newest: Signed | null;
  readonly finding: Finding | null;
}

/**
 * Verifies both chains of a project. What is not whole is reported, never thrown; what is thrown means that nothing is
 * known.
 *
 * @throws TrustError `service.unavailable`; the signal's reason when it takes too long
 */
export async function verifyAudit(store: Store, project: string, options: VerifyOptions): Promise<IntegrityReport> {
  const audit = await verifyChain(store, project, 'audit', options);
  const outbox = await verifyChain(store, project, 'outbox', options);
  const reasons = [
    audit.finding?.reason,
    outbox.finding && `Events going out: ${outbox.finding.reason}`,
    options.complaint,
  ];
  const reason = reasons.filter((text) => typeof text === 'string').join(' ');
  return {
    valid: reason === '',
    checked: audit.checked,
    verified_from: audit.from,
    head_sequence: audit.head,
    unsealed: await countUnsealed(store, project),
    checkpoint: audit.newest && {
      sequence: audit.newest.sequence,
      at: audit.newest.at,
      key_id: audit.newest.key_id,
    },
    first_broken_sequence: audit.finding?.sequence ?? null,
    reason: reason === '' ? null : reason,
  };
}

interface Signed {
  readonly sequence: number;
  readonly hash: string;
  readonly at: string;
  readonly key_id: string;
}

/** What the checkpoints say of one chain, newest first. */
function signedOf(checkpoints: readonly Checkpoint[], project: string, stream: AuditStream): readonly Signed[] {
  return checkpoints
    .flatMap(({ at, key_id, heads }) =>
      heads
        .filter((head) => head.project_id === project && head.stream === stream)
        .map(({ sequence, hash }) => ({ sequence, hash, at, key_id })),
    )
    .toSorted((one, other) => other.sequence - one.sequence);
}

async function verifyChain(
  store: Store,
  project: string,
  stream: AuditStream,
  { full, checkpoints, signal }: VerifyOptions,
): Promise<ChainReport> {
  const head = await readHead(store, project, stream);
  const signed = signedOf(checkpoints, project, stream);
  const from = full ? 1 : Math.max(1, Math.min(signed[0]?.sequence ?? 1, head.sequence));
  const to = Math.min(head.sequence, head.last);
  const walked = await walk(store, { project, stream, from, to, signal });
  const findings = [
    walked.finding,
    compareHead(head, walked.last),
    findCut(head.sequence, signed),
    await findRewritten(
      store,
      project,
      stream,
      signed.filter(({ sequence }) => sequence <= head.sequence),
    ),
  ];
  return {
    checked: walked.checked,
    from,
    head: head.sequence,
    newest: signed[0] ?? null,
    finding: earliest(findings),
  };
}

/** Where it begins is what the report names; of two about the same event the first says more. */
function earliest(findings: readonly (Finding | null)[]): Finding | null {
  return (
    findings.filter((finding) => finding !== null).toSorted((one, other) => one.sequence - other.sequence)[0] ?? null
  );
}

function findCut(head: number, signed: readonly Signed[]): Finding | null {
  const [newest] = signed;
  if (newest === undefined || newest.sequence <= head) return null;
  return {
    sequence: head + 1,
    reason: `The chain ends at ${head}, and the checkpoint of ${newest.at} knows event ${newest.sequence}: its end was cut off.`,
  };
}

interface Head {
  readonly sequence: number;
  readonly hash: string;
  /** The last number that an event has. */
  readonly last: number;
}

/** @param last hash of the last event, where it is known */
function compareHead(head: Head, last: string | null): Finding | null {
  if (head.last !== head.sequence) {
    const reason = `The head of the chain says ${head.sequence}, and its last event is ${head.last}.`;
    return { sequence: Math.min(head.last, head.sequence) + 1, reason };
  }
  if (last === null || last === head.hash) return null;
  return { sequence: head.sequence, reason: 'The head of the chain has another hash than its last event.' };
}

/** In one snapshot, since the sealer is at work. */
async function readHead(store: Store, project: string, stream: AuditStream): Promise<Head> {
  const [row] = await withProject(store, project, (tx) =>
    tx.query<Head>(
      `SELECT coalesce(h.sequence, 0)::float8 AS sequence, coalesce(h.hash, $3) AS hash,
         coalesce((SELECT max(e.sequence) FROM ${chainTables[stream]} e WHERE e.project_id = $1), 0)::float8 AS last
       FROM (SELECT) one LEFT JOIN audit_head h ON h.project_id = $1 AND h.stream = $2`,
      [project, stream, firstHash],
    ),
  );
  if (row === undefined) throw new TypeError('a chain has a head or none');
  return row;
}

async function findRewritten(
  store: Store,
  project: string,
  stream: AuditStream,
  signed: readonly Signed[],
): Promise<Finding | null> {
  const hashes = await withProject(store, project, (tx) =>
    hashesAt(
      tx,
      stream,
      signed.map(({ sequence }) => sequence),
    ),
  );
  const wrong = signed.findLast(({ sequence, hash }) => hashes.get(sequence) !== hash);
  if (wrong === undefined) return null;
  return {
    sequence: wrong.sequence,
    reason: `Event ${wrong.sequence} is not the one that the checkpoint of ${wrong.at} names: history before it was rewritten.`,
  };
}

interface Walk {
  readonly project: string;
  readonly stream: AuditStream;
  readonly from: number;
  readonly to: number;
  readonly signal: AbortSignal;
}

interface Walked {
  readonly checked: number;
  /** Hash of the last event; null when it is not known. */
  readonly last: string | null;
  readonly finding: Finding | null;
}

async function walk(store: Store, { project, stream, from, to, signal }: Walk): Promise<Walked> {
  let checked = 0;
  // What the first one is linked to is only known where the chain begins.
  let previous = from === 1 ? firstHash : null;
  while (from + checked <= to) {
    signal.throwIfAborted();
    const first = from + checked;
    const rows = await readPage(store, project, stream, first, Math.min(to, first + pageSize - 1));
    for (const [index, row] of rows.entries()) {
      const sequence = first + index;
      const reason = judge(store, { project, stream, sequence, previous }, row);
      if (reason !== null) return { checked, last: null, finding: { sequence, reason } };
      previous = row.hash;
      checked += 1;
    }
    if (rows.length === 0) {
      return { checked, last: null, finding: { sequence: first, reason: `Event ${first} is missing.` } };
    }
  }
  return { checked, last: previous, finding: null };
}

interface ChainRow {
  readonly sequence: number;
  readonly previous_hash: string;
  readonly hash: string;
  readonly canonical: Buffer;
  /** What the columns say, with times as the driver gives them. */
  readonly said: CanonicalAudit | CanonicalOutbox;
}

/** What is wrong with an event in its place; null when nothing is. */
function judge(
  store: Store,
  {
    project,
    stream,
    sequence,
    previous,
  }: { project: string; stream: AuditStream; sequence: number; previous: string | null },
  row: ChainRow,
): string | null {
  if (row.sequence !== sequence) return `Event ${sequence} is missing.`;
  if (previous !== null && row.previous_hash !== previous)
    return `Event ${sequence} is not linked to the one before it.`;
  const link = { stream, project, sequence, previous_hash: row.previous_hash };
  if (chainHash(link, row.canonical) !== row.hash) return `The hash of event ${sequence} is not that of its content.`;
  if (!saysWhatWasSealed(store, row)) {
    return `The columns of event ${sequence} say something else than what was sealed.`;
  }
  return null;
}

function saysWhatWasSealed(store: Store, { said, canonical }: ChainRow): boolean {
  try {
    const times = { occurred_at: toInstant(said.occurred_at), created_at: toInstant(said.created_at) };
    return canonicalOf(store, { ...said, ...times }).equals(canonical);
  } catch {
    // No event that was written has a time without end, or a number without bound: nobody may hide behind one.
    return false;
  }
}

const columns = {
  audit: `id, project_id, occurred_at, category, action, actor_kind, actor_id, actor_ip, subject_kind, subject_id,
    outcome, details, request_id, created_at`,
  outbox: 'id, project_id, occurred_at, type, subject_kind, subject_id, data, created_at',
} as const satisfies Record<AuditStream, string>;

async function readPage(
  store: Store,
  project: string,
  stream: AuditStream,
  first: number,
  last: number,
): Promise<readonly ChainRow[]> {
  type Raw = Omit<ChainRow, 'said'> & (CanonicalAudit | CanonicalOutbox);
  const rows = await withProject(store, project, (tx) =>
    tx.query<Raw>(
      `SELECT sequence::float8 AS sequence, previous_hash, hash, canonical, ${columns[stream]}
       FROM ${chainTables[stream]} WHERE project_id = $1 AND sequence BETWEEN $2 AND $3 ORDER BY sequence`,
      [project, first, last],
    ),
  );
  return rows.map(({ sequence, previous_hash, hash, canonical, ...said }) => ({
    sequence,
    previous_hash,
    hash,
    canonical,
    said,
  }));
}

async function countUnsealed(store: Store, project: string): Promise<number> {
  const [row] = await withProject(store, project, (tx) =>
    tx.query<{ count: number }>(
      'SELECT count(*)::integer AS count FROM audit_event WHERE project_id = $1 AND sequence IS NULL',
      [project],
    ),
  );
  return row?.count ?? 0;
}

/**
 * Asks the sealer to seal, and waits until everything is that is there now.
 *
 * @param withinMs after which it gives up waiting; the report then says how many have no place
 */
export async function sealPending(store: Store, project: string, withinMs: number, signal: AbortSignal): Promise<void> {
  await store.query(`SELECT pg_notify('sentinel_seal', '')`);
  const deadline = performance.now() + withinMs;
  const last = await lastUnsealed(store, project);
  while (await isUnsealed(store, project, last)) {
    signal.throwIfAborted();
    if (performance.now() >= deadline) return;
    await new Promise((resolve) => setTimeout(resolve, sealPollMs));
  }
}

/** Position of the last event without a place, by stream; a stream that has none is left out. */
async function lastUnsealed(store: Store, project: string): Promise<ReadonlyMap<AuditStream, number>> {
  return withProject(store, project, async (tx) => {
    const positions = new Map<AuditStream, number>();
    for (const stream of auditStreams) {
      const [row] = await tx.query<{ last: number | null }>(
        `SELECT max(position)::float8 AS last FROM ${chainTables[stream]} WHERE project_id = $1 AND sequence IS NULL`,
        [project],
      );
      if (typeof row?.last === 'number') positions.set(stream, row.last);
    }
    return positions;
  });
}

/** Whether any event up to these positions still has no place; what came later does not count. */
async function isUnsealed(store: Store, project: string, upTo: ReadonlyMap<AuditStream, number>): Promise<boolean> {
  return withProject(store, project, async (tx) => {
    for (const [stream, position] of upTo) {
      const rows = await tx.query(
        `SELECT FROM ${chainTables[stream]} WHERE project_id = $1 AND sequence IS NULL AND position <= $2 LIMIT 1`,
        [project, position],
      );
      if (rows.length > 0) return true;
    }
    return false;
  });
}
