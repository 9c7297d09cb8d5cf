// The manufacturers of TPMs that the settings name by files: the rules that evidence is judged by follow each change of these.
import type { AttestationBasis } from '#contracts/attestation.ts';
import type { AuditEntry } from '#contracts/audit.ts';
import type { Log } from '#contracts/deps.ts';
import { defaultProject } from '#contracts/ids.ts';
import { TrustError } from '#contracts/problems.ts';
import { parseEndorsementRoots } from '#protocols/endorsement.ts';
import { fileVersion, readAtMost } from './read-file.ts';

export interface EndorsementRoots {
  /** By what evidence is judged now: the same object until one of the files has changed. */
  basis(): AttestationBasis;
  /** Looks at the files now. */
  refresh(): Promise<void>;
  close(): void;
}

export interface RootsChange {
  /** Of the file among those of the setting, from 1. */
  readonly position: number;
  /** Of the certificates that count now. */
  readonly fingerprints: readonly string[];
  /** Why the file vouches for nobody, in words that name no path; null when it can be relied on. */
  readonly problem: string | null;
}

export interface EndorsementRootsDeps {
  /** SENTINEL_ATTESTATION_TRUSTED_ENDORSEMENT_ROOT_PATHS. */
  readonly paths: readonly string[];
  /** With what the files held at the start, one after the other. */
  readonly basis: AttestationBasis;
  readonly onChange: (change: RootsChange) => void;
  readonly log: Pick<Log, 'info' | 'error'>;
  readonly refreshMs?: number;
}

interface RootFile {
  readonly path: string;
  readonly position: number;
  /** What the file looked like when it was read; null before it was. */
  form: string | null;
  /** What it looked like a moment ago: one that is being written or replaced serves as it was. */
  seen: string | null;
  /** Nothing while it cannot be relied on: it vouches for nobody then, as who took it away may have meant. */
  text: string;
  problem: string | null;
}

const maximumBytes = 1024 * 1024;

export function createEndorsementRoots(deps: EndorsementRootsDeps): EndorsementRoots {
  const { paths, log, refreshMs = 2_000 } = deps;
  let { basis } = deps;
  const files = paths.map((path, index): RootFile => ({
    ...{ path, position: index + 1, form: null, seen: null, problem: null },
    text: basis.endorsement_roots[index] ?? '',
  }));
  let refreshing: Promise<void> | null = null;

  async function look(file: RootFile): Promise<void> {
    const form = (await fileVersion(file.path)) ?? 'missing';
    if (form === file.form) return;
    if (form !== file.seen) {
      file.seen = form;
      return;
    }
    file.form = form;
    const { text, problem, fingerprints } = await read(file.path);
    if (text === file.text && problem === file.problem) return;
    file.text = text;
    file.problem = problem;
    basis = { ...basis, endorsement_roots: files.map((each) => each.text) };
    if (problem === null)
      log.info({ path: file.path, fingerprints }, 'the manufacturers of TPMs that are trusted changed');
    else log.error({ path: file.path, problem }, 'a file of trusted manufacturers vouches for nobody');
    deps.onChange({ position: file.position, fingerprints, problem });
  }

  async function lookAtAll(): Promise<void> {
    for (const file of files) await look(file);
  }

  const refresh = (): Promise<void> => (refreshing ??= lookAtAll().finally(() => (refreshing = null)));
  const timer =
    paths.length === 0
      ? undefined
      : setInterval(() => {
          void refresh().catch((error: unknown) =>
            log.error({ err: error }, 'the files of trusted manufacturers were not looked at'),
          );
        }, refreshMs);
  timer?.unref();
  return { basis: () => basis, refresh, close: () => clearInterval(timer) };
}

/** What the trail says of a change. @param now RFC 3339 */
export function rootsChanged({ position, fingerprints, problem }: RootsChange, now: string): AuditEntry {
  return {
    occurred_at: now,
    category: 'operations',
    action: problem === null ? 'attestation.roots_changed' : 'attestation.roots_unavailable',
    actor: { kind: 'system', id: 'attestation' },
    subject: { kind: 'project', id: defaultProject },
    outcome: problem === null ? 'success' : 'failed',
    details: { setting: 'SENTINEL_ATTESTATION_TRUSTED_ENDORSEMENT_ROOT_PATHS', file: position, fingerprints, problem },
    request_id: null,
  };
}

async function read(path: string): Promise<Omit<RootsChange, 'position'> & { readonly text: string }> {
  try {
    const text = Buffer.from(await readAtMost(path, maximumBytes, tooLarge)).toString('utf8');
    const fingerprints = parseEndorsementRoots(text).map(({ certificate }) => certificate.fingerprintSha256);
    return { text, problem: null, fingerprints };
  } catch (error) {
    return { text: '', problem: error instanceof TrustError ? error.message : 'it cannot be read', fingerprints: [] };
  }
}

const tooLarge = (): TrustError => new TrustError('trust_anchor.invalid', { detail: 'it is too large' });
