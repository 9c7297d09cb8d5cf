// Every setting, in one table: name, kind, default, limits and meaning. `docs/settings.md` and the preflight derive from it.
import { TrustError } from './problems.ts';

type Kind = 'text' | 'path' | 'integer' | 'boolean' | 'list' | 'json';

interface Setting {
  readonly kind: Kind;
  /** Value when the setting is absent; `null` means off, or found by the part that uses it. */
  readonly default: string | number | boolean | null;
  readonly minimum?: number;
  readonly maximum?: number;
  /** Never printed, logged or shown; the preflight refuses placeholders. */
  readonly secret?: true;
  readonly meaning: string;
}

export const settings = {
  SENTINEL_HOME: { kind: 'path', default: '.sentinel', meaning: 'Folder of all state, mode 0700. Safe to delete.' },
  SENTINEL_PORT: {
    kind: 'integer',
    default: 8443,
    minimum: 0,
    maximum: 65535,
    meaning:
      'HTTPS port of API and console, and of devices unless SENTINEL_DEVICE_PORT is set. 0 turns the direct listener off.',
  },
  SENTINEL_DEVICE_PORT: {
    kind: 'integer',
    default: null,
    minimum: 1,
    maximum: 65535,
    meaning: 'A port of its own for devices; SENTINEL_PORT then no longer asks for client certificates.',
  },
  SENTINEL_HTTP_PORT: {
    kind: 'integer',
    default: null,
    minimum: 1,
    maximum: 65535,
    meaning: 'Plain HTTP on loopback, for a proxy on the same machine.',
  },
  SENTINEL_HOST: { kind: 'text', default: '127.0.0.1', meaning: 'Address that the HTTPS listeners bind to.' },
  SENTINEL_PUBLIC_URL: {
    kind: 'text',
    default: null,
    meaning: 'Address that browsers use, when it is not https://localhost:SENTINEL_PORT.',
  },
  SENTINEL_DATABASE_PORT: {
    kind: 'integer',
    default: 54329,
    minimum: 1,
    maximum: 65535,
    meaning: 'Loopback port of the embedded Postgres.',
  },
  SENTINEL_TEMPORAL_PORT: {
    kind: 'integer',
    default: 7233,
    minimum: 1,
    maximum: 65535,
    meaning: 'Loopback port of the embedded Temporal frontend.',
  },
  SENTINEL_TEMPORAL_UI_PORT: {
    kind: 'integer',
    default: 8233,
    minimum: 1,
    maximum: 65535,
    meaning: 'Loopback port of the embedded Temporal UI; people reach it through the API, at /temporal/.',
  },
  SENTINEL_DATABASE_URL: {
    kind: 'text',
    default: null,
    secret: true,
    meaning: 'External PostgreSQL 16 or newer; embedded when absent.',
  },
  SENTINEL_DATABASE_POOL: {
    kind: 'integer',
    default: 10,
    minimum: 2,
    maximum: 200,
    meaning: 'Database connections of each process.',
  },
  SENTINEL_TEMPORAL_ADDRESS: {
    kind: 'text',
    default: null,
    meaning: 'External Temporal frontend, host:port; embedded when absent. Anything but loopback needs TLS.',
  },
  SENTINEL_TEMPORAL_NAMESPACE: { kind: 'text', default: 'default', meaning: 'Temporal namespace.' },
  SENTINEL_TEMPORAL_TASK_QUEUE: { kind: 'text', default: 'sentinel', meaning: 'Task queue of the worker.' },
  SENTINEL_TEMPORAL_UI_URL: {
    kind: 'text',
    default: null,
    meaning: 'Loopback address of an external Temporal UI, served with the public path /temporal.',
  },
  SENTINEL_TEMPORAL_TLS_CA: {
    kind: 'path',
    default: null,
    meaning: 'Authority of the Temporal frontend’s certificate (PEM). Turns TLS on.',
  },
  SENTINEL_TEMPORAL_TLS_CERT: {
    kind: 'path',
    default: null,
    meaning: 'Client certificate for the Temporal frontend (PEM).',
  },
  SENTINEL_TEMPORAL_TLS_KEY: { kind: 'path', default: null, meaning: 'Key of that client certificate (PEM).' },
  SENTINEL_TEMPORAL_TLS_SERVER_NAME: {
    kind: 'text',
    default: null,
    meaning: 'Name to expect in the Temporal frontend’s certificate.',
  },
  SENTINEL_TEMPORAL_API_KEY: {
    kind: 'text',
    default: null,
    secret: true,
    meaning: 'API key for Temporal Cloud. Turns TLS on.',
  },
  SENTINEL_TEMPORAL_OPAQUE_IDS: {
    kind: 'boolean',
    default: false,
    meaning: 'Use keyed hashes instead of device names in workflow ids.',
  },
  SENTINEL_WORKER_CACHE: {
    kind: 'integer',
    default: 1000,
    minimum: 2,
    maximum: 100000,
    meaning: 'Workflows that a worker keeps in memory.',
  },
  SENTINEL_TLS_CERT: {
    kind: 'path',
    default: null,
    meaning: 'Server certificate chain (PEM). Set all three of TLS_CERT, TLS_KEY and TLS_CA, or none.',
  },
  SENTINEL_TLS_KEY: { kind: 'path', default: null, meaning: 'Server key (PEM).' },
  SENTINEL_TLS_CA: {
    kind: 'path',
    default: null,
    meaning: 'Authorities whose certificates identify devices of the project default (PEM).',
  },
  SENTINEL_REQUIRE_DEVICE_MTLS: {
    kind: 'boolean',
    default: true,
    meaning:
      'Demand a verified client certificate on heartbeats. Off: loopback only, tier at most observed, no commands.',
  },
  SENTINEL_REQUIRE_CERT_COMMON_NAME_MATCH: {
    kind: 'boolean',
    default: true,
    meaning: 'The certificate’s only common name must equal device_id.',
  },
  SENTINEL_REQUIRE_HEARTBEAT_COUNTERS: {
    kind: 'boolean',
    default: true,
    meaning: 'Demand a counter that grows with every heartbeat.',
  },
  SENTINEL_REQUIRE_NEW_DEVICE_APPROVAL: {
    kind: 'boolean',
    default: true,
    meaning: 'Off opens the enrollment window: an unknown device is approved at its first valid heartbeat.',
  },
  SENTINEL_ATTESTATION_PROVIDER: {
    kind: 'text',
    default: null,
    meaning:
      'What devices are asked to prove: signed_measurement_v1 or tpm_quote_v1. When not set, nobody is asked, and no device is more than monitored.',
  },
  SENTINEL_ATTESTATION_REQUIRED: {
    kind: 'boolean',
    default: false,
    meaning: 'Whether a device that has given no evidence is only observed. Needs SENTINEL_ATTESTATION_PROVIDER.',
  },
  SENTINEL_ATTESTATION_CHALLENGE_TTL_SECONDS: {
    kind: 'integer',
    default: 300,
    minimum: 5,
    maximum: 86400,
    meaning: 'How long a nonce may be answered.',
  },
  SENTINEL_ATTESTATION_MAX_EVIDENCE_AGE_SECONDS: {
    kind: 'integer',
    default: 300,
    minimum: 5,
    maximum: 604800,
    meaning: 'How long evidence counts after it was made; after that the device is stale and no longer trusted.',
  },
  SENTINEL_ATTESTATION_MAX_CLOCK_SKEW_SECONDS: {
    kind: 'integer',
    default: 60,
    minimum: 0,
    maximum: 3600,
    meaning: 'How far the clock of a device may be off in either direction.',
  },
  SENTINEL_ATTESTATION_PCR_BASELINES_JSON: {
    kind: 'json',
    default: null,
    meaning:
      'Approved register values: {"sha256": {"0": ["hex", …]}}, or a list of {"match_tags": [], "pcrs": {…}}, matched by assigned tags. Without one for a device its evidence is refused.',
  },
  SENTINEL_ATTESTATION_REQUIRE_HARDWARE_BINDING: {
    kind: 'boolean',
    default: false,
    meaning: 'Whether evidence of a TPM counts only with a stable identity of its hardware.',
  },
  SENTINEL_ATTESTATION_ALLOW_KEY_ROTATION_WITH_STABLE_BINDING: {
    kind: 'boolean',
    default: false,
    meaning: 'Whether another attestation key of the same hardware is taken over without a review.',
  },
  SENTINEL_ATTESTATION_REQUIRE_ENDORSEMENT_CHAIN: {
    kind: 'boolean',
    default: false,
    meaning:
      'Whether a TPM counts only when a manufacturer of SENTINEL_ATTESTATION_TRUSTED_ENDORSEMENT_ROOT_PATHS vouches for its endorsement key.',
  },
  SENTINEL_ATTESTATION_TRUSTED_ENDORSEMENT_ROOT_PATHS: {
    kind: 'list',
    default: '',
    meaning:
      'PEM files with the certificates of TPM manufacturers, read again when they change. One that cannot be read vouches for nobody.',
  },
  SENTINEL_ATTESTATION_ALLOWED_TPM_MANUFACTURERS: {
    kind: 'list',
    default: '',
    meaning: 'Vendor ids or organisations whose TPMs count, such as IFX; empty means every one.',
  },
  SENTINEL_ATTESTATION_ALLOWED_ENDORSEMENT_KEYS: {
    kind: 'list',
    default: '',
    meaning: 'SHA-256 digests of endorsement keys that may enroll, lower-case hex; empty means every one.',
  },
  SENTINEL_ATTESTATION_VERDICT_RETENTION_DAYS: {
    kind: 'integer',
    default: 7,
    minimum: 1,
    maximum: 3650,
    meaning: 'How long verdicts that changed nothing are kept; those that changed a standing are kept for ever.',
  },
  SENTINEL_TPM_QUOTE_VERIFIER_COMMAND: {
    kind: 'text',
    default: null,
    meaning:
      'A program that verifies TPM quotes in place of the built-in verifier: a path, or a JSON list of the program and its arguments. No shell.',
  },
  SENTINEL_TPM_QUOTE_VERIFIER_TIMEOUT_SECONDS: {
    kind: 'integer',
    default: 10,
    minimum: 1,
    maximum: 60,
    meaning: 'Time after which the verifier is killed with its children, and the evidence refused.',
  },
  SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS: {
    kind: 'list',
    default: '',
    meaning:
      'Files of revocation lists (PEM or DER), read again when they change. When set, a device whose authority has no current list is refused.',
  },
  SENTINEL_DEVICE_CERTIFICATE_ISSUER_PATH: {
    kind: 'path',
    default: null,
    meaning: 'Authorities below SENTINEL_TLS_CA that issue device certificates and say which are revoked (PEM).',
  },
  SENTINEL_DEVICE_CERTIFICATE_OCSP_REQUIRED: {
    kind: 'boolean',
    default: false,
    meaning:
      'Accept a device only on the word of an OCSP responder. Needs SENTINEL_DEVICE_CERTIFICATE_ISSUER_PATH with the authority that issued it.',
  },
  SENTINEL_DEVICE_CERTIFICATE_OCSP_URL: {
    kind: 'text',
    default: null,
    meaning: 'Address of the responder; the one that the certificate names when absent.',
  },
  SENTINEL_DEVICE_CERTIFICATE_OCSP_TIMEOUT_SECONDS: {
    kind: 'integer',
    default: 3,
    minimum: 1,
    maximum: 30,
    meaning: 'How long to wait for a responder.',
  },
  SENTINEL_DEVICE_CERTIFICATE_OCSP_MAX_AGE_SECONDS: {
    kind: 'integer',
    default: 86400,
    minimum: 60,
    maximum: 604800,
    meaning: 'Age from which an answer of a responder is no longer relied on, whatever the responder says.',
  },
  SENTINEL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES: {
    kind: 'list',
    default: '',
    meaning:
      'Addresses and ranges that may be called though they are private, loopback or link-local, such as 10.1.0.0/16.',
  },
  SENTINEL_REVOCATION_BLAST_RADIUS_PERCENT: {
    kind: 'integer',
    default: 10,
    minimum: 1,
    maximum: 100,
    meaning: 'An operations event names the cause first when revocation would refuse more than this part of the fleet.',
  },
  SENTINEL_TRUST_PROXY_CERT_HEADERS: {
    kind: 'boolean',
    default: false,
    meaning: 'Take the client certificate from the headers of the trusted proxy.',
  },
  SENTINEL_TRUSTED_PROXY_ADDRESSES: { kind: 'list', default: '127.0.0.1,::1', meaning: 'Addresses of that proxy.' },
  SENTINEL_PROXY_SHARED_SECRET: {
    kind: 'text',
    default: null,
    secret: true,
    meaning: 'What the proxy sends in X-Sentinel-Proxy-Secret; required with SENTINEL_TRUST_PROXY_CERT_HEADERS.',
  },
  SENTINEL_HEARTBEAT_INTERVAL_SECONDS: {
    kind: 'integer',
    default: 15,
    minimum: 1,
    maximum: 86400,
    meaning: 'How often devices are asked to report.',
  },
  SENTINEL_HEARTBEAT_SIGNAL_INTERVAL_SECONDS: {
    kind: 'integer',
    default: 43200,
    minimum: 0,
    maximum: 604800,
    meaning: 'A steady device signals its actor at most this often; 0 = on every heartbeat.',
  },
  SENTINEL_DEVICE_STALE_SECONDS: {
    kind: 'integer',
    default: 60,
    minimum: 1,
    maximum: 604800,
    meaning: 'Silence after which a device is stale.',
  },
  SENTINEL_DEVICE_OFFLINE_SECONDS: {
    kind: 'integer',
    default: 600,
    minimum: 1,
    maximum: 2592000,
    meaning: 'Silence after which a device is offline.',
  },
  SENTINEL_CERT_EXPIRING_SOON_DAYS: {
    kind: 'integer',
    default: 30,
    minimum: 1,
    maximum: 3650,
    meaning: 'Certificates with fewer days left are marked as expiring soon.',
  },
  SENTINEL_ROTATION_RECOMMENDED_DAYS: {
    kind: 'integer',
    default: 30,
    minimum: 1,
    maximum: 3650,
    meaning: 'Certificates with fewer days left should be rotated.',
  },
  SENTINEL_ROTATION_REQUIRED_DAYS: {
    kind: 'integer',
    default: 7,
    minimum: 1,
    maximum: 3650,
    meaning: 'Certificates with fewer days left have to be rotated; the larger of the two thresholds warns first.',
  },
  SENTINEL_IDENTITY_REVIEW_TTL_SECONDS: {
    kind: 'integer',
    default: 604800,
    minimum: 1,
    maximum: 31536000,
    meaning: 'How long an enrollment or rotation review stays open.',
  },
  SENTINEL_SENSITIVE_TAGS: { kind: 'list', default: '', meaning: 'Tags that make a device sensitive.' },
  SENTINEL_SENSITIVE_IDENTITY_APPROVALS: {
    kind: 'integer',
    default: 2,
    minimum: 1,
    maximum: 10,
    meaning: 'Distinct approvers that a sensitive device needs.',
  },
  SENTINEL_PENDING_DEVICES_LIMIT: {
    kind: 'integer',
    default: 10000,
    minimum: 1,
    maximum: 1000000,
    meaning: 'Devices of one project that may wait for approval; more are refused with 429.',
  },
  SENTINEL_FIRST_CONTACT_RATE: {
    kind: 'integer',
    default: 50,
    minimum: 1,
    maximum: 10000,
    meaning: 'New device actors that a project may start a second.',
  },
  SENTINEL_SECRET_KEY: {
    kind: 'text',
    default: null,
    secret: true,
    meaning: 'Key of CSRF tokens, cursors and opaque ids; at least 32 random bytes, base64url.',
  },
  SENTINEL_JWT_SECRET: {
    kind: 'text',
    default: null,
    secret: true,
    meaning: 'Key of sign-in tokens; at least 32 random bytes, base64url.',
  },
  SENTINEL_DATA_ENCRYPTION_KEYS_JSON: {
    kind: 'json',
    default: null,
    secret: true,
    meaning: 'Data-protection keys: {"<key id>": "<32 bytes, base64url>"}. Old keys stay readable.',
  },
  SENTINEL_DATA_ACTIVE_KEY_ID: { kind: 'text', default: null, meaning: 'Key id that new data is encrypted with.' },
  SENTINEL_AUDIT_SIGNING_KEY_PATH: {
    kind: 'path',
    default: null,
    meaning: 'Ed25519 key (PKCS #8 PEM) that signs audit checkpoints; only the sealer reads it.',
  },
  SENTINEL_AUDIT_CHECKPOINT_DIR: {
    kind: 'path',
    default: null,
    meaning:
      'Folder outside the database where signed checkpoints are also written; SENTINEL_HOME/checkpoints when absent.',
  },
  SENTINEL_AUDIT_CHECKPOINT_SECONDS: {
    kind: 'integer',
    default: 300,
    minimum: 5,
    maximum: 86400,
    meaning: 'How often a checkpoint is signed while something was sealed.',
  },
  SENTINEL_AUDIT_SEAL_LAG_LIMIT_SECONDS: {
    kind: 'integer',
    default: 300,
    minimum: 5,
    maximum: 86400,
    meaning: 'Changes are refused when sealing has failed for longer.',
  },
  SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH: {
    kind: 'list',
    default: '',
    meaning:
      'Files of Ed25519 keys, read again when they change: the first (PKCS #8 PEM) signs trust assertions, all are published at /.well-known/jwks.json. For a rotation name a second one, private or public (SPKI PEM). None: no assertion is made.',
  },
  SENTINEL_TRUST_ASSERTION_ISSUER: {
    kind: 'text',
    default: null,
    meaning:
      'What trust assertions say that they are from: the address that verifiers know this installation by. `npm start` takes its own address.',
  },
  SENTINEL_TRUST_ASSERTION_LIFETIME_SECONDS: {
    kind: 'integer',
    default: 60,
    minimum: 5,
    maximum: 300,
    meaning: 'How long a trust assertion holds; whatever happens to the device meanwhile is not in it.',
  },
  SENTINEL_TRUST_ASSERTION_ALLOWED_AUDIENCES: {
    kind: 'list',
    default: '',
    meaning: 'Names of systems that trust assertions may be made for, compared exactly; empty refuses every one.',
  },
  SENTINEL_ADMIN_USERS_JSON: {
    kind: 'json',
    default: null,
    secret: true,
    meaning:
      'People who may sign in: [{username, password_hash, roles, permissions?, mfa_totp_secret?, passkey_required?, disabled?}].',
  },
  SENTINEL_ADMIN_USERS_FILE: {
    kind: 'path',
    default: null,
    meaning: 'The same list in a file, read again when it changes; both together are one directory.',
  },
  SENTINEL_ADMIN_USERNAME: { kind: 'text', default: null, meaning: 'A single administrator’s user name.' },
  SENTINEL_ADMIN_PASSWORD_HASH: {
    kind: 'text',
    default: null,
    secret: true,
    meaning: 'That administrator’s password hash (argon2id, or Werkzeug’s scrypt or pbkdf2).',
  },
  SENTINEL_SESSION_SECONDS: {
    kind: 'integer',
    default: 43200,
    minimum: 60,
    maximum: 604800,
    meaning: 'How long a sign-in lasts.',
  },
  SENTINEL_MONITORING_BEARER_TOKEN: {
    kind: 'text',
    default: null,
    secret: true,
    meaning: 'Token that GET /api/metrics, and the metrics of worker and sealer, ask for.',
  },
  SENTINEL_METRICS_HOST: {
    kind: 'text',
    default: '127.0.0.1',
    meaning:
      'Address that the metrics of worker and sealer are served on; other than loopback needs SENTINEL_MONITORING_BEARER_TOKEN.',
  },
  SENTINEL_WORKER_METRICS_PORT: {
    kind: 'integer',
    default: null,
    minimum: 1,
    maximum: 65535,
    meaning: 'Plain HTTP port of the worker’s metrics, and of those of Temporal’s core in it, at /metrics.',
  },
  SENTINEL_SEALER_METRICS_PORT: {
    kind: 'integer',
    default: null,
    minimum: 1,
    maximum: 65535,
    meaning: 'Plain HTTP port of the sealer’s metrics, at /metrics.',
  },
  SENTINEL_TRACES_ENDPOINT: {
    kind: 'text',
    default: null,
    meaning:
      'Where API, worker and sealer send OpenTelemetry traces (OTLP over HTTP, JSON), such as https://collector.example/v1/traces; off when absent. Plain http only on loopback, or at an address of SENTINEL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES.',
  },
  SENTINEL_TRACES_SAMPLE_PERCENT: {
    kind: 'integer',
    default: 10,
    minimum: 1,
    maximum: 100,
    meaning:
      'Part of the heartbeats, of what is read and of periodic work that is traced; what people change always is.',
  },
  SENTINEL_LOG_LEVEL: { kind: 'text', default: 'info', meaning: 'debug, info, warn or error.' },
  SENTINEL_URL: { kind: 'text', default: null, meaning: 'Address of the API, for the command line.' },
  SENTINEL_TOKEN: { kind: 'text', default: null, secret: true, meaning: 'Sign-in token, for the command line.' },
  SENTINEL_CA_FILE: {
    kind: 'path',
    default: null,
    meaning: 'Authority that the command line trusts the API with (PEM).',
  },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof settings;
type Required<S extends Setting, T> = S['default'] extends null ? T | undefined : T;
type ValueOf<S extends Setting> = S['kind'] extends 'integer'
  ? Required<S, number>
  : S['kind'] extends 'boolean'
    ? boolean
    : S['kind'] extends 'list'
      ? readonly string[]
      : S['kind'] extends 'json'
        ? unknown
        : Required<S, string>;
export type Settings = { readonly [Name in SettingName]: ValueOf<(typeof settings)[Name]> };

const booleans: Record<string, boolean> = {
  true: true,
  '1': true,
  yes: true,
  on: true,
  false: false,
  '0': false,
  no: false,
  off: false,
};

/**
 * Reads every setting from an environment. All mistakes are reported in one error, each with the name of the setting.
 *
 * @throws TrustError `request.invalid` whose message lists `NAME: reason`, without values of secrets.
 */
export function readSettings(environment: Readonly<Record<string, string | undefined>>): Settings {
  const values: Record<string, unknown> = {};
  const mistakes: string[] = [];
  for (const [name, setting] of Object.entries(settings) as [SettingName, Setting][]) {
    const text = environment[name]?.trim();
    try {
      values[name] = text === undefined || text === '' ? absent(setting) : parse(setting, text);
    } catch (error) {
      mistakes.push(`${name}: ${(error as Error).message}`);
    }
  }
  if (mistakes.length > 0) throw new TrustError('request.invalid', { detail: mistakes.join('\n') });
  return values as unknown as Settings;
}

/**
 * A setting that has no default, for a process that cannot do without.
 *
 * @throws TrustError `request.invalid` whose message names the setting
 */
export function requireSetting<Name extends SettingName>(settings: Settings, name: Name): NonNullable<Settings[Name]> {
  const value = settings[name];
  if (value === undefined || value === null)
    throw new TrustError('request.invalid', { detail: `${name}: is not set, and this process cannot do without` });
  return value;
}

function absent(setting: Setting): unknown {
  if (setting.kind === 'list') return splitList(String(setting.default ?? ''));
  return setting.default ?? undefined;
}

function parse(setting: Setting, text: string): unknown {
  switch (setting.kind) {
    case 'text':
    case 'path':
      return text;
    case 'list':
      return splitList(text);
    case 'boolean': {
      const value = booleans[text.toLowerCase()];
      if (value === undefined) throw new RangeError('say true or false');
      return value;
    }
    case 'integer': {
      const value = Number(text);
      if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value)) throw new RangeError('say a whole number');
      if (setting.minimum !== undefined && value < setting.minimum)
        throw new RangeError(`must be at least ${setting.minimum}`);
      if (setting.maximum !== undefined && value > setting.maximum)
        throw new RangeError(`must be at most ${setting.maximum}`);
      return value;
    }
    case 'json':
      try {
        return JSON.parse(text) as unknown;
      } catch {
        // The text may be a secret, and the parser's message quotes it.
        throw new RangeError('is not valid JSON');
      }
  }
}

function splitList(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}
