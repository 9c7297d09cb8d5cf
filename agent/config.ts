// The configuration of an agent, one table of keys: reading, documentation and the advice on misspelt names derive from it.
// Plain code and no schema library, which would cost an endpoint more memory than the rest of the agent.
import { isAbsolute, join } from 'node:path';
import { attestationProviders } from '#contracts/attestation.ts';
import { deviceIdPattern, tagPattern } from '#contracts/ids.ts';
import { nearestName } from './nearest-name.ts';

type Kind = 'text' | 'path' | 'list' | 'integer';

interface ConfigKey {
  readonly kind: Kind;
  /** Value when the key is absent or empty; `undefined` when it has to be there. */
  readonly default?: string | number | null | readonly string[];
  /** What a value, or each item of a list, has to look like. */
  readonly pattern?: string;
  readonly oneOf?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxItems?: number;
  /** What the key is for, when this version cannot do it yet: the key is checked, and then has no effect. */
  readonly notYet?: string;
  readonly meaning: string;
}

const logLevels = ['debug', 'info', 'warn', 'error'] as const;

export const configKeys = {
  device_id: {
    kind: 'text',
    pattern: deviceIdPattern,
    meaning: 'Name of this device: the common name of its certificate.',
  },
  server_url: {
    kind: 'text',
    pattern: '^https://[^\\s/?#@\\\\]+/?$',
    meaning: 'Where Sentinel takes heartbeats: `https://host:port`, without a path.',
  },
  server_ca_path: {
    kind: 'path',
    default: null,
    meaning: 'Authorities (PEM) to trust the server with. The well-known public ones when empty.',
  },
  certificate_path: { kind: 'path', meaning: 'Certificate of this device (PEM), its chain below it if there is one.' },
  private_key_path: { kind: 'path', meaning: 'Key of that certificate (PEM), readable by the agent only (0600).' },
  state_path: {
    kind: 'path',
    meaning:
      'File that the agent keeps its next heartbeat counter and the open challenge in. Only the agent writes it, and it must survive restarts.',
  },
  tags: {
    kind: 'list',
    default: [],
    pattern: tagPattern,
    maxItems: 64,
    meaning: 'What the device says that it is for. Tags never lower what is asked of it.',
  },
  entra_device_id: {
    kind: 'text',
    default: null,
    pattern: '^[\\x21-\\x7e]{1,64}$',
    meaning: 'Id of this device in Microsoft Entra, which the heartbeat reports.',
  },
  azure_ad_device_id: {
    kind: 'text',
    default: null,
    pattern: '^[\\x21-\\x7e]{1,64}$',
    meaning: 'The same under its older name, for whoever matches devices by that.',
  },
  log_level: {
    kind: 'text',
    default: 'info',
    oneOf: logLevels,
    meaning: 'What is logged: `debug` (every heartbeat), `info`, `warn` or `error`.',
  },
  attestation_provider: {
    kind: 'text',
    default: null,
    oneOf: attestationProviders,
    meaning:
      'How the device proves the state it booted in: `signed_measurement_v1`, which is also meant when it is empty, or `tpm_quote_v1`.',
  },
  attestation_private_key_path: {
    kind: 'path',
    default: null,
    meaning:
      'Ed25519 key (PEM) that signs measurements, readable by the agent only (0600). Attestation is off while both are empty.',
  },
  attestation_public_key_path: {
    kind: 'path',
    default: null,
    meaning: 'Public half of that key (PEM).',
  },
  measured_pcrs_path: {
    kind: 'path',
    default: null,
    meaning:
      'Register values to sign, `{"sha256": {"0": "…"}}`. What is not in there is taken from the kernel, where it shows the registers of a TPM.',
  },
  tpm_quote_command: {
    kind: 'list',
    default: [],
    maxItems: 32,
    meaning:
      'Program and arguments that make a TPM quote: a request on standard input, a quote bundle on standard output. No shell reads it.',
  },
  tpm_quote_timeout_seconds: {
    kind: 'integer',
    default: 30,
    minimum: 1,
    maximum: 300,
    meaning: 'Time after which that program is killed with its children, and the heartbeat goes without evidence.',
  },
  update_signing_public_key_path: {
    kind: 'path',
    default: null,
    notYet: 'updates',
    meaning: 'Ed25519 public key (PEM) that update manifests are signed with.',
  },
  update_download_dir: {
    kind: 'path',
    default: null,
    notYet: 'updates',
    meaning: 'Folder that updates are downloaded to.',
  },
  update_apply_command: {
    kind: 'list',
    default: [],
    maxItems: 32,
    notYet: 'updates',
    meaning: 'Program and arguments that install a verified update.',
  },
  update_rollback_command: {
    kind: 'list',
    default: [],
    maxItems: 32,
    notYet: 'updates',
    meaning: 'Program and arguments that take an update back.',
  },
  update_download_timeout_seconds: {
    kind: 'integer',
    default: 300,
    minimum: 1,
    maximum: 86_400,
    notYet: 'updates',
    meaning: 'Limit of a download.',
  },
  update_apply_timeout_seconds: {
    kind: 'integer',
    default: 900,
    minimum: 1,
    maximum: 86_400,
    notYet: 'updates',
    meaning: 'Limit of an installation.',
  },
  update_rollback_timeout_seconds: {
    kind: 'integer',
    default: 900,
    minimum: 1,
    maximum: 86_400,
    notYet: 'updates',
    meaning: 'Limit of taking an update back.',
  },
} as const satisfies Readonly<Record<string, ConfigKey>>;

