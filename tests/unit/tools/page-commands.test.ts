// Every command that a page shows exists, and a shell can read it; that they also work is tests/e2e/docs.test.ts.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { commandReference } from '#cli/program.ts';
import {
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

  it('say what they are, and why when no test can run them', (t) => {
    for (const { file, blocks, unnamed } of pages) {
      assert.deepEqual(unnamed, [], `${file}: a block says what it holds, sh or text`);
      for (const { line, noRun, text, shell } of blocks) {
        assert.ok(noRun !== null || shell === 'sh', `${file}:${line}: no-run, since no test has this shell`);
        assert.ok(noRun === null || noRun.length >= 10, `${file}:${line}: a reason is a sentence`);
        assert.ok(noRun !== null || !changesTheMachine(text), `${file}:${line}: no-run, since it changes the machine`);
      }
    }
    const all = pages.flatMap(({ blocks }) => blocks);
    const unrun = all.filter(({ noRun }) => noRun !== null);
    t.diagnostic(`${all.length - unrun.length} of ${all.length} blocks are run`);
    for (const [reason, some] of Map.groupBy(unrun, ({ noRun }) => noRun))
      t.diagnostic(`${some.length} not: ${reason}`);
    // More commands are run than are not; the reference of the command line has only examples.
    assert.ok(unrun.filter(({ page }) => page !== 'docs/cli.md').length < all.length - unrun.length);
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
      ].join('\n'),
    );
    assert.deepEqual(
      blocks.map(({ line, text, noRun, until }) => [line, text, noRun, until]),
      [
        [3, 'a\n  b\n', 'needs a moon', null],
        [7, 'c\n', null, 'up'],
      ],
    );
    assert.deepEqual(unnamed, [10]);
  });

  it('refuses what it does not understand', () => {
    for (const info of ['sh norun="x"', 'sh background', 'sh until="x"', 'sh quickly'])
      assert.throws(() => readPage('a.md', `\`\`\`${info}\na\n\`\`\``), RangeError, info);
    assert.throws(() => readPage('a.md', '```sh\na'), RangeError);
  });
});
