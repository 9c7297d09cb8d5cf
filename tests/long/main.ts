// `npm run test:long -- --minutes 30 --seed 7`: breaks things for as long as one asks, and says what was lost.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Finding, readReport } from './report.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string', default: String(Date.now() % 1e6) } },
});
/** All of it, or some files. */
const wanted = positionals.length === 0 ? ['long'] : positionals;
const folder = mkdtempSync(join(tmpdir(), 'sentinel-long-'));
const file = join(folder, 'report');
writeFileSync(file, '');
process.stdout.write(`${values.minutes} minutes, seed ${values.seed}\n`);

const child = spawn(process.execPath, [fileURLToPath(new URL('../run.ts', import.meta.url)), ...wanted], {
  stdio: 'inherit',
  env: { ...process.env, TEST_LONG_MINUTES: values.minutes, TEST_LONG_SEED: values.seed, TEST_LONG_REPORT: file },
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
child.once('exit', (code) => {
  const findings = readReport(file);
  rmSync(folder, { recursive: true, force: true });
  const sums = Map.groupBy(findings, ({ what }) => what);
  say('broken on purpose, or asked meanwhile', 'times', 'lost');
  for (const [what, all] of sums) {
    const times = all.reduce((sum, finding) => sum + finding.times, 0);
    const lost = all.reduce((sum, finding) => sum + finding.lost.length, 0);
    say(what, String(times), String(lost));
  }
  for (const finding of findings) if (finding.lost.length > 0) sayLost(finding);
  process.exitCode = code ?? 1;
});

function say(what: string, times: string, lost: string): void {
  process.stdout.write(`${what.padEnd(48)}${times.padStart(10)}${lost.padStart(8)}\n`);
}

function sayLost({ what, lost, seed }: Finding): void {
  process.stdout.write(`${what}${seed === undefined ? '' : `, seed ${seed}`}:\n`);
  for (const line of lost) process.stdout.write(`  ${line}\n`);
}
