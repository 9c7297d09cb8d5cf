// The keys of trust assertions: read from their files at start and whenever these change, so that a rotation needs no restart.
import type { KeyObject } from 'node:crypto';
import type { Clock, Log } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import type { SigningKey } from '#protocols/signed-envelope.ts';
import { leewaySeconds, readAssertionKey, type AssertionKey } from '#protocols/trust-assertion.ts';
import { readAtMost } from './read-file.ts';

export interface AssertionKeys {
  /**
   * The key of the first file.
   *
   * @throws TrustError `assertion.unavailable`
   */
  signing(): SigningKey;
  /** Those of all files, and those that were taken out so recently that what they signed may still hold. */
  published(): readonly KeyObject[];
  state(): AssertionKeysState;
  /** Looks at the files now. */
  refresh(): Promise<void>;
  close(): void;
}

export interface AssertionKeysState {
  readonly files: number;
  readonly unreadable: number;
  readonly signs: boolean;
}

export interface AssertionKeysDeps {
  /** The first one signs. */
  readonly paths: readonly string[];
  readonly lifetimeSeconds: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly refreshMs?: number;
}

interface KeyFile {
  readonly path: string;
  readonly signs: boolean;
  text: string | null;
  key: AssertionKey | null;
  /** It could not be read a moment ago: somebody may be writing it. */
  isDoubtful: boolean;
}

const maximumBytes = 16 * 1024;
/** Another API process may sign with the former key until it has looked at the file. */
const lagSeconds = 10;

export function createAssertionKeys(deps: AssertionKeysDeps): AssertionKeys {
  const { paths, lifetimeSeconds, clock, log, refreshMs = 5_000 } = deps;
  const files: KeyFile[] = paths.map((path, index) => ({
    path,
    signs: index === 0,
    text: null,
    key: null,
    isDoubtful: false,
  }));
  const former = new Map<string, { readonly publicKey: KeyObject; readonly until: number }>();
  const keptMs = (lifetimeSeconds + leewaySeconds + lagSeconds) * 1000;
  let refreshing: Promise<void> | null = null;

  async function look(file: KeyFile): Promise<void> {
    try {
      const text = Buffer.from(await readAtMost(file.path, maximumBytes, tooLarge)).toString('utf8');
      if (text !== file.text) {
        const key = readAssertionKey(text);
        if (file.signs && key.signing === null) {
          throw new TrustError('request.invalid', { detail: 'The first file has to hold a private key' });
        }
        replace(file, key);
        file.text = text;
        log.info({ path: file.path, key_id: key.keyId, signs: file.signs }, 'a key of trust assertions was read');
      }
      file.isDoubtful = false;
    } catch (error) {
      // What was read before serves until the file has been wrong twice.
      if (file.key !== null && !file.isDoubtful) {
        file.isDoubtful = true;
        return;
      }
      if (!file.isDoubtful || file.key !== null) {
        log.error({ err: error, path: file.path }, 'a key of trust assertions cannot be read');
      }
      file.isDoubtful = true;
      replace(file, null);
      file.text = null;
    }
  }

  function replace(file: KeyFile, key: AssertionKey | null): void {
    const { key: before } = file;
    if (before !== null && before.keyId !== key?.keyId) {
      former.set(before.keyId, { publicKey: before.publicKey, until: clock.now().getTime() + keptMs });
    }
    file.key = key;
  }

  async function refreshAll(): Promise<void> {
    for (const file of files) await look(file);
  }

  const refresh = (): Promise<void> => (refreshing ??= refreshAll().finally(() => (refreshing = null)));
  const timer = paths.length === 0 ? undefined : setInterval(() => void refresh(), refreshMs);
  timer?.unref();

  return {
    signing() {
      const [first] = files;
      if (first === undefined) {
        throw new TrustError('assertion.unavailable', {
          detail: 'SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH is not set',
        });
      }
      const signing = first.key?.signing ?? null;
      if (signing === null) {
        throw new TrustError('assertion.unavailable', {
          detail:
            'The first file of SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH holds no Ed25519 key that can be read',
        });
      }
      return signing;
    },
    published() {
      const now = clock.now().getTime();
      for (const [keyId, { until }] of former) if (until <= now) former.delete(keyId);
      const present = files.flatMap(({ key }) => (key === null ? [] : [[key.keyId, key.publicKey] as const]));
      const past = [...former].map(([keyId, { publicKey }]) => [keyId, publicKey] as const);
      return [...new Map([...present, ...past]).values()];
    },
    state: () => ({
      files: files.length,
      unreadable: files.filter(({ key }) => key === null).length,
      signs: (files[0]?.key?.signing ?? null) !== null,
    }),
    refresh,
    close: () => clearInterval(timer),
  };
}

const tooLarge = (): TrustError => new TrustError('request.invalid', { detail: 'The file is too large for a key' });
