// The secrets of an installation: made once, kept in SENTINEL_HOME/secrets, and never shown.
import { generateKeyPairSync } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Random } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import type { Settings } from '#contracts/settings.ts';
import type { Home } from './home.ts';
import { keepFile, readIfThere } from './private-file.ts';

/** The database login of each process kind, as the store names it. */
export const databaseLogins = {
  api: 'sentinel_api_login',
  worker: 'sentinel_worker_login',
  sealer: 'sentinel_sealer_login',
} as const;
export type ProcessKind = keyof typeof databaseLogins;

export interface Secrets {
  readonly secretKey: string;
  readonly jwtSecret: string;
  readonly dataKeysJson: string;
  readonly activeDataKeyId: string;
  readonly auditSigningKeyPath: string;
  /** Of one file or several, as the setting has them. */
  readonly trustAssertionKeyPaths: readonly string[];
  readonly databaseOwnerPassword: string;
  readonly databaseSuperuserPassword: string;
  readonly loginPasswords: Readonly<Record<ProcessKind, string>>;
}

type Given = Pick<
  Settings,
  | 'SENTINEL_SECRET_KEY'
  | 'SENTINEL_JWT_SECRET'
  | 'SENTINEL_DATA_ENCRYPTION_KEYS_JSON'
  | 'SENTINEL_DATA_ACTIVE_KEY_ID'
  | 'SENTINEL_AUDIT_SIGNING_KEY_PATH'
  | 'SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH'
>;

/**
 * Reads the secrets, and makes those that are missing. A setting takes the place of the file of the same name.
 *
 * @throws TrustError `request.invalid` when settings contradict each other, or a file is damaged, or lost beside its data
 */
export async function keepSecrets(home: Home, given: Given, random: Random): Promise<Secrets> {
  const path = (name: string): string => join(home.secrets, name);
  const token = (name: string): Promise<string> => keepToken(path(name), random);
  // Data that nobody can read any more is worse than a start that says why.
  for (const [data, secret] of [
    [join(home.postgres, 'PG_VERSION'), 'database-superuser.password'],
    [join(home.temporal, 'temporal.sqlite'), 'data-encryption-keys.json'],
  ] as const) {
    const isOurs = secret === 'database-superuser.password' || given.SENTINEL_DATA_ENCRYPTION_KEYS_JSON === undefined;
    if (isOurs && (await exists(data)) && !(await exists(path(secret)))) {
      throw damaged(
        path(secret),
        `is missing, and ${data} cannot be used without it. Restore it, or delete ${home.directory}`,
      );
    }
  }
  return {
    secretKey: given.SENTINEL_SECRET_KEY ?? (await token('secret-key')),
    jwtSecret: given.SENTINEL_JWT_SECRET ?? (await token('jwt-secret')),
    ...(await keepDataKeys(path('data-encryption-keys.json'), given, random)),
    auditSigningKeyPath: given.SENTINEL_AUDIT_SIGNING_KEY_PATH ?? (await keepSigningKey(path('audit-signing-key.pem'))),
    trustAssertionKeyPaths:
      given.SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH.length > 0
        ? given.SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH
        : [await keepSigningKey(path('trust-assertion-signing-key.pem'))],
    databaseOwnerPassword: await token('database-owner.password'),
    databaseSuperuserPassword: await token('database-superuser.password'),
    loginPasswords: {
      api: await token('database-api.password'),
      worker: await token('database-worker.password'),
      sealer: await token('database-sealer.password'),
    },
  };
}

async function keepToken(path: string, random: Random): Promise<string> {
  const text = await keepFile(path, () => newToken(random));
  if (!/^[\w-]{43,}$/.test(text)) throw damaged(path, 'does not hold 32 bytes in base64url');
  return text;
}

export function newToken(random: Random): string {
  return Buffer.from(random.bytes(32)).toString('base64url');
}

async function keepDataKeys(
  path: string,
  given: Given,
  random: Random,
): Promise<Pick<Secrets, 'dataKeysJson' | 'activeDataKeyId'>> {
  const { SENTINEL_DATA_ENCRYPTION_KEYS_JSON: keys, SENTINEL_DATA_ACTIVE_KEY_ID: active } = given;
  if ((keys === undefined) !== (active === undefined)) {
    throw new TrustError('request.invalid', {
      detail: 'SENTINEL_DATA_ENCRYPTION_KEYS_JSON and SENTINEL_DATA_ACTIVE_KEY_ID: set both or none',
    });
  }
  if (active !== undefined) return { dataKeysJson: JSON.stringify(keys), activeDataKeyId: active };
  const made = (): string => JSON.stringify({ active: 'key-1', keys: { 'key-1': newToken(random) } });
  const kept = parseJson(await keepFile(path, made)) as { active?: unknown; keys?: Record<string, unknown> } | null;
  if (typeof kept?.active !== 'string' || typeof kept.keys?.[kept.active] !== 'string') {
    throw damaged(path, 'is not {"active": "<key id>", "keys": {"<key id>": "<32 bytes, base64url>"}}');
  }
  return { dataKeysJson: JSON.stringify(kept.keys), activeDataKeyId: kept.active };
}

async function keepSigningKey(path: string): Promise<string> {
  await keepFile(path, () =>
    generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  );
  if (!((await readIfThere(path)) ?? '').includes('PRIVATE KEY')) throw damaged(path, 'is not a private key (PEM)');
  return path;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // Without the parser's message, which quotes the file.
    return null;
  }
}

function damaged(path: string, why: string): TrustError {
  return new TrustError('request.invalid', { detail: `${path} ${why}.` });
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
