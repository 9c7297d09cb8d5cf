// Pages of a list go on after the last row that was shown, never by an offset.

export interface Page<Position> {
  /** Rows at most; who wants to know whether there are more asks for one more. */
  readonly limit: number;
  /** Null for the first page. */
  readonly after: Position | null;
}

/** The newest first, by two columns: what a page is beyond, and how its rows are found. */
export function newestFirst<Position extends object>(
  [first, second]: readonly [keyof Position & string, keyof Position & string],
  { after, limit }: Page<Position>,
) {
  const beyond =
    after === null
      ? {}
      : { $or: [{ [first]: { $lt: after[first] } }, { [first]: after[first], [second]: { $lt: after[second] } }] };
  return { beyond, orderBy: [{ [first]: 'desc' as const }, { [second]: 'desc' as const }], limit };
}
