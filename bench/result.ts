// What a measurement is, and the form in which it is shown and kept in bench/results/.
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join } from 'node:path';

export interface Measurement {
  readonly label: string;
  readonly unit: string;
  readonly value: number;
  readonly p50: number | null;
  readonly p99: number | null;
}

export interface Measured {
  readonly measurements: readonly Measurement[];
  /** Each taken inside one run, so that the machine does not matter. */
  readonly ratios: Readonly<Record<string, number>>;
  /** What could not be measured, and why: nothing stands in for it. */
  readonly missing?: readonly string[];
}

const folder = join(import.meta.dirname, 'results');

export async function writeResult(name: string, { measurements, ratios, missing = [] }: Measured): Promise<void> {
  const machine = `${cpus()[0]?.model ?? 'unknown'}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
  const result = { name, at: new Date().toISOString(), machine, measurements, ratios, missing };
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${name}.json`), `${JSON.stringify(result, null, 2)}\n`);
}

/** For people: one line a measurement, then the ratios. */
export function tableOf(name: string, { measurements, ratios }: Measured): string {
  const number = (value: number | null): string => (value === null ? '' : String(Math.round(value * 1000) / 1000));
  const rows = [
    [name, 'value', 'p50', 'p99', 'unit'],
    ...measurements.map(({ label, unit, value, p50, p99 }) => [label, number(value), number(p50), number(p99), unit]),
    ...Object.entries(ratios).map(([key, value]) => [key, number(value), '', '', 'ratio']),
  ];
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ');
  return `\n${rows.map(line).join('\n')}\n`;
}
