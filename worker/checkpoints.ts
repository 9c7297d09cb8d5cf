// Signed checkpoints, first outside the database and then in it: whoever rewrites the one cannot rewrite the other.
import { createPublicKey } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, JsonObject, Random } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import { keyIdOf, signEnvelope, type SigningKey } from '#protocols/signed-envelope.ts';
import { readIfThere, replaceFile } from '#start/private-file.ts';
import { chainHeads, insertCheckpoint, lastCheckpoint, type ChainHead } from '#store/sealer.ts';
import type { Store } from '#store/store.ts';

export const checkpointType = 'audit.checkpoint';
/** Public keys of all signing keys that there ever were: `{keys: {<key id>: <SPKI, PEM>}}`. */
const publicKeysFile = 'public-keys.json';

export interface CheckpointsDeps {
  readonly store: Store;
  readonly key: SigningKey;
  readonly directory: string;
  readonly clock: Clock;
  readonly random: Pick<Random, 'uuid'>;
}

export interface Checkpoints {
  /** Leaves the public key beside the checkpoints, so that others can verify them. @idempotent by key */
  publishKey(): Promise<void>;
  /** Signs the heads of all chains, unless nothing was sealed since the last time. @returns whether it did */
  sign(): Promise<boolean>;
}

export function createCheckpoints({ store, key, directory, clock, random }: CheckpointsDeps): Checkpoints {
  async function publishKey(): Promise<void> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const publicKey = createPublicKey(key.privateKey);
    const path = join(directory, publicKeysFile);
    const known = readKeys(await readIfThere(path), path);
    if (known[keyIdOf(publicKey)] !== undefined) return;
    const keys = { ...known, [key.keyId]: publicKey.export({ type: 'spki', format: 'pem' }).toString() };
    await replaceFile(path, `${JSON.stringify({ keys }, null, 2)}\n`);
  }

  async function sign(): Promise<boolean> {
    const heads = await chainHeads(store);
    const previous = await lastCheckpoint(store);
    if (heads.length === 0 || (previous !== null && isSame(previous.heads, heads))) return false;
    const id = random.uuid();
    const at = clock.now().toISOString();
    const payload = {
      id,
      at,
      heads: heads.map((head) => ({ ...head })),
      previous: previous && { id: previous.id, digest: digestOf(previous.envelope) },
    };
    const envelope = signEnvelope(checkpointType, payload, key) as unknown as JsonObject;
    // A checkpoint that exists in one place only is in the place that the database's owner cannot reach.
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await replaceFile(join(directory, `${at.replaceAll(/[:.]/g, '-')}-${id}.json`), `${JSON.stringify(envelope)}\n`);
    await insertCheckpoint(store, { id, at, heads, key_id: key.keyId, envelope });
    return true;
  }

  return { publishKey, sign };
}

function isSame(one: readonly ChainHead[], other: readonly ChainHead[]): boolean {
  const textOf = (heads: readonly ChainHead[]): string =>
    JSON.stringify(heads.map(({ project_id, stream, sequence, hash }) => [project_id, stream, sequence, hash]));
  return textOf(one) === textOf(other);
}

function readKeys(text: string | null, path: string): Readonly<Record<string, string>> {
  if (text === null) return {};
  try {
    const { keys } = JSON.parse(text) as { keys?: unknown };
    if (typeof keys === 'object' && keys !== null) return keys as Record<string, string>;
  } catch {
    // Said below.
  }
  // Writing it anew would make every older checkpoint worthless.
  throw new TrustError('data.unreadable', { detail: `${path} is not {"keys": {…}}: restore it, or move it away` });
}
