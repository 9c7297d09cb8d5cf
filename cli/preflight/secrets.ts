// Secrets: there, made at random, long enough, and no two the same.
import { type SettingName, settings as table } from '#contracts/settings.ts';
import { type Check, error, type Finding, weakness } from './finding.ts';

const makeOne = `Make one with: node -p "require('node:crypto').randomBytes(32).toString('base64url')"`;
const wantedBytes = 32;

/** What people leave in a file that they meant to fill in. */
const placeholder =
  /change[\s_-]*(me|this|it)|replace[\s_-]*(me|this|with)|place[\s_-]*holder|your[\s_-]|example|insert[\s_-]|fill[\s_-]*(me|in)|dummy|default|secret|password|<[^>]*>|\.\.\.|x{6,}|12345|^(to[\s_-]?do|test|dev|none|null|undefined|admin|sentinel)$/i;

export function checkSecrets(check: Check): Finding[] {
  const { settings } = check;
  return [...placeholders(check), ...keys(check), ...dataKeys(settings)];
}

function placeholders({ settings }: Check): Finding[] {
  return secretNames
    .filter((name) => textsIn(settings[name]).some((text) => (wordy.includes(name) ? evident : placeholder).test(text)))
    .map((name) => error(name, 'is or holds a placeholder', wordy.includes(name) ? makeHash : makeOne));
}

export const makeHash = 'Make a hash with: sentinel admin hash-password';
const secretNames = (Object.keys(table) as SettingName[]).filter((name) => 'secret' in table[name]);
/** Values that hold words by their nature; only an evident placeholder counts there. */
const wordy: readonly SettingName[] = ['SENTINEL_ADMIN_USERS_JSON', 'SENTINEL_ADMIN_PASSWORD_HASH'];
const evident = /change[\s_-]*(me|this)|replace[\s_-]*(me|this)|place[\s_-]*holder/i;

function keys(check: Check): Finding[] {
  const { settings } = check;
  const required = ['SENTINEL_SECRET_KEY', 'SENTINEL_JWT_SECRET'] as const;
  const findings = required.flatMap((name) => weakKey(name, settings[name]));
  if (settings.SENTINEL_TRUST_PROXY_CERT_HEADERS || settings.SENTINEL_PROXY_SHARED_SECRET !== undefined)
    findings.push(...weakKey('SENTINEL_PROXY_SHARED_SECRET', settings.SENTINEL_PROXY_SHARED_SECRET));
  if (settings.SENTINEL_MONITORING_BEARER_TOKEN === undefined)
    findings.push(
      weakness(check, 'SENTINEL_MONITORING_BEARER_TOKEN', 'is absent, so anybody may read the metrics', makeOne),
    );
  else findings.push(...weakKey('SENTINEL_MONITORING_BEARER_TOKEN', settings.SENTINEL_MONITORING_BEARER_TOKEN));
  return [...findings, ...reused(check)];
}

function weakKey(name: SettingName, value: string | undefined): Finding[] {
  if (value === undefined) return [error(name, 'is absent', makeOne)];
  // A placeholder was named as one already.
  if (placeholder.test(value)) return [];
  const reason = whyWeak(value);
  return reason === null ? [] : [error(name, reason, makeOne)];
}

/** Why a text cannot be 32 random bytes; `null` when it can. */
function whyWeak(value: string): string | null {
  if (!/^[A-Za-z0-9_-]+={0,2}$/.test(value)) return 'is not base64url';
  if (Buffer.from(value, 'base64url').length < wantedBytes) return `is shorter than ${wantedBytes} bytes`;
  // 43 random characters have fewer than ten different ones less often than once in 10^18 times.
  if (new Set(value).size < 10) return 'repeats itself, so it was not made at random';
  return null;
}

/** One key for two purposes lets what is signed for one pass for the other. */
function reused({ settings }: Check): Finding[] {
  const seen = new Map<string, SettingName>();
  const findings: Finding[] = [];
  for (const name of secretNames.filter((candidate) => !wordy.includes(candidate))) {
    for (const text of textsIn(settings[name])) {
      const first = seen.get(text);
      if (first !== undefined && first !== name && !placeholder.test(text))
        findings.push(error(name, `is the same as ${first}`, `Give each its own value. ${makeOne}`));
      seen.set(text, name);
    }
  }
  return findings;
}

function dataKeys(settings: Check['settings']): Finding[] {
  const name = 'SENTINEL_DATA_ENCRYPTION_KEYS_JSON';
  const value = settings[name];
  const active = settings.SENTINEL_DATA_ACTIVE_KEY_ID;
  const shape = 'Say {"<key id>": "<32 random bytes, base64url>"}. ' + makeOne;
  if (value === undefined) return [error(name, 'is absent, so nothing can be encrypted', shape)];
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return [error(name, 'is not an object', shape)];
  const entries = Object.entries(value as Record<string, unknown>);
  const findings = entries.flatMap(([id, key]) => {
    if (typeof key !== 'string') return [error(name, `has no text for the key ${id}`, shape)];
    if (placeholder.test(key)) return [];
    const reason =
      whyWeak(key) ?? (Buffer.from(key, 'base64url').length === wantedBytes ? null : 'is longer than 32 bytes');
    return reason === null ? [] : [error(name, `has a key, ${id}, that ${reason}`, shape)];
  });
  if (active === undefined || !entries.some(([id]) => id === active)) {
    const problem = active === undefined ? 'is absent, so no key is active' : 'names a key that is not there';
    findings.push(error('SENTINEL_DATA_ACTIVE_KEY_ID', problem, `Name one of the keys in ${name}.`));
  }
  return findings;
}

/** Every text inside a value; of an address with a password only that. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return URL.canParse(value) ? [decodeURIComponent(new URL(value).password)] : [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(textsIn);
}
