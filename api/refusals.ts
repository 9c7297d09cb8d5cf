// Writes down refused identities: the first of its kind at once, a flood of the same as one row a minute with a count.
import type { AuditEntry } from '#contracts/audit.ts';
import type { Clock, JsonObject, Log } from '#contracts/deps.ts';
import type { ProblemCode } from '#contracts/problems.ts';
import type { Metrics } from './metrics.ts';

export interface Refused {
  readonly code: ProblemCode;
  readonly project: string;
  /** What the request called itself; anybody can say anything. */
  readonly deviceId: string | null;
  /** Fingerprint of a certificate that an authority of ours vouches for; null when nothing was proven. */
  readonly provenFingerprint: string | null;
  readonly address: string;
  /** The part of the address that limits count by. */
  readonly addressBlock: string;
  readonly requestId: string;
  readonly details?: JsonObject;
}

export interface Refusals {
  /** Resolves when the refusal is written down or counted; never rejects, since the answer is a refusal anyway. */
  record(refused: Refused): Promise<void>;
  /** Writes down what was counted and not written. */
  close(): Promise<void>;
}

export interface RefusalsDeps {
  readonly write: (project: string, entry: AuditEntry) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'refusals' | 'auditFailures'>;
  /** Kinds of refusals that are told apart at a time, and of these from one source; the rest are counted together. */
  readonly maximumKinds?: number;
  readonly maximumKindsOfSource?: number;
}

interface Kind {
  readonly source: string;
  readonly until: number;
  /** Those that came after the one that was written, and the last of them. */
  count: number;
  last: Refused;
}

const windowMs = 60_000;
const sweepMs = 5_000;

export function createRefusals(deps: RefusalsDeps): Refusals {
  const { write, clock, log, metrics, maximumKinds = 10_000, maximumKindsOfSource = 50 } = deps;
  const kinds = new Map<string, Kind>();
  const kindsOfSource = new Map<string, number>();
  const sweeper = setInterval(() => void sweep(clock.now().getTime()), sweepMs);
  sweeper.unref();

  async function record(refused: Refused): Promise<void> {
    metrics.refusals.inc({ code: refused.code });
    const now = clock.now().getTime();
    const source = sourceOf(refused);
    const name = nameOf(refused, source);
    const known = kinds.get(name);
    if (known !== undefined && now < known.until) {
      known.count += 1;
      known.last = refused;
      return;
    }
    forget(name);
    kinds.set(name, { source, until: now + windowMs, count: 0, last: refused });
    kindsOfSource.set(source, (kindsOfSource.get(source) ?? 0) + 1);
    if (known !== undefined) await writeCounted(known);
    await writeEntry(refused, 1);
  }

  /** A claimed name tells kinds apart only until the source has claimed too many. */
  function nameOf(refused: Refused, source: string): string {
    const own = JSON.stringify([source, refused.deviceId]);
    if (kinds.has(own)) return own;
    if (kinds.size >= maximumKinds) return JSON.stringify([refused.code, refused.project]);
    return (kindsOfSource.get(source) ?? 0) < maximumKindsOfSource ? own : source;
  }

  function forget(name: string): void {
    const kind = kinds.get(name);
    if (kind === undefined) return;
    kinds.delete(name);
    const left = (kindsOfSource.get(kind.source) ?? 1) - 1;
    if (left > 0) kindsOfSource.set(kind.source, left);
    else kindsOfSource.delete(kind.source);
  }

  /** Kinds are in the order of their ends. */
  async function sweep(now: number): Promise<void> {
    for (const [name, kind] of kinds) {
      if (kind.until > now) break;
      forget(name);
      await writeCounted(kind);
    }
  }

  async function writeCounted({ count, last }: Kind): Promise<void> {
    if (count > 0) await writeEntry(last, count);
  }

  async function writeEntry(refused: Refused, count: number): Promise<void> {
    try {
      await write(refused.project, entryOf(refused, count, clock.now().toISOString()));
    } catch (error) {
      metrics.auditFailures.inc();
      log.error({ err: error, code: refused.code, count }, 'a refused identity could not be written down');
    }
  }

  return {
    record,
    async close() {
      clearInterval(sweeper);
      await sweep(Number.POSITIVE_INFINITY);
    },
  };
}

/** What nobody can make up at will: a proven certificate, else the place in the network; never a name that was only claimed. */
function sourceOf({ code, project, provenFingerprint, addressBlock }: Refused): string {
  return JSON.stringify([code, project, provenFingerprint ?? addressBlock]);
}

function entryOf(refused: Refused, count: number, now: string): AuditEntry {
  const { code, deviceId, provenFingerprint, address, requestId, details } = refused;
  const id = deviceId ?? provenFingerprint ?? 'unknown';
  return {
    occurred_at: now,
    category: 'identity',
    action: 'heartbeat.refused',
    actor: { kind: 'device', id, ip: address },
    subject: { kind: 'device', id },
    outcome: 'refused',
    details: { code, count, fingerprint_sha256: provenFingerprint, ...details },
    request_id: requestId,
  };
}
