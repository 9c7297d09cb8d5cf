// The revocation lists that the settings name: read at start and whenever their files change, and asked for every heartbeat.
import type { Clock, Log } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { authorityId, type Certificate } from '#protocols/certificate.ts';
import { type VerifiedCertificate } from '#protocols/device-certificate.ts';
import { isCurrent, maximumListBytes, requireNotListed, type RevocationList } from '#protocols/crl.ts';
import { fileVersion, readAtMost } from './read-file.ts';

export interface RevocationLists {
  /**
   * @throws TrustError `certificate.revoked` | `certificate.crl_unavailable`; never when no list is configured
   */
  require(certificate: VerifiedCertificate, now: Date): true;
  /** What was read last. */
  current(): readonly RevocationList[];
  state(now: Date): RevocationListsState;
  /** Looks at the files now. */
  refresh(): Promise<void>;
  close(): void;
}

export interface RevocationListsState {
  readonly files: number;
  /** Files whose lists cannot be relied on, and why; in words that name no path. */
  readonly problems: readonly string[];
  /** Issuers whose lists are no longer, or not yet, current. */
  readonly outdated: readonly string[];
  /** Lists that a file holds now, and that are older than one of the same authority that it held before. */
  readonly older: readonly OlderList[];
  /** When the first of the current lists ends; null when there is none. */
  readonly nextUpdate: string | null;
}

export interface OlderList {
  readonly found: RevocationList;
  /** The newer one, which stays in force. */
  readonly kept: RevocationList;
}

export interface RevocationListsDeps {
  readonly paths: readonly string[];
  /** Authorities that may say what is revoked. */
  readonly issuers: () => readonly Certificate[];
  readonly read: (
    bytes: Uint8Array<ArrayBuffer>,
    issuers: readonly Certificate[],
  ) => Promise<readonly RevocationList[]>;
  /** Told of every change of what is listed. */
  readonly onChange: () => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly refreshMs?: number;
}

interface ListFile {
  readonly path: string;
  /** What the file and the authorities looked like when it was read. */
  version: string | null;
  /** What the file looked like a moment ago: one that is being written is not read yet. */
  seen: string | null;
  /** Null while the file cannot be relied on. */
  lists: readonly RevocationList[] | null;
  /** What its lists were of when it could be read last; null when it never could. */
  authorities: ReadonlySet<string> | null;
  /** The newest that it has held of each authority and scope, also while it cannot be relied on. */
  newest: readonly RevocationList[];
  older: readonly OlderList[];
  problem: string | null;
}

