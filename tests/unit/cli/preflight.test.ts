// The preflight: one good environment, and what each single change to it is answered with.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readEnvFile } from '#cli/env-file.ts';
import { type Files, type Finding, hasErrors, preflightEnvironment } from '#cli/preflight.ts';

const random = (bytes = 32): string => randomBytes(bytes).toString('base64url');
const hash = '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA';
const person = (username: string, roles: string[]): object => ({ username, password_hash: hash, roles });

const good: Readonly<Record<string, string>> = {
  SENTINEL_HOME: '/var/lib/sentinel',
  SENTINEL_PUBLIC_URL: 'https://sentinel.test',
  SENTINEL_DATABASE_URL: `postgresql://sentinel:${random()}@db.test/sentinel?sslmode=verify-full`,
  SENTINEL_TEMPORAL_ADDRESS: 'temporal.test:7233',
  SENTINEL_TEMPORAL_TLS_CA: '/etc/sentinel/temporal-ca.pem',
  SENTINEL_TEMPORAL_TLS_CERT: '/etc/sentinel/temporal.pem',
  SENTINEL_TEMPORAL_TLS_KEY: '/etc/sentinel/temporal.key',
  SENTINEL_TLS_CERT: '/etc/sentinel/server.pem',
  SENTINEL_TLS_KEY: '/etc/sentinel/server.key',
  SENTINEL_TLS_CA: '/etc/sentinel/devices.pem',
  SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS: '/var/lib/pki/devices.crl,/var/lib/pki/devices-2.crl',
  SENTINEL_SECRET_KEY: random(),
  SENTINEL_JWT_SECRET: random(),
  SENTINEL_DATA_ENCRYPTION_KEYS_JSON: JSON.stringify({ 'key-1': random(), 'key-0': random() }),
  SENTINEL_DATA_ACTIVE_KEY_ID: 'key-1',
  SENTINEL_MONITORING_BEARER_TOKEN: random(),
  SENTINEL_AUDIT_SIGNING_KEY_PATH: '/etc/sentinel/audit.key',
  SENTINEL_AUDIT_CHECKPOINT_DIR: '/mnt/checkpoints',
  SENTINEL_SENSITIVE_TAGS: 'payments',
  SENTINEL_ADMIN_USERS_JSON: JSON.stringify([person('ada', ['admin']), person('grace', ['approver'])]),
};

const behindProxy = {
  SENTINEL_HTTP_PORT: '8000',
  SENTINEL_TRUST_PROXY_CERT_HEADERS: 'true',
  SENTINEL_PROXY_SHARED_SECRET: random(),
};

/** A disk on which everything is in order; a case names what is not. */
const disk = (modes: Record<string, number | null> = {}): Files => ({
  look: (path) => {
    const mode = modes[path] ?? 0o600;
    return modes[path] === null ? null : { kind: path === '/mnt/checkpoints' ? 'directory' : 'file', mode };
  },
});

interface Case {
  readonly title: string;
  readonly change: Readonly<Record<string, string | undefined>>;
  readonly finds: readonly `${Finding['level']} ${string}`[];
  readonly production?: boolean;
  readonly expectProxyCertHeaders?: boolean;
  readonly modes?: Record<string, number | null>;
}

function findingsOf({
  change,
  production = true,
  expectProxyCertHeaders = false,
  modes,
}: Omit<Case, 'title' | 'finds'>): Finding[] {
  const options = { production, expectProxyCertHeaders, files: disk(modes), programDirectory: '/opt/sentinel' };
  return preflightEnvironment({ ...good, ...change }, options);
}

const assertions = {
  SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH: '/etc/sentinel/assertion.key,/etc/sentinel/assertion-old.pub',
  SENTINEL_TRUST_ASSERTION_ISSUER: 'https://sentinel.test',
  SENTINEL_TRUST_ASSERTION_ALLOWED_AUDIENCES: 'vpn,mail',
};

