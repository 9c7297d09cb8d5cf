// Tables and lists of facts: fitted to the terminal, and tab-separated in a pipe.
import measure from 'fast-string-truncated-width';
import { printable } from '#contracts/printable.ts';
import type { Style, Terminal } from './terminal.ts';

export type Cell = string | { readonly text: string; readonly style: Style };

export interface TableOptions {
  /** Columns that a narrow terminal does without, the first to go first. */
  readonly spare?: readonly string[];
  /** Breaks long cells into lines, for sentences; otherwise they are cut. */
  readonly wrap?: boolean;
}

const gap = '  ';
const narrowest = 6;

/**
 * Rows under a head. In a terminal the spare columns go until a row fits on a line, then the widest give way; the first
 * column, which people copy from, comes last.
 */
export function table(
  terminal: Terminal,
  head: readonly string[],
  rows: readonly (readonly Cell[])[],
  options: TableOptions = {},
): void {
  const { columns } = terminal;
  if (columns === null) {
    for (const row of [head, ...rows]) terminal.data(row.map((cell) => printable(textOf(cell))).join('\t'));
    return;
  }
  const natural = head.map((name, column) =>
    Math.max(...[name, ...rows.map((row) => printable(textOf(row[column] ?? '')))].map(widthOf)),
  );
  // Columns that say nothing go before those that say something.
  const spare = options.spare ?? [];
  const silent = spare.filter((name) => rows.every((row) => textOf(row[head.indexOf(name)] ?? '') === ''));
  const chosen = choose(head, natural, columns, [...silent, ...spare]);
  const widths = fit(
    chosen.map((column) => natural[column] ?? 0),
    columns - gap.length * (chosen.length - 1),
  );
  const draw = (cells: readonly Cell[]) => {
    const blocks = widths.map((width, index) => {
      const text = printable(textOf(cells[index] ?? ''));
      return options.wrap ? wrapped(text, width) : [cut(text, width)];
    });
    const height = Math.max(...blocks.map((lines) => lines.length));
    for (let line = 0; line < height; line += 1) {
      const parts = blocks.map((lines, index) => {
        const text = lines[line] ?? '';
        return (
          styled(terminal, cells[index] ?? '', text) + ' '.repeat(Math.max(0, (widths[index] ?? 0) - widthOf(text)))
        );
      });
      terminal.data(parts.join(gap).trimEnd());
    }
  };
  draw(chosen.map((column) => ({ text: (head[column] ?? '').toUpperCase(), style: 'dim' })));
  for (const row of rows) draw(chosen.map((column) => row[column] ?? ''));
}

/** Names with what is known under them, one a line. Names without a value are left out. */
export function facts(terminal: Terminal, pairs: readonly (readonly [string, Cell | null])[]): void {
  const known = pairs.filter((pair): pair is [string, Cell] => pair[1] !== null && textOf(pair[1]) !== '');
  const width = Math.max(...known.map(([name]) => widthOf(name))) + gap.length;
  for (const [name, cell] of known) {
    const text = printable(textOf(cell));
    if (terminal.columns === null) terminal.data(`${name}\t${text}`);
    else {
      wrappedAtSpaces(text, Math.max(narrowest, terminal.columns - width)).forEach((line, index) => {
        const label = index === 0 ? name : '';
        terminal.data(
          `${terminal.style('dim', label + ' '.repeat(width - widthOf(label)))}${styled(terminal, cell, line)}`,
        );
      });
    }
  }
}

/** How many columns of a terminal a text takes: two for most characters of East Asia. */
export function widthOf(text: string): number {
  return measure(text).width;
}

function choose(head: readonly string[], natural: readonly number[], columns: number, spare: readonly string[]) {
  let chosen = head.map((_, column) => column);
  const needed = () =>
    chosen.reduce((sum, column) => sum + (natural[column] ?? 0), 0) + gap.length * (chosen.length - 1);
  for (const name of spare) {
    if (needed() <= columns) break;
    chosen = chosen.filter((column) => head[column] !== name);
  }
  return chosen;
}

/** Takes from the widest column but the first, one by one, until the sum fits or all are narrow; then from the first. */
export function fit(widths: readonly number[], columns: number): number[] {
  const fitted = [...widths];
  let excess = fitted.reduce((sum, width) => sum + width, 0) - columns;
  while (excess > 0) {
    const [first = 0, ...others] = fitted;
    const widest = Math.max(...others);
    if (widest > narrowest) fitted[fitted.indexOf(widest, 1)] = widest - 1;
    else if (first > narrowest) fitted[0] = first - 1;
    else break;
    excess -= 1;
  }
  return fitted;
}

function cut(text: string, width: number): string {
  const { index, ellipsed } = measure(text, { limit: width, ellipsis: '…', ellipsisWidth: 1 });
  return ellipsed ? `${text.slice(0, index)}…` : text.slice(0, index);
}

/** Lines of at most this width: broken at spaces, and within a word that is wider. */
function wrapped(text: string, width: number): string[] {
  return wrappedAtSpaces(text, width).flatMap((line) => {
    const lines = [];
    let rest = line;
    while (widthOf(rest) > width) {
      const index = Math.max(1, measure(rest, { limit: width }).index);
      lines.push(rest.slice(0, index));
      rest = rest.slice(index);
    }
    return [...lines, rest];
  });
}

/** Broken at spaces only, so that what people copy stays whole. */
function wrappedAtSpaces(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line !== '' && widthOf(longer) > width) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line];
}

function styled(terminal: Terminal, cell: Cell, text: string): string {
  return typeof cell === 'string' || text === '' ? text : terminal.style(cell.style, text);
}

const textOf = (cell: Cell): string => (typeof cell === 'string' ? cell : cell.text);
