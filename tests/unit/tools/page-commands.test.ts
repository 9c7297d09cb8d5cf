// Every command that a page shows exists, and a shell can read it; tests/e2e/docs.test.ts and those that a block names type them.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { commandReference } from '#cli/program.ts';
import { repository } from '#tests/harness/npm-start.ts';
import {
  blocksTypedBy,
  changesTheMachine,
  commandsIn,
  documentationPages,
  inlineCommands,
  readPage,
} from '#tests/harness/page-commands.ts';

const pages = documentationPages();
const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
const known = [...commandReference().matchAll(/^## (sentinel [a-z -]+)$/gm)].map(([, name = '']) => name);

function exists({ program, words }: ReturnType<typeof commandsIn>[number]): boolean {
  if (program === 'npm run') return Object.hasOwn(scripts, words[0] ?? '');
  const said = `sentinel ${words.join(' ')}`;
  // A noun alone stands for all of its verbs; what follows a command are its arguments.
  return words[0] === 'help' || known.some((name) => `${said} `.startsWith(`${name} `) || name.startsWith(`${said} `));
}

describe('the commands of the documentation', () => {
  it('exist, wherever a page names one (DC-03)', () => {
    const missing = pages.flatMap(({ file, blocks, text }) =>
      [...blocks.map((block) => block.text), ...inlineCommands(text)]
        .flatMap(commandsIn)
        .filter((command) => !exists(command))
        .map(({ program, words }) => `${file}: ${program} ${words.join(' ')}`),
    );
    assert.deepEqual(missing, []);
    assert.ok(pages.flatMap(({ blocks }) => blocks).length > 40, 'they were found at all');
  });

  it('can be read by a shell', async () => {
    for (const { page, line, text, shell } of pages.flatMap(({ blocks }) => blocks)) {
      if (shell !== 'sh') continue;
      const checked = promisify(execFile)('bash', ['-n', '-c', text]);
      await assert.doesNotReject(checked, `${page}:${line}`);
    }
  });

  it('say what they are, and name the decision when no test can run them (DC-03)', (t) => {
    for (const { file, blocks, unnamed } of pages) {
      assert.deepEqual(unnamed, [], `${file}: a block says what it holds, sh or text`);
      for (const { line, noRun, runIn, text, shell } of blocks) {
        assert.ok(noRun !== null || shell === 'sh', `${file}:${line}: no-run, since no test has this shell`);
        const decision = / \((docs\/decisions\/\d{4}-[a-z-]+\.md)\)$/.exec(noRun ?? '')?.[1];
        assert.ok(noRun === null || existsSync(decision ?? ''), `${file}:${line}: a reason ends with its (decision)`);
        const isTyped = noRun === null && runIn === null;
        assert.ok(!isTyped || !changesTheMachine(text), `${file}:${line}: run-in, since it changes the machine`);
      }
    }
    const all = pages.flatMap(({ blocks }) => blocks);
    const unrun = all.filter(({ noRun }) => noRun !== null);
    t.diagnostic(`${all.length - unrun.length} of ${all.length} blocks are run`);
    for (const [reason, some] of Map.groupBy(unrun, ({ noRun }) => noRun))
      t.diagnostic(`${some.length} not: ${reason}`);
    assert.deepEqual(
      unrun.filter(({ page }) => !/^deploy\/(macos|windows)\//.test(page)),
      [],
      'only commands of other systems are not run',
    );
  });

  it('are typed by the test that they name (DC-03)', () => {
    const named = pages.flatMap(({ blocks }) => blocks).filter(({ runIn }) => runIn !== null);
    assert.ok(named.length > 0);
    for (const { page, line, runIn } of named) {
      assert.match(runIn ?? '', /^tests\/(unit|store|workflows|api|e2e)\/.*\.test\.ts$/, `${page}:${line}`);
      const test = existsSync(runIn ?? '') ? readFileSync(runIn ?? '', 'utf8') : '';
      assert.ok(test.includes('blocksTypedBy(import.meta.filename)'), `${page}:${line}: ${runIn} does not type it`);
    }
  });
});

describe('reading a page', () => {
  it('finds blocks with their attributes, also inside lists', () => {
    const { blocks, unnamed } = readPage(
      'a.md',
      [
        '1. x',
        '',
        '   ```sh no-run="needs a moon"',
        '   a',
        '     b',
        '   ```',
        '```sh background until="up"',
        'c',
        '```',
        '```',
        '```',
        '```sh run-in="tests/unit/a.test.ts"',
        'd',
        '```',
      ].join('\n'),
    );
    assert.deepEqual(
      blocks.map(({ line, text, noRun, until, runIn }) => [line, text, noRun, until, runIn]),
      [
        [3, 'a\n  b\n', 'needs a moon', null, null],
        [7, 'c\n', null, 'up', null],
        [12, 'd\n', null, null, 'tests/unit/a.test.ts'],
      ],
    );
    assert.deepEqual(unnamed, [10]);
  });

  it('refuses what it does not understand', () => {
    for (const info of ['sh norun="x"', 'sh no-run="x" run-in="y"', 'sh background', 'sh until="x"', 'sh quickly'])
      assert.throws(() => readPage('a.md', `\`\`\`${info}\na\n\`\`\``), RangeError, info);
    assert.throws(() => readPage('a.md', '```sh\na'), RangeError);
  });

  it('gives a test the blocks that name it, and nothing less than one', () => {
    const typed = blocksTypedBy(join(repository, 'tests/e2e/docs-site.test.ts'));
    assert.deepEqual(
      typed.map(({ page, text }) => [page, text]),
      [['docs/README.md', 'npm run build-docs-site\n']],
    );
    assert.throws(() => blocksTypedBy(join(repository, 'tests/e2e/nothing.test.ts')), RangeError);
  });
});
