// Pages of a list: one row more than asked for tells whether there is a next page, and the last row shown where it begins.
import type { Json } from '#contracts/deps.ts';
import type { Cursors } from './cursors.ts';

export interface PageQuery {
  readonly limit?: number;
  readonly cursor?: string;
}

export interface Page<Position> {
  readonly limit: number;
  readonly after: Position | null;
}

const defaultLimit = 50;

/** What is left of a query: what the list is filtered by. */
export function filterOf<Query extends PageQuery>({
  limit: _limit,
  cursor: _cursor,
  ...filter
}: Query): Omit<Query, 'limit' | 'cursor'> {
  return filter;
}

/** Reads one page. `list` names the list and its filters: a cursor is good for no other. */
export async function readPage<Row, Position extends Json>(
  cursors: Cursors,
  list: Json,
  query: PageQuery,
  read: (page: Page<Position>) => Promise<readonly Row[]>,
  positionOf: (row: Row) => Position,
): Promise<{ rows: readonly Row[]; next_cursor: string | null }> {
  const { limit = defaultLimit, cursor } = query;
  const after = cursor === undefined ? null : (cursors.open(list, cursor) as Position);
  const found = await read({ limit: limit + 1, after });
  const rows = found.slice(0, limit);
  const last = rows.at(-1);
  return {
    rows,
    next_cursor: found.length > limit && last !== undefined ? cursors.seal(list, positionOf(last)) : null,
  };
}