const cases: readonly Case[] = [
  { title: 'has nothing to say about an environment in order (DP-10)', change: {}, finds: [] },
  {
    title: 'has nothing to say about one in order behind a proxy (DP-11)',
    change: behindProxy,
    expectProxyCertHeaders: true,
    finds: [],
  },

  { title: 'has nothing to say about trust assertions that are in order (TF-05)', change: assertions, finds: [] },
  {
    title: 'refuses audiences without a key and an issuer of the installation’s own (TF-05)',
    change: { SENTINEL_TRUST_ASSERTION_ALLOWED_AUDIENCES: 'vpn' },
    finds: ['error SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH', 'error SENTINEL_TRUST_ASSERTION_ISSUER'],
  },
  {
    title: 'leaves a key of trust assertions to npm start without --production',
    change: { SENTINEL_TRUST_ASSERTION_ALLOWED_AUDIENCES: 'vpn' },
    production: false,
    finds: [],
  },
  {
    title: 'refuses a key of trust assertions that is not there, and one that others can read (TF-05)',
    change: assertions,
    modes: { '/etc/sentinel/assertion.key': 0o640, '/etc/sentinel/assertion-old.pub': null },
    finds: [
      'error SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH',
      'error SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH',
    ],
  },
  {
    title: 'refuses a key of trust assertions inside the program (AU-09)',
    change: { ...assertions, SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH: '/opt/sentinel/keys/assertion.key' },
    finds: ['error SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH'],
  },
  {
    title: 'warns of a key that nobody gets an assertion from, and of an issuer that is no address',
    change: {
      ...assertions,
      SENTINEL_TRUST_ASSERTION_ISSUER: 'sentinel',
      SENTINEL_TRUST_ASSERTION_ALLOWED_AUDIENCES: undefined,
    },
    finds: ['warning SENTINEL_TRUST_ASSERTION_ISSUER', 'warning SENTINEL_TRUST_ASSERTION_ALLOWED_AUDIENCES'],
  },
  {
    title: 'refuses an asterisk among the audiences (TF-06)',
    change: { ...assertions, SENTINEL_TRUST_ASSERTION_ALLOWED_AUDIENCES: '*' },
    finds: ['error SENTINEL_TRUST_ASSERTION_ALLOWED_AUDIENCES'],
  },
  {
    title: 'has nothing to say about a collector of traces at an https address',
    change: { SENTINEL_TRACES_ENDPOINT: 'https://collector.test/v1/traces' },
    finds: [],
  },
  {
    title: 'has nothing to say about one on loopback in clear',
    change: { SENTINEL_TRACES_ENDPOINT: 'http://[::1]:4318/v1/traces' },
    finds: [],
  },
  {
    title: 'has nothing to say about a private one in clear that is listed',
    change: {
      SENTINEL_TRACES_ENDPOINT: 'http://10.1.2.3:4318/v1/traces',
      SENTINEL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES: 'nonsense,10.1.0.0/99,10.1.0.0/16',
    },
    finds: [],
  },
  {
    title: 'refuses a collector that traces would be sent to in clear',
    change: {
      SENTINEL_TRACES_ENDPOINT: 'http://10.1.2.3:4318/v1/traces',
      SENTINEL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES: '10.2.0.0/16',
    },
    finds: ['error SENTINEL_TRACES_ENDPOINT'],
  },
  {
    title: 'refuses a collector that is no address',
    change: { SENTINEL_TRACES_ENDPOINT: 'collector:4318' },
    finds: ['error SENTINEL_TRACES_ENDPOINT'],
  },
  {
    title: 'warns of a collector without the path that collectors take traces at',
    change: { SENTINEL_TRACES_ENDPOINT: 'https://collector.test' },
    finds: ['warning SENTINEL_TRACES_ENDPOINT'],
  },
  {
    title: 'refuses a placeholder as app secret (DP-12)',
    change: { SENTINEL_SECRET_KEY: 'change-me' },
    finds: ['error SENTINEL_SECRET_KEY'],
  },
  {
    title: 'refuses a placeholder without --production too (DP-12)',
    change: { SENTINEL_JWT_SECRET: 'CHANGE_ME' },
    production: false,
    finds: ['error SENTINEL_JWT_SECRET'],
  },
  {
    title: 'refuses a placeholder that is long enough (DP-12)',
    change: { SENTINEL_JWT_SECRET: 'replace-me-with-something-long-and-random-please-0123' },
    finds: ['error SENTINEL_JWT_SECRET'],
  },
  {
    title: 'refuses a placeholder among the data keys (DP-12)',
    change: { SENTINEL_DATA_ENCRYPTION_KEYS_JSON: '{"key-1":"<your key>"}' },
    finds: ['error SENTINEL_DATA_ENCRYPTION_KEYS_JSON'],
  },
  {
    title: 'refuses a placeholder as database password (DP-12)',
    change: { SENTINEL_DATABASE_URL: 'postgresql://sentinel:changeme@127.0.0.1/sentinel' },
    finds: ['error SENTINEL_DATABASE_URL'],
  },
  {
    title: 'refuses an absent app secret (DP-12)',
    change: { SENTINEL_SECRET_KEY: '' },
    finds: ['error SENTINEL_SECRET_KEY'],
  },
  {
    title: 'refuses a short secret',
    change: { SENTINEL_JWT_SECRET: random(16) },
    finds: ['error SENTINEL_JWT_SECRET'],
  },
  {
    title: 'refuses a secret of one letter',
    change: { SENTINEL_JWT_SECRET: 'a'.repeat(43) },
    finds: ['error SENTINEL_JWT_SECRET'],
  },
  {
    title: 'refuses a secret that is not base64url',
    change: { SENTINEL_JWT_SECRET: 'correct horse battery staple, correct horse battery' },
    finds: ['error SENTINEL_JWT_SECRET'],
  },
  {
    title: 'refuses one secret for two purposes',
    change: { SENTINEL_JWT_SECRET: good['SENTINEL_SECRET_KEY'] },
    finds: ['error SENTINEL_JWT_SECRET'],
  },
  {
    title: 'refuses metrics for everybody in production',
    change: { SENTINEL_MONITORING_BEARER_TOKEN: undefined },
    finds: ['error SENTINEL_MONITORING_BEARER_TOKEN'],
  },

  {
    title: 'refuses an environment without data keys (AR-05, DP-12)',
    change: { SENTINEL_DATA_ENCRYPTION_KEYS_JSON: undefined },
    production: false,
    finds: ['error SENTINEL_DATA_ENCRYPTION_KEYS_JSON'],
  },
  {
    title: 'refuses data keys of which none is active (AR-05, DP-12)',
    change: { SENTINEL_DATA_ACTIVE_KEY_ID: undefined },
    production: false,
    finds: ['error SENTINEL_DATA_ACTIVE_KEY_ID'],
  },
  {
    title: 'refuses an active key that is not there (AR-05)',
    change: { SENTINEL_DATA_ACTIVE_KEY_ID: 'key-2' },
    finds: ['error SENTINEL_DATA_ACTIVE_KEY_ID'],
  },
  {
    title: 'refuses a data key of the wrong size',
    change: { SENTINEL_DATA_ENCRYPTION_KEYS_JSON: JSON.stringify({ 'key-1': random(16) }) },
    finds: ['error SENTINEL_DATA_ENCRYPTION_KEYS_JSON'],
  },
  {
    title: 'refuses data keys that are a list',
    change: { SENTINEL_DATA_ENCRYPTION_KEYS_JSON: '[]' },
    finds: ['error SENTINEL_DATA_ENCRYPTION_KEYS_JSON'],
  },

  {
    title: 'refuses to leave revocation out in production',
    change: { SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS: undefined },
    finds: ['error SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS'],
  },
  {
    title: 'takes a responder for it',
    change: {
      SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS: undefined,
      SENTINEL_DEVICE_CERTIFICATE_OCSP_REQUIRED: 'true',
      SENTINEL_DEVICE_CERTIFICATE_ISSUER_PATH: '/etc/sentinel/issuer.pem',
    },
    finds: [],
  },
  {
    title: 'refuses to ask a responder whose answers cannot be proven (RV-06)',
    change: { SENTINEL_DEVICE_CERTIFICATE_OCSP_REQUIRED: 'true' },
    production: false,
    finds: ['error SENTINEL_DEVICE_CERTIFICATE_ISSUER_PATH'],
  },
  {
    title: 'lets a trial leave revocation out',
    change: { SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS: undefined },
    production: false,
    finds: [],
  },
  {
    title: 'refuses a revocation list that is not there',
    change: {},
    modes: { '/var/lib/pki/devices-2.crl': null },
    production: false,
    finds: ['error SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS'],
  },
  {
    title: 'refuses devices without certificates, also without --production',
    change: { SENTINEL_REQUIRE_DEVICE_MTLS: 'false' },
    production: false,
    finds: ['error SENTINEL_REQUIRE_DEVICE_MTLS'],
  },
  {
    title: 'refuses devices without certificates on an open address',
    change: { SENTINEL_REQUIRE_DEVICE_MTLS: 'false', SENTINEL_HOST: '10.0.0.5' },
    finds: ['error SENTINEL_REQUIRE_DEVICE_MTLS', 'error SENTINEL_HOST'],
  },
  {
    title: 'refuses certificates that name no device in production',
    change: { SENTINEL_REQUIRE_CERT_COMMON_NAME_MATCH: 'false' },
    finds: ['error SENTINEL_REQUIRE_CERT_COMMON_NAME_MATCH'],
  },
  {
    title: 'warns of certificates that name no device elsewhere',
    change: { SENTINEL_REQUIRE_CERT_COMMON_NAME_MATCH: 'false' },
    production: false,
    finds: ['warning SENTINEL_REQUIRE_CERT_COMMON_NAME_MATCH'],
  },
  {
    title: 'refuses heartbeats without counters in production',
    change: { SENTINEL_REQUIRE_HEARTBEAT_COUNTERS: 'no' },
    finds: ['error SENTINEL_REQUIRE_HEARTBEAT_COUNTERS'],
  },
  {
    title: 'refuses an open enrollment window in production',
    change: { SENTINEL_REQUIRE_NEW_DEVICE_APPROVAL: 'off' },
    finds: ['error SENTINEL_REQUIRE_NEW_DEVICE_APPROVAL'],
  },
  {
    title: 'refuses single approval of sensitive devices in production',
    change: { SENTINEL_SENSITIVE_IDENTITY_APPROVALS: '1' },
    finds: ['error SENTINEL_SENSITIVE_IDENTITY_APPROVALS'],
  },
  {
    title: 'warns when no tag is sensitive',
    change: { SENTINEL_SENSITIVE_TAGS: '' },
    finds: ['warning SENTINEL_SENSITIVE_TAGS'],
  },
  {
    title: 'refuses times in the wrong order',
    change: { SENTINEL_DEVICE_OFFLINE_SECONDS: '60' },
    finds: ['error SENTINEL_DEVICE_OFFLINE_SECONDS'],
  },

  {
    title: 'refuses header trust without a shared secret (DP-11)',
    change: { ...behindProxy, SENTINEL_PROXY_SHARED_SECRET: undefined },
    production: false,
    finds: ['error SENTINEL_PROXY_SHARED_SECRET'],
  },
  {
    title: 'refuses a short shared secret (DP-11)',
    change: { ...behindProxy, SENTINEL_PROXY_SHARED_SECRET: random(8) },
    finds: ['error SENTINEL_PROXY_SHARED_SECRET'],
  },
  ...['0.0.0.0/0', '::/0', '10.0.0.0/8', '0.0.0.0', 'proxy.test', '10.0.0.1/33', '10.0.0.1/-1'].map(
    (address) =>
      ({
        title: `refuses ${address} as trusted proxy (DP-11)`,
        change: { ...behindProxy, SENTINEL_TRUSTED_PROXY_ADDRESSES: address },
        finds: ['error SENTINEL_TRUSTED_PROXY_ADDRESSES'],
      }) as const,
  ),
  {
    title: 'lets one other machine be the proxy',
    change: { ...behindProxy, SENTINEL_TRUSTED_PROXY_ADDRESSES: '10.0.0.7, fd00::7' },
    finds: [],
  },
  {
    title: 'asks for header trust where a proxy is expected (DP-11)',
    change: { ...behindProxy, SENTINEL_TRUST_PROXY_CERT_HEADERS: 'false' },
    expectProxyCertHeaders: true,
    production: false,
    finds: ['error SENTINEL_TRUST_PROXY_CERT_HEADERS'],
  },
  {
    title: 'asks for the listener that the proxy forwards to (DP-11)',
    change: { ...behindProxy, SENTINEL_HTTP_PORT: undefined },
    expectProxyCertHeaders: true,
    finds: ['error SENTINEL_HTTP_PORT'],
  },
  {
    title: 'refuses an API that is open beside the proxy (DP-11)',
    change: { ...behindProxy, SENTINEL_HOST: '10.0.0.5' },
    expectProxyCertHeaders: true,
    finds: ['error SENTINEL_HOST'],
  },
  {
    title: 'refuses an API on every address beside a proxy',
    change: { ...behindProxy, SENTINEL_HOST: '0.0.0.0' },
    finds: ['error SENTINEL_HOST'],
  },
  {
    title: 'warns of a shared secret without effect',
    change: { SENTINEL_PROXY_SHARED_SECRET: random() },
    finds: ['warning SENTINEL_PROXY_SHARED_SECRET'],
  },

  { title: 'warns of an API on every address', change: { SENTINEL_HOST: '::' }, finds: ['warning SENTINEL_HOST'] },
  {
    title: 'refuses a public address without https',
    change: { SENTINEL_PUBLIC_URL: 'http://sentinel.test' },
    finds: ['error SENTINEL_PUBLIC_URL'],
  },
  {
    title: 'refuses a half-set server certificate',
    change: { SENTINEL_TLS_KEY: undefined },
    production: false,
    finds: ['error SENTINEL_TLS_KEY'],
  },
  {
    title: 'refuses the development authority in production',
    change: { SENTINEL_TLS_CERT: undefined, SENTINEL_TLS_KEY: undefined, SENTINEL_TLS_CA: undefined },
    finds: ['error SENTINEL_TLS_CA'],
  },
  {
    title: 'refuses a certificate file that is not there',
    change: {},
    modes: { '/etc/sentinel/server.pem': null },
    finds: ['error SENTINEL_TLS_CERT'],
  },
  {
    title: 'refuses a key that others can read in production',
    change: {},
    modes: { '/etc/sentinel/server.key': 0o640 },
    finds: ['error SENTINEL_TLS_KEY'],
  },
  {
    title: 'refuses a signing key inside the folder of the program',
    change: { SENTINEL_AUDIT_SIGNING_KEY_PATH: '/opt/sentinel/keys/audit.key' },
    finds: ['error SENTINEL_AUDIT_SIGNING_KEY_PATH'],
  },
  {
    title: 'warns of checkpoints beside the data',
    change: { SENTINEL_AUDIT_CHECKPOINT_DIR: undefined },
    finds: ['warning SENTINEL_AUDIT_CHECKPOINT_DIR'],
  },

  {
    title: 'refuses the embedded Temporal in production',
    change: { SENTINEL_TEMPORAL_ADDRESS: undefined },
    finds: ['error SENTINEL_TEMPORAL_ADDRESS'],
  },
  {
    title: 'refuses a plaintext Temporal that is not loopback',
    change: {
      SENTINEL_TEMPORAL_TLS_CA: undefined,
      SENTINEL_TEMPORAL_TLS_CERT: undefined,
      SENTINEL_TEMPORAL_TLS_KEY: undefined,
    },
    production: false,
    finds: ['error SENTINEL_TEMPORAL_ADDRESS'],
  },
  {
    title: 'refuses a Temporal that does not know who calls',
    change: { SENTINEL_TEMPORAL_TLS_CERT: undefined, SENTINEL_TEMPORAL_TLS_KEY: undefined },
    finds: ['error SENTINEL_TEMPORAL_TLS_CERT'],
  },
  {
    title: 'refuses a Temporal certificate without its key',
    change: { SENTINEL_TEMPORAL_TLS_KEY: undefined },
    finds: ['error SENTINEL_TEMPORAL_TLS_CERT'],
  },
  {
    title: 'refuses a Temporal address without a port',
    change: { SENTINEL_TEMPORAL_ADDRESS: 'temporal.test' },
    finds: ['error SENTINEL_TEMPORAL_ADDRESS'],
  },
  {
    title: 'refuses a database that is not verified in production',
    change: { SENTINEL_DATABASE_URL: `postgresql://s:${random()}@db.test/s?sslmode=require` },
    finds: ['error SENTINEL_DATABASE_URL'],
  },
  {
    title: 'warns of the embedded database in production',
    change: { SENTINEL_DATABASE_URL: undefined },
    finds: ['warning SENTINEL_DATABASE_URL'],
  },

  {
    title: 'refuses a password in place of its hash',
    change: { SENTINEL_ADMIN_USERNAME: 'ada', SENTINEL_ADMIN_PASSWORD_HASH: 'hunter2hunter2' },
    production: false,
    finds: ['error SENTINEL_ADMIN_PASSWORD_HASH'],
  },
  {
    title: 'refuses a user without a hash',
    change: {
      SENTINEL_ADMIN_USERS_JSON: JSON.stringify([
        person('ada', ['admin']),
        person('g', ['approver']),
        { username: 'x', roles: ['viewer'] },
      ]),
    },
    finds: ['error SENTINEL_ADMIN_USERS_JSON'],
  },
  {
    title: 'accepts the older hash formats',
    change: { SENTINEL_ADMIN_USERNAME: 'old', SENTINEL_ADMIN_PASSWORD_HASH: 'scrypt:32768:8:1$salt$00ff' },
    finds: [],
  },
  {
    title: 'warns of fewer approvers than a sensitive device needs',
    change: {
      SENTINEL_ADMIN_USERS_JSON: JSON.stringify([
        person('ada', ['admin']),
        { ...person('grace', ['approver']), disabled: true },
      ]),
    },
    finds: ['warning SENTINEL_ADMIN_USERS_JSON'],
  },
  {
    title: 'refuses an installation that nobody may sign in to',
    change: { SENTINEL_ADMIN_USERS_JSON: undefined },
    finds: ['error SENTINEL_ADMIN_USERS_JSON'],
  },

  {
    title: 'warns of a misspelt setting',
    change: { SENTINEL_JWT_SECERT: 'x' },
    finds: ['warning SENTINEL_JWT_SECERT'],
  },
  {
    title: 'names every value that cannot be read',
    change: { SENTINEL_PORT: 'https', SENTINEL_REQUIRE_DEVICE_MTLS: 'maybe' },
    finds: ['error SENTINEL_PORT', 'error SENTINEL_REQUIRE_DEVICE_MTLS'],
  },
];