export type ConfigName = keyof typeof configKeys;
export const configNames = Object.keys(configKeys) as ConfigName[];

type ValueOf<Row extends ConfigKey> =
  | (Row extends { oneOf: readonly (infer Choice)[] }
      ? Choice
      : { text: string; path: string; list: readonly string[]; integer: number }[Row['kind']])
  | (Row extends { default: null } ? null : never);

/** Paths are absolute; `null` is what was left empty. */
export type AgentConfig = { readonly [Name in ConfigName]: ValueOf<(typeof configKeys)[Name]> };

export interface ConfigMistake {
  /** Key of the configuration; '' when it is about the whole file. */
  readonly key: string;
  readonly problem: string;
  readonly advice: string;
}

/** A configuration that cannot be used. Says everything that is wrong with it, and holds no value of it. */
export class ConfigError extends Error {
  readonly mistakes: readonly ConfigMistake[];
  constructor(mistakes: readonly ConfigMistake[]) {
    super(mistakes.map(({ key, problem, advice }) => `${key}${key && ' '}${problem}. ${advice}`).join('\n'));
    this.name = 'ConfigError';
    this.mistakes = mistakes;
  }
}

const reference = 'docs/agent-config.md lists all keys.';

/**
 * Reads a configuration.
 *
 * @param directory What relative paths start from: the folder of the file.
 * @throws ConfigError
 */
export function parseConfig(text: string, directory: string): AgentConfig {
  return readConfig(parseObject(text), directory);
}

/** Reads a configuration that is an object already. */
export function readConfig(given: Readonly<Record<string, unknown>>, directory: string): AgentConfig {
  const mistakes: ConfigMistake[] = Object.keys(given)
    .filter((name) => !Object.hasOwn(configKeys, name))
    .map(unknownKey);
  const values: Record<string, unknown> = {};
  for (const [key, row] of Object.entries<ConfigKey>(configKeys)) {
    const value = given[key];
    const isEmpty = value === undefined || value === null || value === '';
    const mistake = isEmpty ? absent(row) : mistakeIn(row, value);
    if (mistake !== null) mistakes.push({ key, ...mistake });
    else if (isEmpty) values[key] = row.default;
    else values[key] = row.kind === 'path' && !isAbsolute(value as string) ? join(directory, value as string) : value;
  }
  if (mistakes.length > 0) throw new ConfigError(mistakes);
  return values as AgentConfig;
}

