// The people who can sign in to a fresh installation: an administrator, and two approvers for the demo fleet.
import { join } from 'node:path';
import type { Random } from '#contracts/deps.ts';
import type { Role } from '#contracts/permissions.ts';
import { TrustError } from '#contracts/problems.ts';
import type { Settings } from '#contracts/settings.ts';
import { hashPassword } from '#protocols/password.ts';
import type { Home } from './home.ts';
import { keepFile, readIfThere, replaceFile } from './private-file.ts';

interface Account {
  readonly username: string;
  readonly password_hash: string;
  readonly roles: readonly Role[];
}

export interface Accounts {
  /** Who signs in as administrator; `null` when that is not one name. */
  readonly adminUsername: string | null;
  /** `null` when the administrator was configured, so that only they know the password. */
  readonly adminPasswordFile: string | null;
  /** Those that were made for the demo fleet. */
  readonly approvers: readonly string[];
  /** Settings for the process that signs people in. */
  readonly settings: Readonly<Record<string, string>>;
}

type Given = Pick<
  Settings,
  'SENTINEL_ADMIN_USERS_JSON' | 'SENTINEL_ADMIN_USERS_FILE' | 'SENTINEL_ADMIN_USERNAME' | 'SENTINEL_ADMIN_PASSWORD_HASH'
>;
type Configured = { readonly username: string; readonly roles: readonly string[] };

/** Makes the accounts that are missing. Each has its password in `secrets/<username>.password`. */
export async function keepAccounts(home: Home, given: Given, demo: boolean, random: Random): Promise<Accounts> {
  const configured = await readConfigured(given);
  const configuredAdmin = configured.find(({ roles }) => roles.includes('admin'));
  const wanted: { username: string; roles: readonly Role[] }[] = [];
  if (configuredAdmin === undefined) wanted.push({ username: 'admin', roles: ['admin'] });
  if (demo) {
    for (const username of ['approver1', 'approver2']) wanted.push({ username, roles: ['approver'] });
  }
  const taken = new Set(configured.map(({ username }) => username));
  const ours = wanted.filter(({ username }) => !taken.has(username));
  const file = join(home.secrets, 'admin-users.json');
  const accounts = await keepHashes(home, file, ours, random);
  const admin = configuredAdmin === undefined && !taken.has('admin') ? 'admin' : null;
  return {
    adminUsername: configuredAdmin?.username ?? admin,
    adminPasswordFile: admin === null ? null : passwordFile(home, admin),
    approvers: ours.filter(({ roles }) => roles.includes('approver')).map(({ username }) => username),
    settings: settingsFor(given, file, accounts),
  };
}

/** A list in a file of the user's own stays theirs; our accounts then come beside it. */
function settingsFor(given: Given, file: string, accounts: readonly Account[]): Record<string, string> {
  if (accounts.length === 0) return {};
  if (given.SENTINEL_ADMIN_USERS_FILE === undefined) return { SENTINEL_ADMIN_USERS_FILE: file };
  const list = [...readList('SENTINEL_ADMIN_USERS_JSON', given.SENTINEL_ADMIN_USERS_JSON ?? []), ...accounts];
  return { SENTINEL_ADMIN_USERS_JSON: JSON.stringify(list) };
}

async function keepHashes(
  home: Home,
  file: string,
  wanted: readonly { username: string; roles: readonly Role[] }[],
  random: Random,
): Promise<readonly Account[]> {
  const before = readList(file, JSON.parse((await readIfThere(file)) ?? '[]') as unknown) as unknown as Account[];
  const accounts: Account[] = [];
  for (const { username, roles } of wanted) {
    const known = (await readIfThere(passwordFile(home, username))) !== null;
    const password = await keepFile(passwordFile(home, username), () => `${newPassword(random)}\n`);
    const kept = known ? before.find((account) => account.username === username) : undefined;
    const password_hash = kept?.password_hash ?? (await hashPassword(password.trim()));
    accounts.push({ username, password_hash, roles });
  }
  if (JSON.stringify(accounts) !== JSON.stringify(before)) await replaceFile(file, JSON.stringify(accounts));
  return accounts;
}

function passwordFile(home: Home, username: string): string {
  return join(home.secrets, `${username}.password`);
}

/** 144 random bits, in groups that a person can copy. */
export function newPassword(random: Random): string {
  return (Buffer.from(random.bytes(18)).toString('hex').match(/.{6}/g) ?? []).join('-');
}

async function readConfigured(given: Given): Promise<readonly Configured[]> {
  const {
    SENTINEL_ADMIN_USERNAME: username,
    SENTINEL_ADMIN_PASSWORD_HASH: hashed,
    SENTINEL_ADMIN_USERS_FILE: file,
  } = given;
  const single = username === undefined || hashed === undefined ? [] : [{ username, roles: ['admin'] }];
  const listed = readList('SENTINEL_ADMIN_USERS_JSON', given.SENTINEL_ADMIN_USERS_JSON ?? []);
  return [
    ...single,
    ...listed,
    ...(file === undefined ? [] : readList('SENTINEL_ADMIN_USERS_FILE', await readJson(file))),
  ];
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse((await readIfThere(file)) ?? '') as unknown;
  } catch {
    // Without the parser's message, which quotes the file. The list check says what is wrong.
    return null;
  }
}

function readList(setting: string, value: unknown): readonly Configured[] {
  const isList =
    Array.isArray(value) &&
    value.every(
      (entry: Partial<Configured> | null) => typeof entry?.username === 'string' && Array.isArray(entry.roles),
    );
  if (!isList)
    throw new TrustError('request.invalid', { detail: `${setting}: say [{username, password_hash, roles}]` });
  return value as readonly Configured[];
}
