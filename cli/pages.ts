// The options of every list, and the walk through its pages.
import { InvalidArgumentError, type Command } from 'commander';
import { present, type CliContext } from './context.ts';
import { withProgress } from './progress.ts';
import { withWatch } from './watch.ts';

export interface PageOptions {
  readonly limit?: number;
  readonly cursor?: string;
  readonly all?: boolean;
  readonly quiet?: boolean;
}

export interface Page<T> {
  readonly items: T[];
  readonly next_cursor: string | null;
}

const largestPage = 500;
/** Everything is held in memory until it is printed. */
const mostItems = 100_000;

export function withPageOptions(command: Command): Command {
  return withWatch(command)
    .option('--limit <n>', `at most this many (1 to ${mostItems}; 50 when absent)`, limitOf)
    .option('--cursor <cursor>', 'go on from there')
    .option('--all', `every page, up to ${mostItems} items`)
    .option('-q, --quiet', 'print ids only, one a line');
}

/** One page; with `--all` or a `--limit` beyond a page, as many as that takes, as one. */
export async function readPages<T>(
  context: CliContext,
  options: PageOptions,
  read: (page: { limit?: number; cursor?: string }) => Promise<Page<T>>,
): Promise<Page<T>> {
  const from = options.cursor ? { cursor: options.cursor } : {};
  const wanted = options.limit ?? (options.all ? mostItems : null);
  if (wanted === null) return read(from);
  return withProgress(context, 'Reading …', async (say) => {
    let page = await read({ limit: Math.min(wanted, largestPage), ...from });
    const items = [...page.items];
    while (page.next_cursor !== null && items.length < wanted) {
      page = await read({ limit: Math.min(wanted - items.length, largestPage), cursor: page.next_cursor });
      items.push(...page.items);
      say(`Reading … ${items.length}`);
    }
    return { items, next_cursor: page.next_cursor };
  });
}

/** Prints a list: the API's object, ids only, or what `forPeople` makes of the items. */
export function presentPage<T>(
  context: CliContext,
  command: Command,
  page: Page<T>,
  list: { readonly none: string; readonly id: (item: T) => string; readonly rows: (items: readonly T[]) => void },
): void {
  const { quiet } = command.opts<PageOptions>();
  present(context, command, page, ({ items, next_cursor: next }) => {
    if (quiet) for (const item of items) context.terminal.data(list.id(item));
    else if (items.length === 0) context.terminal.talk(list.none);
    else list.rows(items);
    if (next !== null) context.terminal.talk(`There is more: --all, or --cursor ${next}`);
  });
}

export function limitOf(text: string): number {
  const limit = Number(text);
  if (!/^\d{1,6}$/.test(text) || limit < 1 || limit > mostItems) {
    throw new InvalidArgumentError(`Say a number from 1 to ${mostItems}.`);
  }
  return limit;
}
