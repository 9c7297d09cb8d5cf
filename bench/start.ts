// `npm start` on a fresh clone whose packages are installed: until everything serves, the second time too, and what it weighs.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Instance } from '#contracts/instance.ts';
import { findFreePort } from '#start/ports.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { withCleanup } from './cleanup.ts';
import type { Bench } from './main.ts';
import { usageOf } from './process-groups.ts';
import type { Measurement } from './result.ts';
import { benchFolder } from './servers.ts';

const withinMs = 120_000;
const root = fileURLToPath(new URL('../', import.meta.url));

export const startBench: Bench = (say) =>
  withCleanup(async (cleanup) => {
    say('clones the repository; its packages and the Temporal program are those of this one');
    const clone = await makeClone(cleanup);
    say('starts for the first time');
    const first = await start(clone, cleanup);
    const firstMemory = memoryOf(first.instance);
    await first.stop();
    say('starts for the second time');
    const second = await start(clone, cleanup);
    await second.stop();
    return {
      measurements: [
        { label: 'first start, until everything serves', unit: 's', value: first.seconds, p50: null, p99: null },
        ...first.stages,
        { label: 'second start, until everything serves', unit: 's', value: second.seconds, p50: null, p99: null },
        ...firstMemory,
      ],
      ratios: { cold_start_seconds: first.seconds, warm_start_seconds: second.seconds },
    };
  });

/** What is checked out now, changed or not, with no state. */
async function makeClone(cleanup: Cleanup): Promise<string> {
  const clone = join(await benchFolder(cleanup), 'sentinel');
  const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], { cwd: root })
    .toString()
    .split('\0')
    .filter((file) => file !== '');
  await mkdir(clone);
  for (const file of files) await cp(join(root, file), join(clone, file), { recursive: true }).catch(ifMissing);
  await cp(join(root, 'node_modules'), join(clone, 'node_modules'), { recursive: true, verbatimSymlinks: true });
  await mkdir(join(clone, '.sentinel'));
  // Installed once for each machine.
  await symlink(join(root, '.sentinel', 'tools'), join(clone, '.sentinel', 'tools'));
  return clone;
}

/** Deleted, and not yet committed so. */
function ifMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}

async function start(clone: string, cleanup: Cleanup) {
  const names = ['SENTINEL_PORT', 'SENTINEL_DATABASE_PORT', 'SENTINEL_TEMPORAL_PORT', 'SENTINEL_TEMPORAL_UI_PORT'];
  const ports = await Promise.all(names.map(async (name) => [name, String(await findFreePort())] as const));
  const own = Object.entries(process.env).filter(([name]) => !/^(SENTINEL|npm|NODE)_/i.test(name));
  const home = join(clone, '.sentinel');
  const began = performance.now();
  const npm = spawn('npm', ['start', '--', '--demo', '0'], {
    cwd: clone,
    env: { ...Object.fromEntries(own), ...Object.fromEntries(ports), SENTINEL_HOME: home },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  cleanup.after(() => end(npm));
  let output = '';
  for (const stream of [npm.stdout, npm.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const instance = await eventually(
    async () => {
      if (npm.exitCode !== null) throw new Error(`npm start ended:\n${output}`);
      const text = await readFile(join(home, 'instance.json'), 'utf8').catch(() => null);
      return text === null ? null : (JSON.parse(text) as Instance);
    },
    'npm start',
    withinMs,
  );
  const seconds = (performance.now() - began) / 1000;
  return { seconds, instance, stages: stagesOf(output), stop: () => end(npm) };
}

async function end(npm: ChildProcess): Promise<void> {
  if (npm.exitCode !== null || npm.signalCode !== null) return;
  const gone = once(npm, 'exit');
  npm.kill('SIGTERM');
  await gone;
}

/** What `npm start` says about its parts: `Postgres … ready in 1.2 s`. */
export function stagesOf(output: string): readonly Measurement[] {
  return [...output.matchAll(/^(\w+) … ready in (\d+\.\d) s/gm)].map(([, part, seconds]) => ({
    label: `first start, ${part}`,
    unit: 's',
    value: Number(seconds),
    p50: null,
    p99: null,
  }));
}

function memoryOf({ pids }: Instance): readonly Measurement[] {
  return Object.entries(pids).flatMap(([part, pid]) => {
    // The others are children of the supervisor, and are told by themselves.
    const { residentMegabytes, proportionalMegabytes } = usageOf(pid, { alone: part === 'supervisor' });
    const measurement = { unit: 'MB', p50: null, p99: null };
    return [
      { label: `resident memory of ${part}`, value: residentMegabytes, ...measurement },
      { label: `proportional memory of ${part}`, value: proportionalMegabytes, ...measurement },
    ];
  });
}
