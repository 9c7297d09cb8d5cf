// What the installation demands of devices and people, and what it keeps as proof.
import { resolve } from 'node:path';
import { permissionNames, permissionsOf, roles } from '#contracts/permissions.ts';
import type { SettingName } from '#contracts/settings.ts';
import { type Check, error, type Finding, warning, weakness } from './finding.ts';
import { makeHash } from './secrets.ts';

export function checkPosture(check: Check): Finding[] {
  return [...demands(check), ...timing(check), ...proof(check), ...people(check)];
}

/** Demands that can be switched off, and what then happens. */
const switches = [
  ['SENTINEL_REQUIRE_CERT_COMMON_NAME_MATCH', 'is off, so a certificate speaks for any device'],
  ['SENTINEL_REQUIRE_HEARTBEAT_COUNTERS', 'is off, so a recorded heartbeat can be sent again'],
  ['SENTINEL_REQUIRE_NEW_DEVICE_APPROVAL', 'is off, so every device with a valid certificate is approved'],
] as const satisfies readonly (readonly [SettingName, string])[];

function demands(check: Check): Finding[] {
  const { settings } = check;
  const findings = switches.flatMap(([name, problem]) =>
    settings[name] ? [] : [weakness(check, name, problem, `Set ${name}=true.`)],
  );
  if (!settings.SENTINEL_REQUIRE_DEVICE_MTLS)
    findings.unshift(
      error(
        'SENTINEL_REQUIRE_DEVICE_MTLS',
        'is off, so the identity of devices is not verified',
        'Set SENTINEL_REQUIRE_DEVICE_MTLS=true.',
      ),
    );
  if (settings.SENTINEL_SENSITIVE_IDENTITY_APPROVALS < 2)
    findings.push(
      weakness(
        check,
        'SENTINEL_SENSITIVE_IDENTITY_APPROVALS',
        'lets one person approve a sensitive device',
        'Set it to 2 or more.',
      ),
    );
  if (check.production && settings.SENTINEL_SENSITIVE_TAGS.length === 0)
    findings.push(
      warning(
        'SENTINEL_SENSITIVE_TAGS',
        'is empty, so no device needs a second approver',
        'Name the tags of sensitive devices.',
      ),
    );
  const lists = settings.SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS;
  const asks = settings.SENTINEL_DEVICE_CERTIFICATE_OCSP_REQUIRED;
  if (check.production && lists.length === 0 && !asks)
    findings.push(
      error(
        'SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS',
        'is empty, so a certificate that its authority revoked is accepted',
        'Name the files of its revocation lists, or set SENTINEL_DEVICE_CERTIFICATE_OCSP_REQUIRED=true.',
      ),
    );
  if (asks && settings.SENTINEL_DEVICE_CERTIFICATE_ISSUER_PATH === undefined)
    findings.push(
      error(
        'SENTINEL_DEVICE_CERTIFICATE_ISSUER_PATH',
        'is absent, so no answer of the OCSP responder can be proven and every device is refused',
        'Name the file of the authority that issues device certificates.',
      ),
    );
  for (const path of lists)
    if (check.files.look(path)?.kind !== 'file')
      findings.push(
        error(
          'SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS',
          `names ${path}, which is no file, so every device is refused`,
          'Correct the path, or publish the list.',
        ),
      );
  return findings;
}

function timing({ settings }: Check): Finding[] {
  const {
    SENTINEL_HEARTBEAT_INTERVAL_SECONDS: interval,
    SENTINEL_DEVICE_STALE_SECONDS: stale,
    SENTINEL_DEVICE_OFFLINE_SECONDS: offline,
  } = settings;
  const findings: Finding[] = [];
  if (stale < 2 * interval)
    findings.push(
      warning(
        'SENTINEL_DEVICE_STALE_SECONDS',
        'makes a device stale after one lost heartbeat',
        `Set it to ${2 * interval} or more.`,
      ),
    );
  if (offline <= stale)
    findings.push(
      error(
        'SENTINEL_DEVICE_OFFLINE_SECONDS',
        'is not above SENTINEL_DEVICE_STALE_SECONDS',
        'A device is stale before it is offline.',
      ),
    );
  if (!['debug', 'info', 'warn', 'error'].includes(settings.SENTINEL_LOG_LEVEL))
    findings.push(error('SENTINEL_LOG_LEVEL', 'is not a level', 'Say debug, info, warn or error.'));
  return findings;
}

