// The live directory of the people who may sign in: the settings, and a file that is read again as soon as it changes.
import { readFile, stat } from 'node:fs/promises';
import { Type, type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Clock, Log } from '#contracts/deps.ts';
import { usernamePattern } from '#contracts/ids.ts';
import { permissionNames, roles, type Permission, type Role } from '#contracts/permissions.ts';
import { TrustError } from '#contracts/problems.ts';

export interface Person {
  readonly username: string;
  readonly passwordHash: string;
  readonly roles: readonly Role[];
  readonly permissions: readonly Permission[];
  /** Base32. */
  readonly totpSecret: string | null;
  readonly passkeyRequired: boolean;
  readonly disabled: boolean;
}

export interface Directory {
  /** The person as the directory has it now, also when disabled. */
  find(username: string): Promise<Person | null>;
  all(): Promise<readonly Person[]>;
}

export interface DirectoryOptions {
  /** SENTINEL_ADMIN_USERS_JSON, parsed. */
  readonly list: unknown;
  /** SENTINEL_ADMIN_USERS_FILE. */
  readonly file: string | undefined;
  /** SENTINEL_ADMIN_USERNAME and SENTINEL_ADMIN_PASSWORD_HASH. */
  readonly single: { readonly username: string | undefined; readonly passwordHash: string | undefined };
}

export interface DirectoryDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Told of every change, and told again until it succeeds: the store checks voters against what it was told last. */
  readonly onChange: (people: readonly Person[]) => Promise<void>;
}

const maximumFileBytes = 1024 * 1024;
const checkIntervalMs = 1000;

const Entry = Type.Object(
  {
    username: Type.String({ pattern: usernamePattern }),
    password_hash: Type.String({ pattern: '^(\\$argon2id\\$|scrypt:|pbkdf2:)', maxLength: 1024 }),
    roles: Type.Array(Type.Enum([...roles]), { maxItems: 16 }),
    permissions: Type.Optional(Type.Array(Type.Enum([...permissionNames]), { maxItems: 64 })),
    mfa_totp_secret: Type.Optional(Type.String({ pattern: '^[A-Z2-7]{26,128}=*$' })),
    passkey_required: Type.Optional(Type.Boolean()),
    disabled: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);
const entries = Compile(Type.Array(Entry, { maxItems: 10_000 }));

/**
 * Makes the directory. What the settings say is fixed and must be right; the file may change at any time, and while it
 * cannot be read or is wrong, nobody is in it.
 *
 * @throws TrustError `request.invalid` when the settings themselves are wrong
 */
export function createDirectory(options: DirectoryOptions, deps: DirectoryDeps): Directory {
  const fixed = byName([...singleOf(options.single), ...readEntries('SENTINEL_ADMIN_USERS_JSON', options.list ?? [])]);
  const file = createFileSource(options.file, fixed, deps.log);
  let people: ReadonlyMap<string, Person> = fixed;
  let announced: ReadonlyMap<string, Person> | null = null;
  let checkedAt = Number.NEGATIVE_INFINITY;
  let checking: Promise<void> | null = null;

  async function check(): Promise<void> {
    const fromFile = await file.read();
    if (fromFile !== null) people = new Map([...fixed, ...fromFile]);
    if (announced === people) return;
    const announcing = people;
    try {
      await deps.onChange([...announcing.values()]);
      announced = announcing;
    } catch (error) {
      deps.log.warn({ err: error }, 'the directory could not be written to the store; it is tried again');
    }
  }

  async function current(): Promise<ReadonlyMap<string, Person>> {
    const now = deps.clock.now().getTime();
    if (checking === null && Math.abs(now - checkedAt) >= checkIntervalMs) {
      checkedAt = now;
      checking = check().finally(() => (checking = null));
    }
    await checking;
    return people;
  }

  return {
    find: async (username) => (await current()).get(username) ?? null,
    all: async () => [...(await current()).values()],
  };
}

interface FileSource {
  /** The people in the file; `null` when it is as it was. */
  read(): Promise<ReadonlyMap<string, Person> | null>;
}

function createFileSource(path: string | undefined, fixed: ReadonlyMap<string, Person>, log: Log): FileSource {
  if (path === undefined) return { read: async () => null };
  let version: string | null = null;
  return {
    async read() {
      const found = await versionOf(path);
      if (found === version) return null;
      try {
        const text = await readFile(path, 'utf8');
        if (text.length > maximumFileBytes)
          throw new TrustError('request.invalid', { detail: 'the file is too large' });
        const people = byName(readEntries('SENTINEL_ADMIN_USERS_FILE', parse(text)));
        const twice = [...people.keys()].find((name) => fixed.has(name));
        if (twice !== undefined) throw new TrustError('request.invalid', { detail: `${twice} is in the settings too` });
        // Written while it was read: the next look reads it again.
        version = (await versionOf(path)) === found ? found : null;
        log.info({ people: people.size }, 'the directory file was read');
        return people;
      } catch (error) {
        version = found;
        log.error(
          { reason: error instanceof Error ? error.message : 'unreadable' },
          'the directory file is refused: nobody in it may sign in',
        );
        return new Map();
      }
    },
  };
}

/** What changes whenever the file does; `missing` has no other version. */
async function versionOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [ino, size, mtimeNs, ctimeNs].join(':');
  } catch {
    return 'missing';
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // The parser's message quotes the text, which holds password hashes.
    throw new TrustError('request.invalid', { detail: 'SENTINEL_ADMIN_USERS_FILE: not valid JSON' });
  }
}

function readEntries(source: string, value: unknown): Person[] {
  if (!entries.Check(value)) {
    const [first] = entries.Errors(value);
    throw new TrustError('request.invalid', {
      detail: `${source}: ${first?.instancePath ?? ''} ${first?.message ?? 'is wrong'}`,
    });
  }
  return value.map(toPerson);
}

function toPerson(entry: Static<typeof Entry>): Person {
  return {
    username: entry.username,
    passwordHash: entry.password_hash,
    roles: entry.roles,
    permissions: entry.permissions ?? [],
    totpSecret: entry.mfa_totp_secret ?? null,
    passkeyRequired: entry.passkey_required ?? false,
    disabled: entry.disabled ?? false,
  };
}

/** The one administrator of older installations has all permissions. */
function singleOf({ username, passwordHash }: DirectoryOptions['single']): Person[] {
  if (username === undefined && passwordHash === undefined) return [];
  if (username === undefined || passwordHash === undefined) {
    throw new TrustError('request.invalid', {
      detail: 'SENTINEL_ADMIN_USERNAME and SENTINEL_ADMIN_PASSWORD_HASH: set both or none',
    });
  }
  return readEntries('SENTINEL_ADMIN_USERNAME', [{ username, password_hash: passwordHash, roles: ['admin'] }]);
}

function byName(people: readonly Person[]): ReadonlyMap<string, Person> {
  const map = new Map(people.map((person) => [person.username, person]));
  if (map.size !== people.length) {
    throw new TrustError('request.invalid', { detail: 'The directory of administrators has a user name twice' });
  }
  return map;
}