describe('preflight (DP-10, DP-11, AR-05)', () => {
  for (const { title, finds, ...given } of cases) {
    it(title, () => {
      const findings = findingsOf(given);
      assert.deepEqual(
        findings.map(({ level, setting }) => `${level} ${setting}`),
        finds,
      );
      assert.equal(
        hasErrors(findings),
        finds.some((find) => find.startsWith('error')),
      );
    });
  }

  it('refuses production without any word of the authority on revocation (RV-10)', () => {
    const lists = 'SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS';
    const without = { [lists]: undefined };
    assert.deepEqual(
      findingsOf({ change: without }).map(({ setting }) => setting),
      [lists],
    );
    assert.deepEqual(findingsOf({ change: without, production: false }), []);
    assert.deepEqual(findingsOf({ change: {} }), []);
  });

  it('never quotes a secret', () => {
    const canary = 'Canary-canary-0123456789';
    const secrets = [
      'SECRET_KEY',
      'JWT_SECRET',
      'PROXY_SHARED_SECRET',
      'MONITORING_BEARER_TOKEN',
      'ADMIN_PASSWORD_HASH',
    ];
    const change = {
      ...Object.fromEntries(secrets.map((name) => [`SENTINEL_${name}`, canary])),
      SENTINEL_DATA_ENCRYPTION_KEYS_JSON: JSON.stringify({ 'key-1': canary }),
      SENTINEL_DATABASE_URL: `mysql://sentinel:${canary}@db.test/`,
      SENTINEL_ADMIN_USERNAME: 'ada',
    };
    assert.equal(JSON.stringify(findingsOf({ change })).includes(canary), false);
    const broken = { SENTINEL_DATA_ENCRYPTION_KEYS_JSON: `{${canary}`, SENTINEL_ADMIN_USERS_JSON: `[${canary}` };
    assert.equal(JSON.stringify(findingsOf({ change: broken })).includes(canary), false);
  });

  it('refuses .env.example until every placeholder is filled in (DP-12, DP-27)', () => {
    const path = fileURLToPath(new URL('../../../.env.example', import.meta.url));
    const options = { production: false, expectProxyCertHeaders: false, files: disk() };
    const copied = readEnvFile(path);
    const refused = preflightEnvironment(copied, options).filter(({ level }) => level === 'error');
    const placeholders = Object.keys(copied).filter((name) => copied[name]?.includes('change-me'));
    assert.ok(placeholders.length > 0);
    for (const name of placeholders)
      assert.ok(
        refused.some(({ setting }) => setting === name),
        name,
      );

    // What somebody does who follows the comments of the file.
    const pasted = readFileSync(path, 'utf8')
      .split('\n')
      .map((line) =>
        line
          .replace(/^(SENTINEL_ADMIN_PASSWORD_HASH=).*/, `$1${hash.replaceAll('$', '$$$$')}`)
          .replace('change-me', () => random()),
      );
    const filled = Object.fromEntries(
      pasted
        .filter((line) => /^[A-Z]/.test(line))
        .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1).replace(/^'|'$/g, '')]),
    );
    assert.deepEqual(
      preflightEnvironment(filled, options).filter(({ level }) => level === 'error'),
      [],
    );
  });
});
