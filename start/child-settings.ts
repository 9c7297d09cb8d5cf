// Which process gets which setting: the plain ones all of them, a secret only who needs it.
import { settings, type SettingName } from '#contracts/settings.ts';

export type ChildName = 'api' | 'worker' | 'sealer' | 'fleet';

const servers = ['api', 'worker', 'sealer'] as const;
/** Who speaks to Temporal. */
const speakers = ['api', 'worker'] as const;

/** Every setting that is a secret or leads to one. Whatever is missing here and marked secret goes to nobody. */
export const restrictedSettings: Partial<Record<SettingName, readonly ChildName[]>> = {
  // Each with a login of its own.
  SENTINEL_DATABASE_URL: servers,
  SENTINEL_TEMPORAL_API_KEY: speakers,
  SENTINEL_TEMPORAL_TLS_KEY: speakers,
  // Payloads are encrypted on both sides of Temporal.
  SENTINEL_DATA_ENCRYPTION_KEYS_JSON: speakers,
  // Workflow ids are keyed hashes with SENTINEL_TEMPORAL_OPAQUE_IDS.
  SENTINEL_SECRET_KEY: speakers,
  SENTINEL_JWT_SECRET: ['api'],
  SENTINEL_TLS_KEY: ['api'],
  SENTINEL_PROXY_SHARED_SECRET: ['api'],
  SENTINEL_ADMIN_USERS_JSON: ['api'],
  SENTINEL_ADMIN_USERS_FILE: ['api'],
  SENTINEL_ADMIN_USERNAME: ['api'],
  SENTINEL_ADMIN_PASSWORD_HASH: ['api'],
  SENTINEL_MONITORING_BEARER_TOKEN: servers,
  // Who can sign checkpoints could sign a forged history.
  SENTINEL_AUDIT_SIGNING_KEY_PATH: ['sealer'],
  // Who can sign assertions could vouch for any device.
  SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH: ['api'],
  // Who verifies them reads them where the database's owner cannot write.
  SENTINEL_AUDIT_CHECKPOINT_DIR: ['api', 'sealer'],
  // For the command line.
  SENTINEL_URL: ['fleet'],
  SENTINEL_CA_FILE: ['fleet'],
  SENTINEL_TOKEN: [],
};

/** What a simulated device needs besides its address. */
const fleetSettings: ReadonlySet<string> = new Set<SettingName>([
  'SENTINEL_HOME',
  'SENTINEL_LOG_LEVEL',
  'SENTINEL_URL',
  'SENTINEL_CA_FILE',
]);

/** Variables of the system that a Node process may depend on. */
const systemVariables = [
  'PATH',
  'HOME',
  'TMPDIR',
  'LANG',
  'TZ',
  'NODE_OPTIONS',
  'NODE_COMPILE_CACHE',
  'NODE_EXTRA_CA_CERTS',
  'SSL_CERT_FILE',
];

export type SettingTexts = Partial<Record<SettingName, string>>;

/** For programs that are none of ours. */
export function systemEnvironment(system: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    systemVariables.flatMap((name) => (system[name] === undefined ? [] : [[name, system[name]]])),
  );
}

/** The whole environment of one process. */
export function environmentOf(
  child: ChildName,
  texts: SettingTexts,
  system: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const environment = systemEnvironment(system);
  for (const name of Object.keys(settings) as SettingName[]) {
    const text = texts[name];
    if (text !== undefined && mayHave(child, name)) environment[name] = text;
  }
  return environment;
}

function mayHave(child: ChildName, name: SettingName): boolean {
  if (child === 'fleet') return fleetSettings.has(name);
  const allowed = restrictedSettings[name];
  if (allowed !== undefined) return allowed.includes(child);
  return !('secret' in settings[name]);
}
