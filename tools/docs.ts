// Makes the reference pages and `.env.example` from the tables in contracts/: `npm run docs`.
import { writeFileSync } from 'node:fs';
import { configKeys } from '#agent/config.ts';
import { behaviourKinds, scenarioSchema } from '#agent/fleet/scenario.ts';
import { commandReference } from '#cli/program.ts';
import { libraryMetrics, metrics, type MetricRow } from '#contracts/metrics.ts';
import { problems } from '#contracts/problems.ts';
import { type SettingName, settings } from '#contracts/settings.ts';

interface AnySetting {
  readonly kind: string;
  readonly default: string | number | boolean | null;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly secret?: true;
  readonly meaning: string;
}

const settingRows = Object.entries(settings) as [SettingName, AnySetting][];

/** What every installation has to fill in; the preflight refuses the placeholder. */
const toFill: Partial<Record<SettingName, string>> = {
  SENTINEL_SECRET_KEY: 'change-me',
  SENTINEL_JWT_SECRET: 'change-me',
  SENTINEL_DATA_ENCRYPTION_KEYS_JSON: `'{"key-1": "change-me"}'`,
  SENTINEL_DATA_ACTIVE_KEY_ID: 'key-1',
  SENTINEL_MONITORING_BEARER_TOKEN: 'change-me',
  SENTINEL_ADMIN_USERNAME: 'admin',
  SENTINEL_ADMIN_PASSWORD_HASH: 'change-me',
};

/** Every generated page by the name that `npm run docs:<name>` knows. */
export const pages = {
  settings: { path: 'docs/settings.md', text: settingsPage() },
  problems: { path: 'docs/problems.md', text: problemsPage() },
  metrics: { path: 'docs/metrics.md', text: metricsPage() },
  cli: { path: 'docs/cli.md', text: commandReference() },
  env: { path: '.env.example', text: envExample() },
  agent: { path: 'docs/agent-config.md', text: agentConfigPage() },
  fleet: { path: 'docs/fleet-scenarios.md', text: fleetScenariosPage() },
} as const;

