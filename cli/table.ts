// Tables and lists of facts: fitted to the terminal, and tab-separated in a pipe.
import Table from 'cli-table3';
import { printable } from './printable.ts';
import type { Style, Terminal } from './terminal.ts';

export type Cell = string | { readonly text: string; readonly style: Style };

const gap = 2;
const narrowest = 8;
const noBorders = Object.fromEntries(
  ['top', 'bottom', 'left', 'mid', 'right']
    .flatMap((name) => [name, `${name}-mid`, `${name}-left`, `${name}-right`])
    .concat('middle')
    .map((name) => [name, '']),
);

/** Rows under a head. In a terminal the widest columns give way until a row fits on a line. */
export function table(terminal: Terminal, head: readonly string[], rows: readonly (readonly Cell[])[]): void {
  if (terminal.columns === null) {
    for (const row of [head, ...rows]) terminal.data(row.map((cell) => printable(textOf(cell))).join('\t'));
    return;
  }
  const natural = head.map((name, column) => {
    return Math.max(...[name, ...rows.map((row) => printable(textOf(row[column] ?? '')))].map((text) => text.length));
  });
  const drawn = new Table({
    chars: noBorders,
    style: { 'padding-left': 0, 'padding-right': gap, head: [], border: [] },
    colWidths: fit(
      natural.map((width) => width + gap),
      terminal.columns,
    ),
  });
  drawn.push(head.map((name) => terminal.style('dim', name.toUpperCase())));
  for (const row of rows) drawn.push(row.map((cell) => shown(terminal, cell)));
  terminal.data(drawn.toString().replace(/ +$/gm, ''));
}

/** Names with what is known under them, one a line. Names without a value are left out. */
export function facts(terminal: Terminal, pairs: readonly (readonly [string, Cell | null])[]): void {
  const known = pairs.filter((pair): pair is [string, Cell] => pair[1] !== null && textOf(pair[1]) !== '');
  const width = Math.max(...known.map(([name]) => name.length));
  for (const [name, cell] of known) {
    terminal.data(
      terminal.columns === null
        ? `${name}\t${printable(textOf(cell))}`
        : `${terminal.style('dim', name.padEnd(width + gap))}${shown(terminal, cell)}`,
    );
  }
}

/** Takes from the widest column, one by one, until the sum fits or all are narrow. */
export function fit(widths: readonly number[], columns: number): number[] {
  const fitted = [...widths];
  let excess = fitted.reduce((sum, width) => sum + width, 0) - columns;
  while (excess > 0) {
    const widest = fitted.indexOf(Math.max(...fitted));
    if ((fitted[widest] ?? 0) <= narrowest) break;
    fitted[widest] = (fitted[widest] ?? 0) - 1;
    excess -= 1;
  }
  return fitted;
}

function shown(terminal: Terminal, cell: Cell): string {
  return typeof cell === 'string' ? printable(cell) : terminal.style(cell.style, printable(cell.text));
}

const textOf = (cell: Cell): string => (typeof cell === 'string' ? cell : cell.text);
