// `npm run simulate`: what a fleet asks of a Temporal cluster, by the real machines on a virtual clock.
import { parseArgs } from 'node:util';
import { writeResult } from '../result.ts';
import { chanceOf } from './chance.ts';
import { live } from './device-life.ts';
import { rates, usualRates, type RateName, type Rates } from './rates.ts';
import { add, costNames, noCost, type Cost } from './temporal-cost.ts';

const usage = `Usage: npm run simulate -- [--devices N] [--days N] [--seed N] [--sample N | --all] [--RATE VALUE]…

  --devices N  size of the fleet (default 1000000)
  --days N     how long (default 30)
  --seed N     the same seed is the same fleet (default 7)
  --sample N   devices that are lived, the rest is scaled (default 2000); --all lives every one

Rates:
${Object.entries(rates)
  .map(
    ([name, { value, unit, meaning }]) =>
      `  --${name.padEnd(20)} ${String(value).padStart(6)} ${unit.padEnd(11)} ${meaning}`,
  )
  .join('\n')}
`;

/** Workflow tasks of a device and day that a cluster of a usual size carries for a million devices. */
const goal = 4;

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args);
  if (options === null) {
    process.stderr.write(usage);
    return 2;
  }
  const { devices, days, seed, lived } = options;
  const total = noCost();
  const states: Record<string, number> = {};
  let approvals = 0;
  for (let index = 0; index < lived; index += 1) {
    const life = live(days, options.rates, chanceOf(seed, index));
    add(total, life.cost);
    states[life.state] = (states[life.state] ?? 0) + 1;
    approvals += life.approvals;
    if (index % 500 === 499 && process.stderr.isTTY) process.stderr.write(`\r${index + 1} of ${lived} devices lived`);
  }
  if (process.stderr.isTTY) process.stderr.write('\r\u001B[K');
  const perDeviceDay = (count: number): number => count / lived / days;
  report({ devices, days, seed, lived, total, approvals, states, perDeviceDay });
  const unit = 'per device and day';
  const measurements = costNames.map((label) => ({
    label,
    unit,
    value: perDeviceDay(total[label]),
    p50: null,
    p99: null,
  }));
  await writeResult('simulate', {
    measurements,
    ratios: { workflow_tasks_to_goal: perDeviceDay(total.workflow_tasks) / goal },
  });
  return 0;
}

interface Options {
  readonly devices: number;
  readonly days: number;
  readonly seed: number;
  readonly lived: number;
  readonly rates: Rates;
}

function readOptions(args: readonly string[]): Options | null {
  const names = ['devices', 'days', 'seed', 'sample', ...Object.keys(rates)];
  const options = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
  try {
    const { values } = parseArgs({ args: [...args], options: { ...options, all: { type: 'boolean' } } });
    const number = (name: string, usual: number, least: number): number => {
      const given = (values as Record<string, string | boolean | undefined>)[name];
      const value = given === undefined ? usual : Number(given);
      if (!Number.isFinite(value) || value < least) throw new RangeError(`--${name}: at least ${least}`);
      return value;
    };
    const devices = Math.floor(number('devices', 1_000_000, 1));
    const sample = values.all === true ? devices : Math.min(devices, Math.floor(number('sample', 2_000, 1)));
    return {
      devices,
      days: number('days', 30, 0.01),
      seed: Math.floor(number('seed', 7, 0)),
      lived: sample,
      rates: Object.fromEntries(
        (Object.keys(rates) as RateName[]).map((name) => [name, number(name, usualRates[name], 0)]),
      ) as Rates,
    };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n`);
    return null;
  }
}

interface Outcome extends Omit<Options, 'rates'> {
  readonly total: Cost;
  readonly approvals: number;
  readonly states: Readonly<Record<string, number>>;
  readonly perDeviceDay: (count: number) => number;
}

function report({ devices, days, seed, lived, total, approvals, states, perDeviceDay }: Outcome): void {
  const sizes = [devices, 10_000_000];
  const second = (size: number, count: number): string =>
    ((perDeviceDay(count) * size) / 86_400).toLocaleString('en', { maximumFractionDigits: 1 });
  const lines = [
    `${lived} of ${devices.toLocaleString('en')} devices lived for ${days} days with seed ${seed}`,
    '',
    ['', 'a device and day', ...sizes.map((size) => `${size.toLocaleString('en')} devices, a second`)],
    ...costNames.map((name) => [
      name.replaceAll('_', ' '),
      perDeviceDay(total[name]).toFixed(2),
      ...sizes.map((size) => second(size, total[name])),
    ]),
    ['reviews', perDeviceDay(approvals).toFixed(4), ...sizes.map((size) => second(size, approvals))],
    '',
    `At the end: ${Object.entries(states)
      .map(([state, count]) => `${((100 * count) / lived).toFixed(1)} % ${state}`)
      .join(', ')}`,
  ];
  const widths = [20, 18, 28, 28];
  for (const line of lines) {
    const text =
      typeof line === 'string'
        ? line
        : line.map((cell, i) => (i === 0 ? cell.padEnd(20) : cell.padStart(widths[i] ?? 0))).join('');
    process.stdout.write(`${text.trimEnd()}\n`);
  }
}
