// Data-protection keys: what is kept at rest is a JWE (RFC 7516) that only opens in the context it was sealed for.
import { createHash, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import { compactDecrypt, CompactEncrypt } from 'jose';
import { TrustError } from '#contracts/problems.ts';
import { canonicalBytes } from './canonical-json.ts';
import { readBase64url } from './secret-key.ts';

const keyBytes = 32;
const maximumKeys = 64;
const keyIdForm = /^[A-Za-z0-9._-]{1,64}$/;
const setting = 'SENTINEL_DATA_ENCRYPTION_KEYS_JSON';
const activeSetting = 'SENTINEL_DATA_ACTIVE_KEY_ID';

/** What old data is read with, and which of them new data is written with. Printing it shows no key. */
export interface DataKeys {
  readonly activeKeyId: string;
  readonly keys: ReadonlyMap<string, KeyObject>;
}

/** Where a value belongs, such as its table, project and row. A value sealed for one context opens in no other. */
export type DataContext = Readonly<Record<string, string>>;

/**
 * Reads the keys that the settings hold: a map of key ids to 32 bytes in base64url, with or without padding (so Fernet's
 * keys are accepted), and the id of the one that new data is written with.
 *
 * @throws TrustError `request.invalid` when a key is not one, when there is none, or when the active one is not among them
 */
export function readDataKeys(keysJson: unknown, activeKeyId: string | undefined): DataKeys {
  const isMap = typeof keysJson === 'object' && keysJson !== null && !Array.isArray(keysJson);
  const entries = isMap ? Object.entries(keysJson) : [];
  if (entries.length === 0 || entries.length > maximumKeys) {
    throw invalid(`${setting}: say {"<key id>": "<32 bytes, base64url>"} with at least one key`);
  }
  const keys = new Map(entries.map(([id, text]) => [id, readKey(id, text)]));
  if (activeKeyId === undefined || !keys.has(activeKeyId)) {
    throw invalid(`${activeSetting}: name one of the keys in ${setting}`);
  }
  return { activeKeyId, keys };
}

function readKey(id: string, text: unknown): KeyObject {
  if (!keyIdForm.test(id)) throw invalid(`${setting}: a key id is 1 to 64 letters, digits, ".", "_" or "-"`);
  const bytes = typeof text === 'string' ? readBase64url(text) : null;
  // A key of one repeated byte was typed, not drawn.
  if (bytes?.length !== keyBytes || new Set(bytes).size === 1) {
    throw invalid(`${setting}: key ${id} is not ${keyBytes} random bytes in base64url`);
  }
  return createSecretKey(bytes);
}

/**
 * Encrypts with the active key, as compact JWE with `dir` and `A256GCM`.
 *
 * The context is bound by its digest in the protected header, which the tag covers and `crit` makes mandatory: compact
 * JWE has no room for other authenticated data, and a reader that does not know `ctx` has to refuse.
 */
export async function encrypt(keys: DataKeys, plaintext: Uint8Array, context: DataContext): Promise<string> {
  const kid = keys.activeKeyId;
  return new CompactEncrypt(plaintext)
    .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', kid, ctx: digestOf(context), crit: ['ctx'] })
    .encrypt(dataKey(keys, kid), { crit: { ctx: true } });
}

/**
 * Decrypts what `encrypt` made for the same context, with whichever key it was made.
 *
 * @param token Untrusted.
 * @throws TrustError `data.unreadable`, also when the context is another one
 */
export async function decrypt(keys: DataKeys, token: string, context: DataContext): Promise<Uint8Array> {
  const expected = digestOf(context);
  try {
    const { plaintext, protectedHeader } = await compactDecrypt(token, ({ kid }) => dataKey(keys, kid), {
      keyManagementAlgorithms: ['dir'],
      contentEncryptionAlgorithms: ['A256GCM'],
      crit: { ctx: true },
      maxDecompressedLength: 0,
    });
    if (protectedHeader.ctx !== expected) throw new TypeError('it was encrypted for another context');
    return plaintext;
  } catch (cause) {
    throw new TrustError('data.unreadable', { cause });
  }
}

/**
 * A key that is only good for one purpose: the `info` of HKDF (RFC 5869) names it, and another name gives another key.
 *
 * @throws TrustError `data.unreadable` when there is no such data key
 */
export function derivedKey(keys: DataKeys, keyId: string, purpose: readonly (string | null)[]): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', dataKey(keys, keyId), '', canonicalBytes(purpose), keyBytes));
}

function dataKey(keys: DataKeys, keyId: string | undefined): KeyObject {
  const key = keyId === undefined ? undefined : keys.keys.get(keyId);
  if (key === undefined) throw new TrustError('data.unreadable', { detail: 'No data key has the id that it names' });
  return key;
}

function digestOf(context: DataContext): string {
  if (Object.keys(context).length === 0) throw new RangeError('a value belongs somewhere: its context is empty');
  return createHash('sha256').update(canonicalBytes(context)).digest('base64url');
}

function invalid(detail: string): TrustError {
  return new TrustError('request.invalid', { detail });
}
