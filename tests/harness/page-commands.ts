// The commands that the documentation tells people to type: every fenced block of shell, page by page, as a test runs them.
import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { placePages } from '#tools/docs-site/pages.ts';
import { repository } from './npm-start.ts';

export interface CommandBlock {
  readonly page: string;
  readonly line: number;
  readonly shell: 'sh' | 'powershell';
  readonly text: string;
  /** Why a test cannot run it; null when one does. */
  readonly noRun: string | null;
  /** The test file that types it, when that is not the one of the whole documentation. */
  readonly runIn: string | null;
  /** It goes on by itself once it has said this. */
  readonly until: string | null;
}

export interface Page {
  readonly file: string;
  readonly blocks: readonly CommandBlock[];
  /** Fences that do not say what they hold. */
  readonly unnamed: readonly number[];
  readonly text: string;
}

/** Every page that people read, in the order of the site, after the README that they see first. */
export function documentationPages(): Page[] {
  const placed = placePages(repository).flatMap(({ pages }) => pages.map(({ file }) => file));
  return ['README.md', ...placed].map((file) => readPage(file, readFileSync(join(repository, file), 'utf8')));
}

/**
 * The blocks that a test file types itself, in the order of the pages.
 *
 * @param testFile its `import.meta.filename`
 * @throws RangeError when no block names it: a test that types nothing proves nothing
 */
export function blocksTypedBy(testFile: string): CommandBlock[] {
  const name = relative(repository, testFile).replaceAll('\\', '/');
  const blocks = documentationPages().flatMap(({ blocks: all }) => all.filter(({ runIn }) => runIn === name));
  if (blocks.length === 0) throw new RangeError(`no block of the documentation says run-in="${name}"`);
  return blocks;
}

export function readPage(file: string, text: string): Page {
  const blocks: CommandBlock[] = [];
  const unnamed: number[] = [];
  let open: { readonly indent: string; readonly info: string; readonly line: number; readonly lines: string[] } | null =
    null;
  for (const [index, line] of text.split('\n').entries()) {
    const fence = /^( *)```(.*)$/.exec(line);
    if (open !== null && fence !== null && fence[2] === '') {
      if (/^(sh|powershell)( |$)/.test(open.info)) blocks.push(toBlock(file, open));
      open = null;
    } else if (open !== null) {
      open.lines.push(line.startsWith(open.indent) ? line.slice(open.indent.length) : line);
    } else if (fence !== null) {
      open = { indent: fence[1] ?? '', info: fence[2] ?? '', line: index + 1, lines: [] };
      if (open.info === '') unnamed.push(open.line);
    }
  }
  if (open !== null) throw new RangeError(`${file}:${open.line}: the block does not end`);
  return { file, blocks, unnamed, text };
}

function toBlock(
  page: string,
  { info, line, lines }: { readonly info: string; readonly line: number; readonly lines: readonly string[] },
): CommandBlock {
  const attributes = new Map(
    [...info.matchAll(/ ([a-z-]+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]),
  );
  const left = info.replace(/^(sh|powershell)/, '').replaceAll(/ [a-z-]+="[^"]*"/g, '');
  const strange = [...attributes.keys()].filter((name) => !['no-run', 'run-in', 'until', 'title'].includes(name));
  if (!['', ' background'].includes(left) || strange.length > 0)
    throw new RangeError(`${page}:${line}: what does this say? ${info}`);
  if ((left === ' background') !== attributes.has('until'))
    throw new RangeError(`${page}:${line}: a command in the background has a text that it is ready with`);
  if (attributes.has('no-run') && attributes.has('run-in'))
    throw new RangeError(`${page}:${line}: a command is run or it is not`);
  return {
    page,
    line,
    shell: info.startsWith('sh') ? 'sh' : 'powershell',
    text: `${lines.join('\n')}\n`,
    noRun: attributes.get('no-run') ?? null,
    runIn: attributes.get('run-in') ?? null,
    until: attributes.get('until') ?? null,
  };
}

export interface NamedCommand {
  readonly program: 'sentinel' | 'npm run';
  readonly words: readonly string[];
}

/** Whether a command changes the machine and not only its folder: no test may type that. */
export function changesTheMachine(text: string): boolean {
  return /^\s*(?:sudo|systemctl|launchctl|useradd|apt-get|install .* \/|runuser)\b/m.test(text);
}

/** What a text tells people to start of ours: the nouns and verbs of `sentinel`, and scripts of npm. */
export function commandsIn(text: string): NamedCommand[] {
  const sentinel = [...text.matchAll(/(?:^|[\s`(|;&])sentinel((?: [a-z][a-z-]*)+)/gm)].map(([, words = '']) => ({
    program: 'sentinel' as const,
    words: words.trim().split(' '),
  }));
  const scripts = [...text.matchAll(/\bnpm run (?:-s |--silent )?([a-z][a-z:-]*)(?![a-z:…<-])/g)].map(
    ([, name = '']) => ({
      program: 'npm run' as const,
      words: [name],
    }),
  );
  return [...sentinel, ...scripts];
}

/** The inline code of a page that begins with a command of ours. */
export function inlineCommands(text: string): string[] {
  const prose = text.replaceAll(/^ *```[\s\S]*?^ *```$/gm, '');
  return [...prose.matchAll(/`((?:npx --no-install )?sentinel [a-z][^`]*|npm run [^`]*)`/g)].map(
    ([, code = '']) => code,
  );
}
