// Makes `.oxlintrc.json` from the import table: `npm run lint:config`.
import { writeFileSync } from 'node:fs';
import {
  confinedPackages,
  exportsDefault,
  folderNames,
  importRules,
  readsEnvironment,
  type ImportRule,
} from './imports.ts';

const rules = {
  'typescript/no-floating-promises': [
    'error',
    // The runner itself waits for what is declared at the top of a test file.
    { allowForKnownSafeCalls: [{ from: 'package', package: 'node:test', name: ['describe', 'it', 'test', 'suite'] }] },
  ],
  'typescript/no-misused-promises': 'error',
  'typescript/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
  'typescript/no-explicit-any': 'error',
  'typescript/consistent-type-imports': 'error',
  'import/no-cycle': 'error',
  'import/no-default-export': 'error',
  'node/no-process-env': 'error',
  'no-console': 'error',
  'no-var': 'error',
  'prefer-const': 'error',
  eqeqeq: 'error',
  'preserve-caught-error': 'error',
  // Dependencies are objects of functions that factories take apart; none of them uses `this`.
  'typescript/unbound-method': 'off',
  // A flag and its value are kept together in a list of arguments.
  'unicorn/no-useless-spread': 'off',
};

/** The whole linter configuration, as the text of the committed file. */
export function lintConfig(): string {
  const config = {
    $schema: './node_modules/oxlint/configuration_schema.json',
    plugins: ['typescript', 'import', 'node', 'promise', 'unicorn'],
    categories: { correctness: 'error' },
    rules,
    ignorePatterns: ['web/dist/**', 'tests/fixtures/**'],
    overrides: [
      ...importRules.map((rule) => ({
        files: [rule.files],
        rules: { 'no-restricted-imports': ['error', { patterns: patternsOf(rule) }] },
      })),
      { files: readsEnvironment, rules: { 'node/no-process-env': 'off' } },
      { files: exportsDefault, rules: { 'import/no-default-export': 'off' } },
    ],
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

function patternsOf(rule: ImportRule): object[] {
  const own = rule.files.split('/')[0] ?? '';
  const message = `${rule.why} (tools/imports.ts).`;
  return [
    {
      regex: `^(\\./)?(\\.\\./)+(${folderNames.join('|')})/`,
      message: 'Import other folders by #folder/file.ts, and the own one by ./file.ts.',
    },
    ...folderPatterns(rule, own, message),
    ...packagePatterns(rule, own, message),
  ];
}

function folderPatterns(rule: ImportRule, own: string, message: string): object[] {
  if (rule.folders === 'any') return [];
  const allowed: readonly string[] = [own, ...rule.folders];
  const typesOnly: readonly string[] = rule.types ?? [];
  const partly = (rule.single ?? []).map((path) => path.slice(1).split('/')[0]);
  const forbidden = folderNames.filter(
    (name) => !allowed.includes(name) && !typesOnly.includes(name) && !partly.includes(name),
  );
  return [
    { regex: `^#(${forbidden.join('|')})/`, message },
    ...typesOnly.map((name) => ({ regex: `^#${name}/`, allowTypeImports: true, message })),
    ...(rule.single ?? []).map((path) => ({
      group: [`\\#${path.slice(1).split('/')[0]}/**`, `!\\#${path.slice(1)}`],
      message,
    })),
  ];
}

function packagePatterns(rule: ImportRule, own: string, message: string): object[] {
  if (rule.packages !== 'any') {
    const allowed = rule.packages.flatMap((name) => [`!${name}`, `!${name}/**`]);
    return [{ group: ['*', '!#*/**', '!./**', '!../**', ...allowed], message }];
  }
  if (rule.folders === 'any') return [];
  return confinedPackages
    .filter(({ folders }) => !(folders as readonly string[]).includes(own))
    .map(({ packages, folders }) => ({
      regex: `^(${packages})`,
      message: `Belongs to ${[...folders, 'the composition roots'].join(', ')}: keep this dependency out of ${own}/.`,
    }));
}

if (import.meta.main) writeFileSync(new URL('../.oxlintrc.json', import.meta.url), lintConfig());
