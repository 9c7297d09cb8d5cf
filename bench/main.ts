// `npm run bench -- NAME…`: measures, prints a table and writes bench/results/NAME.json. All of them without a name.
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { agentBench } from './agent.ts';

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
}

/** What a bench started, it has ended when it returns. */
export type Bench = (say: (progress: string) => void) => Promise<Measured>;

const benches: Readonly<Record<string, Bench>> = { agent: agentBench };
const results = fileURLToPath(new URL('results/', import.meta.url));

process.exitCode = await main(process.argv.slice(2));

async function main(wanted: readonly string[]): Promise<number> {
  const unknown = wanted.filter((name) => !Object.hasOwn(benches, name));
  if (unknown.length > 0) {
    process.stderr.write(`No such benchmark: ${unknown.join(', ')}. There are: ${Object.keys(benches).join(', ')}\n`);
    return 2;
  }
  await mkdir(results, { recursive: true });
  for (const [name, bench] of Object.entries(benches)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const { measurements, ratios } = await bench((progress) => void process.stderr.write(`${name}: ${progress}\n`));
    const machine = `${cpus()[0]?.model ?? 'unknown'}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
    const result = { name, at: new Date().toISOString(), machine, measurements, ratios };
    await writeFile(`${results}${name}.json`, `${JSON.stringify(result, null, 2)}\n`);
    process.stdout.write(tableOf(name, measurements, ratios));
  }
  return 0;
}

function tableOf(name: string, measurements: readonly Measurement[], ratios: Measured['ratios']): string {
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
