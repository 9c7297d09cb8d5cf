// The options of every list, and the walk through its pages.
import { InvalidArgumentError, type Command } from 'commander';
import type { CliContext } from './context.ts';

export interface PageOptions {
  readonly limit?: number;
  readonly cursor?: string;
  readonly all?: boolean;
}

export interface Page<T> {
  readonly items: T[];
  readonly next_cursor: string | null;
}

const largestPage = 500;

export function withPageOptions(command: Command): Command {
  return command
    .option('--limit <n>', 'at most this many (1 to 500, default 50)', limitOf)
    .option('--cursor <cursor>', 'go on from there')
    .option('--all', 'every page');
}

/** One page, or with `--all` the rest of the list as one. */
export async function readPages<T>(
  options: PageOptions,
  read: (page: { limit?: number; cursor?: string }) => Promise<Page<T>>,
): Promise<Page<T>> {
  const limit = options.limit ?? (options.all ? largestPage : undefined);
  const first = { ...(limit === undefined ? {} : { limit }), ...(options.cursor ? { cursor: options.cursor } : {}) };
  const page = await read(first);
  if (!options.all) return page;
  const items = [...page.items];
  let cursor = page.next_cursor;
  while (cursor !== null) {
    const next: Page<T> = await read({ ...first, cursor });
    items.push(...next.items);
    cursor = next.next_cursor;
  }
  return { items, next_cursor: null };
}

/** Says that there is more, and how to get it. */
export function tellOfMore(context: CliContext, page: Page<unknown>): void {
  if (page.next_cursor !== null) context.terminal.talk(`There is more: --all, or --cursor ${page.next_cursor}`);
}

export function limitOf(text: string): number {
  const limit = Number(text);
  if (!/^\d{1,3}$/.test(text) || limit < 1 || limit > largestPage) {
    throw new InvalidArgumentError('Say a number from 1 to 500.');
  }
  return limit;
}
