// The same act on many things: a few at a time, each with its own outcome, until all are done or somebody stops it.

export type Outcome<Item> =
  | { readonly item: Item; readonly state: 'done' }
  | { readonly item: Item; readonly state: 'failed'; readonly error: unknown }
  /** It was stopped before this one began. */
  | { readonly item: Item; readonly state: 'not_tried' };

export interface BulkOptions<Item> {
  readonly act: (item: Item) => Promise<unknown>;
  readonly concurrency: number;
  /** Stops it: what is under way ends, nothing new begins. */
  readonly signal: AbortSignal;
  readonly onOutcome: (outcome: Outcome<Item>) => void;
}

export async function actOnEach<Item>(
  items: readonly Item[],
  { act, concurrency, signal, onOutcome }: BulkOptions<Item>,
): Promise<void> {
  const waiting = items[Symbol.iterator]();
  async function lane(): Promise<void> {
    for (const item of waiting) {
      if (signal.aborted) {
        onOutcome({ item, state: 'not_tried' });
        continue;
      }
      try {
        await act(item);
        onOutcome({ item, state: 'done' });
      } catch (error) {
        onOutcome({ item, state: 'failed', error });
      }
    }
  }
  await Promise.all(Array.from({ length: concurrency }, lane));
}

interface Page<Item> {
  readonly items: readonly Item[];
  readonly next_cursor: string | null;
}

/** Reads page after page until the end of the list or the limit. */
export async function readAll<Item>(
  read: (cursor: string | undefined) => Promise<Page<Item>>,
  { limit, onProgress }: { readonly limit: number; readonly onProgress: (count: number) => void },
): Promise<Item[]> {
  const all: Item[] = [];
  let cursor: string | undefined;
  do {
    const page = await read(cursor);
    all.push(...page.items.slice(0, limit - all.length));
    onProgress(all.length);
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined && all.length < limit);
  return all;
}
