import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { systemRandom as random } from '#contracts/deps.ts';
import { problems, TrustError } from '#contracts/problems.ts';
import { readSettings, settings, type SettingName } from '#contracts/settings.ts';
import { verifyPassword } from '#protocols/password.ts';
import { keepAccounts } from '#start/accounts.ts';
import { environmentOf, restrictedSettings } from '#start/child-settings.ts';
import { type Home, homeOf } from '#start/home.ts';
import { keepSecrets } from '#start/secrets.ts';

const nothing = readSettings({});

async function emptyHome(t: TestContext): Promise<Home> {
  const home = homeOf(await mkdtemp(join(tmpdir(), 'sentinel-secrets-')));
  t.after(() => rm(home.directory, { recursive: true, force: true }));
  await mkdir(home.secrets);
  return home;
}

const refused = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof TrustError);
  assert.equal(error.code, 'request.invalid');
  assert.match(error.message, pattern);
  return true;
};

describe('secrets', () => {
  it('are generated locally, once, each different, in files that only their owner may read (DP-27)', async (t) => {
    const home = await emptyHome(t);
    const secrets = await keepSecrets(home, nothing, random);
    assert.deepEqual(await keepSecrets(home, nothing, random), secrets);
    const { [secrets.activeDataKeyId]: dataKey } = JSON.parse(secrets.dataKeysJson) as Record<string, string>;
    const values = [
      secrets.secretKey,
      secrets.jwtSecret,
      dataKey ?? '',
      secrets.databaseOwnerPassword,
      secrets.databaseSuperuserPassword,
      ...Object.values(secrets.loginPasswords),
    ];
    assert.equal(new Set(values).size, values.length);
    for (const value of values) assert.equal(Buffer.from(value, 'base64url').length, 32);
    for (const path of [secrets.auditSigningKeyPath, ...secrets.trustAssertionKeyPaths])
      assert.match(await readFile(path, 'utf8'), /BEGIN PRIVATE KEY/);
    assert.notDeepEqual(secrets.trustAssertionKeyPaths, [secrets.auditSigningKeyPath]);
    for (const name of await readdir(home.secrets)) {
      assert.equal((await stat(join(home.secrets, name))).mode & 0o777, 0o600, name);
    }
  });

  it('of the settings take the place of generated ones, which are not made then', async (t) => {
    const home = await emptyHome(t);
    const given = {
      ...nothing,
      SENTINEL_SECRET_KEY: 'given-secret',
      SENTINEL_JWT_SECRET: 'given-jwt',
      SENTINEL_DATA_ENCRYPTION_KEYS_JSON: { a: 'given-key' },
      SENTINEL_DATA_ACTIVE_KEY_ID: 'a',
      SENTINEL_AUDIT_SIGNING_KEY_PATH: '/given.pem',
      SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH: ['/new.pem', '/old.pem'],
    };
    const secrets = await keepSecrets(home, given, random);
    assert.deepEqual(
      [
        secrets.secretKey,
        secrets.jwtSecret,
        secrets.dataKeysJson,
        secrets.activeDataKeyId,
        secrets.auditSigningKeyPath,
        ...secrets.trustAssertionKeyPaths,
      ],
      ['given-secret', 'given-jwt', '{"a":"given-key"}', 'a', '/given.pem', '/new.pem', '/old.pem'],
    );
    assert.ok((await readdir(home.secrets)).every((name) => name.startsWith('database-')));
  });

  it('are refused when the data keys come without the id of the active one, or the other way round', async (t) => {
    const home = await emptyHome(t);
    const half = { ...nothing, SENTINEL_DATA_ACTIVE_KEY_ID: 'a' };
    await assert.rejects(keepSecrets(home, half, random), refused(/SENTINEL_DATA_ENCRYPTION_KEYS_JSON/));
  });

  it('are never made anew beside data that needs the old ones', async (t) => {
    for (const [data, secret] of [
      ['postgres/PG_VERSION', 'database-superuser.password'],
      ['temporal/temporal.sqlite', 'data-encryption-keys.json'],
    ] as const) {
      const home = await emptyHome(t);
      await keepSecrets(home, nothing, random);
      await mkdir(join(home.directory, data, '..'));
      await writeFile(join(home.directory, data), '');
      await rm(join(home.secrets, secret));
      await assert.rejects(keepSecrets(home, nothing, random), refused(new RegExp(`${secret} is missing`)));
    }
  });

  it('are refused when a file is damaged, without showing what it holds', async (t) => {
    for (const [name, content] of [
      ['secret-key', 'short-canary'],
      ['data-encryption-keys.json', '{"canary'],
      ['data-encryption-keys.json', '{"active":"b","keys":{"a":"canary"}}'],
      ['audit-signing-key.pem', 'canary'],
    ] as const) {
      const home = await emptyHome(t);
      await writeFile(join(home.secrets, name), content);
      await assert.rejects(keepSecrets(home, nothing, random), (error: unknown) => {
        refused(new RegExp(name.replaceAll('.', '\\.')))(error);
        assert.doesNotMatch((error as Error).message, /canary/);
        return true;
      });
    }
    assert.equal(problems['request.invalid'].retryable, false);
  });
});