/** Keys that are set although this version cannot do what they are for. */
export function notYetSupported(config: AgentConfig): { readonly key: ConfigName; readonly feature: string }[] {
  return configNames.flatMap((key) => {
    const row: ConfigKey = configKeys[key];
    const isSet = JSON.stringify(config[key]) !== JSON.stringify(row.default);
    return row.notYet !== undefined && isSet ? [{ key, feature: row.notYet }] : [];
  });
}

function parseObject(text: string): Record<string, unknown> {
  const value = parseJson(text.replace(/^\uFEFF/, ''));
  if (value instanceof SyntaxError) {
    // The parser's own message quotes the text, which may hold what does not belong there.
    const position = /position (\d+)/.exec(value.message)?.[1];
    const line = position === undefined ? '' : `, line ${text.slice(0, Number(position)).split('\n').length}`;
    throw new ConfigError([
      { key: '', problem: `This is not JSON${line}`, advice: 'Look for a missing comma, quote or bracket there.' },
    ]);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ConfigError([{ key: '', problem: 'This is not a JSON object', advice: reference }]);
  return value as Record<string, unknown>;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    return error;
  }
}

function unknownKey(name: string): ConfigMistake {
  const nearest = nearestName(name, configNames);
  return {
    key: JSON.stringify(name.slice(0, 64)),
    problem: 'is not a key of the configuration',
    advice: nearest === null ? reference : `Did you mean ${nearest}?`,
  };
}

type Reason = Omit<ConfigMistake, 'key'>;

function absent(row: ConfigKey): Reason | null {
  return row.default === undefined ? { problem: 'is missing', advice: row.meaning } : null;
}

function mistakeIn(row: ConfigKey, value: unknown): Reason | null {
  switch (row.kind) {
    case 'text':
      return typeof value === 'string' ? mistakeInText(row, value) : wrong('has to be a text', row);
    case 'path':
      return typeof value === 'string' ? mistakeInPath(value) : wrong('has to be a path', row);
    case 'list':
      if (!Array.isArray(value)) return wrong('has to be a list of texts', row);
      if (value.length > (row.maxItems ?? Infinity)) return wrong(`has more than ${row.maxItems} items`, row);
      for (const [index, item] of value.entries()) {
        const mistake = typeof item === 'string' ? mistakeInText(row, item) : wrong('is not a text', row);
        if (mistake !== null) return { ...mistake, problem: `[${index}] ${mistake.problem}` };
      }
      return null;
    case 'integer': {
      const { minimum = -Infinity, maximum = Infinity } = row;
      const fits = typeof value === 'number' && Number.isInteger(value) && value >= minimum && value <= maximum;
      return fits ? null : wrong(`has to be a whole number from ${minimum} to ${maximum}`, row);
    }
  }
}

function mistakeInText(row: ConfigKey, value: string): Reason | null {
  if (value.length > 1024 || value.includes('\0')) return wrong('is too long or holds a NUL', row);
  if (row.oneOf !== undefined && !row.oneOf.includes(value)) return wrong(`has to be ${words(row.oneOf)}`, row);
  const form = row.pattern ?? '';
  return new RegExp(form).test(value) ? null : wrong(`does not have the form ${form}`, row);
}

function mistakeInPath(value: string): Reason | null {
  if (value.includes('-----BEGIN'))
    return { problem: 'holds a key or certificate', advice: 'Write it to a file, and name the file here.' };
  return value.length > 1024 || value.includes('\0')
    ? { problem: 'is too long or holds a NUL', advice: 'Name a file.' }
    : null;
}

function wrong(problem: string, row: ConfigKey): Reason {
  return { problem, advice: row.meaning };
}

const words = (names: readonly string[]): string => `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