function proof(check: Check): Finding[] {
  const { settings, files } = check;
  const findings: Finding[] = [];
  const key = settings.SENTINEL_AUDIT_SIGNING_KEY_PATH;
  if (key === undefined)
    findings.push(
      weakness(
        check,
        'SENTINEL_AUDIT_SIGNING_KEY_PATH',
        'is absent, so checkpoints are signed with a key made on this machine',
        'Give the sealer a key that you keep.',
      ),
    );
  else if (files.look(key)?.kind !== 'file')
    findings.push(error('SENTINEL_AUDIT_SIGNING_KEY_PATH', 'names no file', 'Correct the path.'));
  const checkpoints = settings.SENTINEL_AUDIT_CHECKPOINT_DIR;
  const home = resolve(settings.SENTINEL_HOME);
  if (check.production && (checkpoints === undefined || `${resolve(checkpoints)}/`.startsWith(`${home}/`)))
    findings.push(
      warning(
        'SENTINEL_AUDIT_CHECKPOINT_DIR',
        'is inside SENTINEL_HOME, so who loses one loses both',
        'Name a folder on other storage.',
      ),
    );
  if (checkpoints !== undefined && files.look(checkpoints)?.kind !== 'directory')
    findings.push(error('SENTINEL_AUDIT_CHECKPOINT_DIR', 'names no folder', 'Make the folder.'));
  return findings;
}

interface Person {
  readonly name: string;
  readonly setting: SettingName;
  readonly hash: unknown;
  readonly mayReview: boolean;
}

function people(check: Check): Finding[] {
  const { settings } = check;
  const single = settings.SENTINEL_ADMIN_USERNAME;
  const hash = settings.SENTINEL_ADMIN_PASSWORD_HASH;
  const list = settings.SENTINEL_ADMIN_USERS_JSON;
  const findings: Finding[] = [];
  if ((single === undefined) !== (hash === undefined))
    findings.push(error('SENTINEL_ADMIN_USERNAME', 'and SENTINEL_ADMIN_PASSWORD_HASH belong together', makeHash));
  if (list !== undefined && !Array.isArray(list))
    findings.push(
      error('SENTINEL_ADMIN_USERS_JSON', 'is not a list', 'Say [{"username": …, "password_hash": …, "roles": [...]}].'),
    );
  const persons: Person[] = [
    ...(single === undefined || hash === undefined
      ? []
      : [{ name: single, setting: 'SENTINEL_ADMIN_PASSWORD_HASH', hash, mayReview: true } as const]),
    ...(Array.isArray(list) ? list : []).flatMap(personOf),
  ];
  for (const { name, setting, hash: value } of persons)
    if (!isPasswordHash(value)) findings.push(error(setting, `has no usable password hash for ${name}`, makeHash));
  // What a file holds is judged when the directory is read, and may change at any time.
  if (settings.SENTINEL_ADMIN_USERS_FILE !== undefined) return findings;
  const reviewers = persons.filter(({ mayReview }) => mayReview).length;
  if (persons.length === 0)
    findings.push(
      weakness(
        check,
        'SENTINEL_ADMIN_USERS_JSON',
        'is absent, and nobody else may sign in',
        'Name the people who may.',
      ),
    );
  else if (reviewers < settings.SENTINEL_SENSITIVE_IDENTITY_APPROVALS)
    findings.push(
      warning(
        'SENTINEL_ADMIN_USERS_JSON',
        `holds ${reviewers} who may review, fewer than a sensitive device needs`,
        'Add an approver.',
      ),
    );
  return findings;
}

function personOf(entry: unknown): Person[] {
  if (typeof entry !== 'object' || entry === null)
    return [{ name: 'an entry', setting: 'SENTINEL_ADMIN_USERS_JSON', hash: null, mayReview: false }];
  const { username, password_hash: hash, roles: held, permissions, disabled } = entry as Record<string, unknown>;
  if (disabled === true) return [];
  const rights = permissionsOf({ roles: known(roles, held), permissions: known(permissionNames, permissions) });
  const name = typeof username === 'string' ? username : 'an entry';
  return [{ name, setting: 'SENTINEL_ADMIN_USERS_JSON', hash, mayReview: rights.includes('identity.review') }];
}

function known<Name extends string>(names: readonly Name[], given: unknown): Name[] {
  return names.filter((name) => Array.isArray(given) && given.includes(name));
}

function isPasswordHash(value: unknown): boolean {
  return (
    typeof value === 'string' && /^(\$argon2id\$v=19\$|scrypt:\d+:\d+:\d+\$|pbkdf2:sha(256|512)(:\d+)?\$)./.test(value)
  );
}
