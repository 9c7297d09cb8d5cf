// `npm run test:long -- --minutes 30 --seed 7 [PART]…`: breaks things for as long as one asks, says meanwhile what it is at, and
// in the end what was lost.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { lostOf, readNotes, tableOf, type Note } from './notes.ts';
import { partNames, partOf, parts } from './parts.ts';

const sayEveryMs = 20_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string', default: String(Date.now() % 1e6) } },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
const named = positionals.map(partOf);
if (!(minutes > 0) || !Number.isSafeInteger(seed) || seed < 0 || named.includes(null)) {
  process.stderr.write(`Usage: npm run test:long -- [--minutes N] [--seed N] [${partNames.join(' | ')}]…\n`);
  process.exit(2);
}
const chosen = positionals.length === 0 ? partNames : partNames.filter((name) => named.includes(name));

const folder = mkdtempSync(join(tmpdir(), 'sentinel-long-'));
const file = join(folder, 'notes');
writeFileSync(file, '');
const beganMs = Date.now();
const whole = chosen.reduce((sum, name) => sum + parts[name].share, 0);
const planned = chosen.map((name) => `${name} ${clockOf((minutes * 60_000 * parts[name].share) / whole)}`);
process.stdout.write(`${minutes} minutes, seed ${seed}: ${planned.join(', ')}\n`);

const files = chosen.map((name) => `tests/long/${name}.test.ts`);
const child = spawn(process.execPath, ['tests/run.ts', ...files], {
  cwd: fileURLToPath(new URL('../../', import.meta.url)),
  stdio: 'inherit',
  env: {
    ...process.env,
    TEST_LONG_END: String(beganMs + minutes * 60_000),
    TEST_LONG_PARTS: chosen.join(','),
    TEST_LONG_SEED: String(seed),
    TEST_LONG_NOTES: file,
  },
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));

let read = 0;
let present: { readonly note: Note | undefined; readonly sinceMs: number } = { note: undefined, sinceMs: beganMs };
const saying = setInterval(() => say(readNotes(file)), sayEveryMs);
child.once('exit', (code) => {
  clearInterval(saying);
  const notes = readNotes(file);
  rmSync(folder, { recursive: true, force: true });
  process.stdout.write(`\n${minutes} minutes, seed ${seed}, took ${clockOf(Date.now() - beganMs)}\n${tableOf(notes)}`);
  process.exitCode = code ?? 1;
});

/** What the present part is at, and since when nothing was heard of it; what was lost, at once. */
function say(notes: readonly Note[]): void {
  const fresh = notes.slice(read);
  read = notes.length;
  for (const note of fresh)
    if (note.kind === 'finding' && note.lost.length > 0) process.stdout.write(`LOST: ${lostOf(note)}`);
  const last = fresh.findLast((note) => note.kind === 'progress');
  if (last !== undefined) present = { note: last, sinceMs: Date.now() };
  const { note, sinceMs } = present;
  const text = note?.kind === 'progress' ? `${note.part}, seed ${note.seed}: ${note.text}` : 'begins';
  const silence = last === undefined ? ` (nothing new for ${clockOf(Date.now() - sinceMs)})` : '';
  process.stdout.write(`${clockOf(Date.now() - beganMs)} of ${clockOf(minutes * 60_000)}  ${text}${silence}\n`);
}

function clockOf(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