function settingsPage(): string {
  const rows = settingRows.map(([name, setting]) => {
    const marks = setting.secret === true ? ' **Secret.**' : '';
    return `| ${anchored(name)} | ${kindOf(setting)} | ${defaultOf(setting)} | ${cell(setting.meaning)}${marks} |`;
  });
  return [
    '# Settings',
    '',
    'Settings are environment variables; `sentinel preflight` checks a set of them before it is used.',
    'An empty value counts as absent. Secrets are never printed, logged or shown.',
    '',
    'This page is made from `contracts/settings.ts` by `npm run docs:settings`.',
    '',
    '| Setting | Kind | Default | Meaning |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

function kindOf({ kind, minimum, maximum }: Pick<AnySetting, 'kind' | 'minimum' | 'maximum'>): string {
  if (kind !== 'integer') return kind === 'list' ? 'list, comma-separated' : kind;
  return minimum === undefined && maximum === undefined ? kind : `${kind}, ${minimum ?? ''} to ${maximum ?? ''}`;
}

function defaultOf({ default: value }: Pick<AnySetting, 'default'>): string {
  return value === null ? 'none' : value === '' ? 'empty' : `\`${value}\``;
}

function problemsPage(): string {
  const rows = Object.entries(problems).map(
    ([code, { status, title, advice, retryable }]) =>
      `| ${anchored(code)} | ${status} | ${cell(title)} | ${cell(advice)} | ${retryable ? 'yes' : 'no'} |`,
  );
  return [
    '# Problem codes',
    '',
    'Every refusal is an `application/problem+json` document (RFC 9457) with one of these codes. A code never changes',
    'its meaning. “Again” says whether the same request may succeed later without being changed.',
    '',
    'This page is made from `contracts/problems.ts` by `npm run docs:problems`.',
    '',
    '| Code | Status | What happened | What to do | Again |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

function metricsPage(): string {
  const rows = Object.entries<MetricRow>(metrics).map(
    ([name, { kind, processes, labels = [], meaning }]) =>
      `| ${anchored(name)} | ${kind} | ${processes.join(', ')} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${cell(meaning)} |`,
  );
  const others = Object.entries(libraryMetrics).map(
    ([name, { processes, meaning }]) => `| ${anchored(name)} | ${processes.join(', ')} | ${cell(meaning)} |`,
  );
  return [
    '# Metrics',
    '',
    'What the processes count and measure, in the text format of Prometheus. [Operations](operations.md) says how to scrape',
    'it and what to watch. No label is the name of a device or of a person.',
    '',
    'This page is made from `contracts/metrics.ts` by `npm run docs`.',
    '',
    '| Metric | Kind | Processes | Labels | Meaning |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
    '## From libraries',
    '',
    'Node and Temporal’s core count more than this; these are what the dashboard and the alert rules look at.',
    '',
    '| Metric | Processes | Meaning |',
    '| --- | --- | --- |',
    ...others,
    '',
  ].join('\n');
}

interface AnyConfigKey {
  readonly kind: string;
  readonly default?: string | number | null | readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly oneOf?: readonly string[];
  readonly notYet?: string;
  readonly meaning: string;
}

function agentConfigPage(): string {
  const rows = Object.entries<AnyConfigKey>(configKeys).map(([name, row]) => {
    const kind = row.oneOf === undefined ? kindOf(row) : 'one of these';
    const value = typeof row.default === 'object' && row.default !== null ? '' : row.default;
    const fallback = value === undefined ? '**required**' : defaultOf({ default: value });
    const mark = row.notYet === undefined ? '' : ` *Has no effect yet (${row.notYet}).*`;
    return `| \`${name}\` | ${kind.replace(', comma-separated', ' of texts')} | ${fallback} | ${cell(row.meaning)}${mark} |`;
  });
  return [
    '# Configuration of the agent',
    '',
    'One JSON object, by default `agent/config.json`; start from `agent/config.example.json`,',
    '`agent/config.windows.example.json` or `agent/config.macos.example.json`, or have it written by',
    '`sentinel-agent init`. Relative paths start from the folder of the file. An empty text counts as absent, and a key',
    'that is not in this table is refused. `sentinel-agent preflight` checks it all before the agent runs.',
    '',
    'This page is made from `agent/config.ts` by `npm run docs`.',
    '',
    '| Key | Kind | Default | Meaning |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

interface FieldSchema {
  readonly type?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly enum?: readonly string[];
  readonly description?: string;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, FieldSchema>>;
}

function fleetScenariosPage(): string {
  const kinds = Object.entries(behaviourKinds as unknown as Record<string, FieldSchema>);
  return [
    '# Fields of a fleet scenario',
    '',
    'A scenario is one JSON object; [the fleet](fleet.md) explains what it is for. A field that is not in these tables',
    'is refused. Times are since the start of the run.',
    '',
    'This page is made from `agent/fleet/scenario.ts` by `npm run docs`.',
    '',
    ...fieldTable(fieldRows(scenarioSchema as unknown as FieldSchema, '')),
    '',
    '## Behaviours',
    '',
    'Each is an object with its `kind`. Those with a `chance` are decided anew at every heartbeat; the others happen once',
    'to each of the devices they are about. Fields in bold are required.',
    '',
    '| `kind` | What happens | Fields |',
    '| --- | --- | --- |',
    ...kinds.map(([kind, schema]) => `| \`${kind}\` | ${cell(schema.description ?? '')}. | ${fieldNames(schema)} |`),
    '',
    ...fieldTable([...new Set(kinds.flatMap(([, { properties = {} }]) => fieldRows({ properties }, '')))]),
    '',
  ].join('\n');
}

function fieldNames({ properties = {}, required = [] }: FieldSchema): string {
  return Object.keys(properties)
    .map((name) => (required.includes(name) ? `**\`${name}\`**` : `\`${name}\``))
    .join(', ');
}

function fieldTable(rows: readonly string[]): string[] {
  return ['| Field | Kind | Meaning |', '| --- | --- | --- |', ...rows];
}

function fieldRows({ properties = {}, required = [] }: FieldSchema, prefix: string): string[] {
  return Object.entries(properties).flatMap(([name, field]) => {
    const mark = required.includes(name) ? ' **Required.**' : '';
    const row = `| \`${prefix}${name}\` | ${fieldKind(field)} | ${cell(field.description ?? '')}.${mark} |`;
    return [row, ...fieldRows(field, `${prefix}${name}.`)];
  });
}

function fieldKind({ type, minimum, maximum, enum: names }: FieldSchema): string {
  if (names !== undefined) return names.map((name) => `\`${name}\``).join(', ');
  return minimum === undefined ? String(type) : `${type}, ${minimum} to ${maximum}`;
}

/** A row that a link can lead to, wherever the page is read. */
function anchored(name: string): string {
  return `<a id="${name}"></a>\`${name}\``;
}

function cell(text: string): string {
  return (
    text
      .replaceAll('|', '\\|')
      .replaceAll('<', '&lt;')
      // An address that a person completes is no link.
      .replaceAll(/https?:\/\/[^\s,]*[^\s,.]/g, '`$&`')
  );
}

function envExample(): string {
  const required = settingRows.filter(([name]) => name in toFill);
  const optional = settingRows.filter(([name]) => !(name in toFill));
  return [
    '# Settings of a Sentinel installation. Copy to .env (mode 0600), fill in, then check it:',
    '#   npx --no-install sentinel preflight --env-file .env --production',
    '#',
    '# Make each secret on the machine that will use it, and paste it in:',
    `#   node -p "require('node:crypto').randomBytes(32).toString('base64url')"`,
    '# Make a password hash from a password on standard input:',
    '#   npx --no-install sentinel admin hash-password',
    '#',
    '# Made from contracts/settings.ts by `npm run docs`.',
    '',
    '## Fill in; the placeholders are refused',
    '',
    ...required.map(([name, { meaning }]) => `# ${meaning}\n${name}=${toFill[name]}\n`),
    '## As needed; the values shown are the defaults',
    '',
    ...optional.map(([name, setting]) => `# ${setting.meaning}\n#${name}=${exampleOf(setting)}\n`),
  ].join('\n');
}

function exampleOf({ default: value }: AnySetting): string {
  return value === null ? '' : String(value);
}

if (import.meta.main) {
  const wanted = process.argv.slice(2);
  const unknown = wanted.filter((name) => !(name in pages));
  if (unknown.length > 0) throw new RangeError(`Known pages: ${Object.keys(pages).join(', ')}`);
  for (const [name, { path, text }] of Object.entries(pages)) {
    if (wanted.length === 0 || wanted.includes(name)) writeFileSync(new URL(`../${path}`, import.meta.url), text);
  }
}