describe('accounts', () => {
  it('are an administrator and, for the demo fleet, two approvers, whose passwords fit their hashes', async (t) => {
    const home = await emptyHome(t);
    const accounts = await keepAccounts(home, nothing, true, random);
    assert.equal(accounts.adminUsername, 'admin');
    assert.equal(accounts.adminPasswordFile, join(home.secrets, 'admin.password'));
    assert.deepEqual(accounts.approvers, ['approver1', 'approver2']);
    const file = accounts.settings['SENTINEL_ADMIN_USERS_FILE'] ?? '';
    const people = JSON.parse(await readFile(file, 'utf8')) as {
      username: string;
      password_hash: string;
      roles: string[];
    }[];
    assert.deepEqual(
      people.map(({ username, roles }) => [username, roles]),
      [
        ['admin', ['admin']],
        ['approver1', ['approver']],
        ['approver2', ['approver']],
      ],
    );
    const passwords = new Set<string>();
    for (const { username, password_hash } of people) {
      const path = join(home.secrets, `${username}.password`);
      const password = (await readFile(path, 'utf8')).trim();
      assert.equal((await stat(path)).mode & 0o777, 0o600);
      assert.equal((await verifyPassword(password_hash, password)).valid, true);
      passwords.add(password);
    }
    assert.equal(passwords.size, 3);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
  });

  it('keep password and hash from one start to the next, with and without the fleet', async (t) => {
    const home = await emptyHome(t);
    const file = join(home.secrets, 'admin-users.json');
    await keepAccounts(home, nothing, true, random);
    const before = await readFile(file, 'utf8');
    await keepAccounts(home, nothing, true, random);
    assert.equal(await readFile(file, 'utf8'), before);
    await keepAccounts(home, nothing, false, random);
    const [admin, ...others] = JSON.parse(await readFile(file, 'utf8')) as unknown[];
    assert.deepEqual([admin, others], [(JSON.parse(before) as unknown[])[0], []]);
  });

  it('hash again when a password file was removed to get a new password', async (t) => {
    const home = await emptyHome(t);
    await keepAccounts(home, nothing, false, random);
    const path = join(home.secrets, 'admin.password');
    const before = await readFile(path, 'utf8');
    await rm(path);
    await keepAccounts(home, nothing, false, random);
    const password = await readFile(path, 'utf8');
    assert.notEqual(password, before);
    const [admin] = JSON.parse(await readFile(join(home.secrets, 'admin-users.json'), 'utf8')) as {
      password_hash: string;
    }[];
    assert.equal((await verifyPassword(admin?.password_hash ?? '', password.trim())).valid, true);
  });

  it('leave a configured administrator alone, whether single, listed or in a file', async (t) => {
    const ann = { username: 'ann', password_hash: 'scrypt:x', roles: ['admin'] };
    const home = await emptyHome(t);
    const file = join(home.directory, 'people.json');
    await writeFile(file, JSON.stringify([ann]));
    for (const given of [
      { SENTINEL_ADMIN_USERNAME: 'ann', SENTINEL_ADMIN_PASSWORD_HASH: 'scrypt:x' },
      { SENTINEL_ADMIN_USERS_JSON: [ann] },
      { SENTINEL_ADMIN_USERS_FILE: file },
    ]) {
      const accounts = await keepAccounts(home, { ...nothing, ...given }, false, random);
      assert.deepEqual([accounts.adminUsername, accounts.adminPasswordFile], ['ann', null]);
      assert.ok(!(await readdir(home.secrets)).includes('admin.password'));
    }
  });

  it('are added to a list of people, and stand beside a file of the user’s own', async (t) => {
    const home = await emptyHome(t);
    const vic = { username: 'vic', password_hash: 'scrypt:x', roles: ['viewer'] };
    const listed = await keepAccounts(home, { ...nothing, SENTINEL_ADMIN_USERS_JSON: [vic] }, false, random);
    assert.equal(listed.adminUsername, 'admin');
    assert.deepEqual(Object.keys(listed.settings), ['SENTINEL_ADMIN_USERS_FILE']);

    const file = join(home.directory, 'people.json');
    await writeFile(file, JSON.stringify([vic]));
    const given = { ...nothing, SENTINEL_ADMIN_USERS_FILE: file };
    const { SENTINEL_ADMIN_USERS_JSON: json = '[]' } = (await keepAccounts(home, given, false, random)).settings;
    assert.deepEqual(
      (JSON.parse(json) as { username: string }[]).map(({ username }) => username),
      ['admin'],
    );
  });

  it('refuse a list that is not one, without showing it', async (t) => {
    const home = await emptyHome(t);
    const given = { ...nothing, SENTINEL_ADMIN_USERS_JSON: { canary: 1 } };
    await assert.rejects(keepAccounts(home, given, false, random), refused(/^SENTINEL_ADMIN_USERS_JSON: say \[/));
  });
});

describe('settings of the processes', () => {
  const all = Object.fromEntries(Object.keys(settings).map((name) => [name, 'x'])) as Record<SettingName, string>;

  it('state for every secret who gets it', () => {
    const secret = Object.entries(settings).filter(([, setting]) => 'secret' in setting);
    for (const [name] of secret) assert.ok(name in restrictedSettings, name);
  });

  it('give each process the secrets that it needs and no other', () => {
    const restricted = Object.keys(restrictedSettings);
    const has = (child: Parameters<typeof environmentOf>[0]): string[] =>
      Object.keys(environmentOf(child, all, {})).filter((name) => restricted.includes(name));
    const speakers = [
      'SENTINEL_DATABASE_URL',
      'SENTINEL_TEMPORAL_TLS_KEY',
      'SENTINEL_TEMPORAL_API_KEY',
      'SENTINEL_SECRET_KEY',
      'SENTINEL_DATA_ENCRYPTION_KEYS_JSON',
      'SENTINEL_MONITORING_BEARER_TOKEN',
    ];
    assert.deepEqual(has('worker').toSorted(), speakers.toSorted());
    assert.deepEqual(
      has('sealer').toSorted(),
      [
        'SENTINEL_DATABASE_URL',
        'SENTINEL_AUDIT_SIGNING_KEY_PATH',
        'SENTINEL_AUDIT_CHECKPOINT_DIR',
        'SENTINEL_MONITORING_BEARER_TOKEN',
      ].toSorted(),
    );
    assert.ok(has('api').includes('SENTINEL_JWT_SECRET'));
    assert.ok(!has('api').includes('SENTINEL_AUDIT_SIGNING_KEY_PATH'));
    assert.deepEqual(has('fleet').toSorted(), ['SENTINEL_CA_FILE', 'SENTINEL_URL']);
  });

  it('hold nothing of the surroundings but what a Node process may depend on', () => {
    const system = { PATH: '/bin', AWS_SECRET_ACCESS_KEY: 'x', SENTINEL_TOKEN: 'x', npm_config_token: 'x' };
    assert.deepEqual(environmentOf('api', {}, system), { PATH: '/bin' });
  });
});
