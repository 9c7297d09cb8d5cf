// Pages of a list go on after the last row that was shown, never by an offset.

export interface Page<Position> {
  /** Rows at most; who wants to know whether there are more asks for one more. */
  readonly limit: number;
  /** Null for the first page. */
  readonly after: Position | null;
}