export function createRevocationLists(deps: RevocationListsDeps): RevocationLists {
  const { paths, issuers, clock, log, refreshMs = 5_000 } = deps;
  const files: ListFile[] = paths.map((path) => ({
    path,
    version: null,
    seen: null,
    lists: null,
    authorities: null,
    newest: [],
    older: [],
    problem: 'was not read yet',
  }));
  let byAuthority: ReadonlyMap<string, readonly RevocationList[]> = new Map();
  let refreshing: Promise<void> | null = null;

  async function look(file: ListFile): Promise<boolean> {
    const form = await fileVersion(file.path);
    if (form === null) return setProblem(file, 'is not there');
    const trusted = issuers();
    const version = `${form}/${trusted.map(authorityId).join()}`;
    if (version === file.version) return false;
    // Somebody may be writing it; what was read before serves until it has been the same twice.
    if (file.lists !== null && form !== file.seen) {
      file.seen = form;
      return false;
    }
    try {
      const lists = await deps.read(await readAtMost(file.path, maximumListBytes, tooLarge), trusted);
      file.older = lists.flatMap((found) => olderThan(found, file.newest));
      for (const { found, kept } of file.older)
        log.warn(
          { path: file.path, found: describe(found), kept: describe(kept) },
          'a revocation list is older than one that was there before, which stays in force',
        );
      file.lists = lists.map((found) => olderThan(found, file.newest)[0]?.kept ?? found);
      file.newest = [
        ...file.lists,
        ...file.newest.filter((before) => !file.lists?.some((list) => isOfSame(list, before))),
      ];
      file.authorities = new Set(lists.map(({ authority }) => authority));
      file.problem = null;
      log.info({ path: file.path, lists: file.lists.map(describe) }, 'revocation lists were read');
      return true;
    } catch (error) {
      log.error({ err: error, path: file.path }, 'a revocation list cannot be read');
      return setProblem(file, error instanceof TrustError ? error.message : 'cannot be read');
    } finally {
      file.version = version;
      file.seen = form;
    }
  }

  function setProblem(file: ListFile, problem: string): boolean {
    if (file.problem !== problem) log.error({ path: file.path, problem }, 'a revocation list cannot be relied on');
    const changed = file.lists !== null;
    file.version = null;
    file.lists = null;
    file.older = [];
    file.problem = problem;
    return changed;
  }

  async function refreshAll(): Promise<void> {
    let changed = false;
    for (const file of files) changed = (await look(file)) || changed;
    if (!changed) return;
    const next = new Map<string, RevocationList[]>();
    for (const list of files.flatMap(({ lists }) => lists ?? [])) {
      const same = next.get(list.authority);
      if (same === undefined) next.set(list.authority, [list]);
      else same.push(list);
    }
    byAuthority = next;
    deps.onChange();
  }

  const refresh = (): Promise<void> => (refreshing ??= refreshAll().finally(() => (refreshing = null)));
  const timer =
    paths.length === 0
      ? undefined
      : setInterval(() => {
          void refresh().catch((error: unknown) => log.error({ err: error }, 'revocation lists were not looked at'));
        }, refreshMs);
  timer?.unref();

  return {
    require({ path }, now) {
      if (files.length === 0) return true;
      requireNotListed(path, byAuthority, now);
      const unread = files.find(({ lists, authorities }) => lists === null && mayConcern(authorities, path));
      // What it would say is not known, and it may be this certificate.
      if (unread !== undefined)
        throw new TrustError('certificate.crl_unavailable', {
          detail: 'A revocation list that is needed cannot be read',
        });
      return true;
    },
    current: () => [...byAuthority.values()].flat(),
    state(now) {
      const lists = [...byAuthority.values()].flat();
      const ends = lists.filter((list) => isCurrent(list, now)).map(({ nextUpdate }) => nextUpdate);
      return {
        files: files.length,
        problems: files.flatMap(({ problem }) => problem ?? []),
        outdated: lists.filter((list) => !isCurrent(list, now)).map(({ issuer }) => issuer),
        older: files.flatMap(({ older }) => older),
        nextUpdate: ends.toSorted()[0] ?? null,
      };
    },
    refresh,
    close: () => clearInterval(timer),
  };

  function describe({ issuer, number, entries, nextUpdate }: RevocationList): object {
    return {
      issuer,
      number,
      entries,
      next_update: nextUpdate,
      current: clock.now().getTime() <= Date.parse(nextUpdate),
    };
  }
}

/** Whoever can put an old list in the place of a new one could take revocations back. */
function olderThan(found: RevocationList, newest: readonly RevocationList[]): readonly OlderList[] {
  const kept = newest.find((before) => isOfSame(found, before) && found.thisUpdate < before.thisUpdate);
  return kept === undefined ? [] : [{ found, kept }];
}

function isOfSame(a: RevocationList, b: RevocationList): boolean {
  return a.authority === b.authority && JSON.stringify(a.scope) === JSON.stringify(b.scope);
}

function mayConcern(authorities: ReadonlySet<string> | null, path: readonly Certificate[]): boolean {
  return authorities === null || path.slice(1).some((issuer) => authorities.has(authorityId(issuer)));
}

const tooLarge = (): TrustError => new TrustError('certificate.crl_unavailable', { detail: 'is too large' });
