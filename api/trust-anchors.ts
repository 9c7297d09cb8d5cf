// The authorities that identify devices, with the project of each: read from the store, and again every few seconds.
import type { Log } from '#contracts/deps.ts';
import { parseTrustAnchors, type TrustAnchor } from '#protocols/device-certificate.ts';
import type { TrustAnchorRow } from '#store/trust-anchor.ts';

/** One state of the authorities. What was verified against another one has to be verified again. */
export interface AnchorSet {
  readonly anchors: readonly TrustAnchor[];
  readonly projectOf: ReadonlyMap<string, string>;
  /** For the TLS handshake, which names them so that clients choose the right certificate. */
  readonly pems: readonly string[];
}

export interface TrustAnchors {
  current(): AnchorSet;
  /** Reads them now. */
  refresh(): Promise<void>;
  close(): void;
}

export interface TrustAnchorsDeps {
  readonly list: () => Promise<readonly TrustAnchorRow[]>;
  readonly onChange: (set: AnchorSet) => void;
  readonly log: Log;
  readonly refreshMs?: number;
}

const nobody: AnchorSet = { anchors: [], projectOf: new Map(), pems: [] };

/** Begins with no authority at all: until they have been read, every certificate is refused. */
export function createTrustAnchors({ list, onChange, log, refreshMs = 5000 }: TrustAnchorsDeps): TrustAnchors {
  let set = nobody;
  let known = '';
  let refreshing: Promise<void> | null = null;

  async function read(): Promise<void> {
    const rows = await list();
    const version = JSON.stringify(rows.map(({ project_id, fingerprint_sha256 }) => [project_id, fingerprint_sha256]));
    if (version === known) return;
    set = toSet(rows, log);
    known = version;
    onChange(set);
    log.info({ anchors: set.anchors.length }, 'the trust anchors were read');
  }

  const refresh = (): Promise<void> => (refreshing ??= read().finally(() => (refreshing = null)));
  const timer = setInterval(() => {
    // What was read last stays in force: without the store no heartbeat is accepted anyway.
    void refresh().catch((error: unknown) => log.warn({ err: error }, 'the trust anchors could not be read'));
  }, refreshMs);
  timer.unref();
  return { current: () => set, refresh, close: () => clearInterval(timer) };
}

/** One authority that cannot be read any more must not take the others with it; it identifies nobody. */
function toSet(rows: readonly TrustAnchorRow[], log: Log): AnchorSet {
  const read = rows.flatMap((row) => {
    try {
      return parseTrustAnchors(row.pem).map((anchor) => ({ anchor, row }));
    } catch (error) {
      log.error(
        { err: error, project: row.project_id, fingerprint: row.fingerprint_sha256 },
        'a trust anchor is refused',
      );
      return [];
    }
  });
  return {
    anchors: read.map(({ anchor }) => anchor),
    projectOf: new Map(read.map(({ anchor, row }) => [anchor.fingerprint, row.project_id])),
    pems: read.map(({ row }) => row.pem),
  };
}
