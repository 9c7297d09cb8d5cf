// What the long tests do and find, from each of their processes to who waits for them: lines of a file, since the runner
// keeps what a test prints until its file has ended.
import { appendFileSync, readFileSync } from 'node:fs';
import type { PartName } from './parts.ts';

/** What a part is at. */
export interface Progress {
  readonly kind: 'progress';
  readonly part: PartName;
  readonly text: string;
  readonly seed: number;
}

export interface Finding {
  readonly kind: 'finding';
  readonly part: PartName;
  /** What was broken on purpose, or asked meanwhile. */
  readonly what: string;
  readonly times: number;
  /** What was lost, doubled or left behind; empty when everything held. */
  readonly lost: readonly string[];
  readonly seed: number;
}

/** There was no time for all of it. */
export interface CutShort {
  readonly kind: 'cut short';
  readonly part: PartName;
  readonly what: string;
  readonly times: number;
  readonly full: number;
}

export type Note = Progress | Finding | CutShort;

export function writeNote(file: string, note: Note): void {
  appendFileSync(file, `${JSON.stringify(note)}\n`);
}

/** Whole lines only: the last one may be in the middle of being written. */
export function readNotes(file: string): Note[] {
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Note);
}

/** What the end of a run says: how often each thing was done and what was lost by it, what was cut short, and how to repeat what failed. */
export function tableOf(notes: readonly Note[]): string {
  const findings = notes.filter((note) => note.kind === 'finding');
  const sums = Map.groupBy(findings, ({ what }) => what);
  const rows = [...sums].map(([what, all]) =>
    row(
      what,
      all.reduce((sum, { times }) => sum + times, 0),
      all.reduce((sum, { lost }) => sum + lost.length, 0),
    ),
  );
  return [
    row('broken on purpose, or asked meanwhile', 'times', 'lost'),
    ...rows,
    ...notes.filter((note) => note.kind === 'cut short').map(shortOf),
    ...findings.filter(({ lost }) => lost.length > 0).map(lostOf),
  ].join('');
}

export function lostOf({ part, what, lost, seed }: Finding): string {
  const again = `npm run test:long -- --minutes 1 --seed ${seed} ${part}`;
  return [`${what}, seed ${seed}:`, ...lost.map((line) => `  ${line}`), `  again: ${again}`, ''].join('\n');
}

function shortOf({ part, what, times, full }: CutShort): string {
  return `${part} was cut short: ${count(times)} of ${count(full)} ${what}\n`;
}

function row(what: string, times: number | string, lost: number | string): string {
  return `${what.padEnd(60)}${count(times).padStart(12)}${count(lost).padStart(8)}\n`;
}

function count(value: number | string): string {
  return typeof value === 'string' ? value : value.toLocaleString('en-US');
}
