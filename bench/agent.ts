// What an agent costs a device: memory and processor time at rest, against a real Sentinel.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { buildBundle, openWorkshop } from '#deploy/agent/bundle.ts';
import { targetOf } from '#deploy/agent/targets.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { startStack, type Stack } from '#tests/harness/stack.ts';
import type { Bench } from './main.ts';
import type { Measurement } from './result.ts';

const settleMs = 15_000;
const sampleMs = 1_000;
const samples = 60;
/** Of proc_pid_stat(5), on every Linux that Node runs on. */
const ticksPerSecond = 100;
const root = fileURLToPath(new URL('../', import.meta.url));
const checkout = join(root, 'agent', 'bin.mjs');

export const agentBench: Bench = async (say) => {
  const works: (() => Promise<void> | void)[] = [];
  const cleanup: Cleanup = { after: (work) => void works.push(work) };
  try {
    say('starts a Sentinel');
    const stack = await startStack(cleanup);
    const folder = await mkdtemp(join(tmpdir(), 'sentinel-bench-'));
    cleanup.after(() => rm(folder, { recursive: true, force: true }));
    await enrol(stack, folder);
    const measurements: Measurement[] = [];
    for (const { name, program, args } of await programs(folder, say)) {
      say(`measures ${name} for ${(settleMs + samples * sampleMs) / 1000} s`);
      const agent = spawn(program, [...args, 'run', '--identity', folder, '--url', stack.instance.api_url], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      try {
        measurements.push(...(await measure(name, agent)));
      } finally {
        agent.kill('SIGTERM');
        await once(agent, 'exit');
      }
    }
    return { measurements, ratios: {} };
  } finally {
    for (const work of works.toReversed()) await work();
  }
};

/** The executable that is installed, and the agent as it runs from a checkout. */
async function programs(folder: string, say: (progress: string) => void) {
  // The first start from a checkout fills its cache.
  execFileSync(process.execPath, [checkout, 'version']);
  const fromCheckout = { name: 'from a checkout', program: process.execPath, args: [checkout] };
  try {
    say('builds the executable');
    return [{ name: 'executable', program: await executable(folder), args: [] }, fromCheckout];
  } catch (error) {
    say(`the executable cannot be built here: ${(error as Error).message}`);
    return [fromCheckout];
  }
}

async function executable(folder: string): Promise<string> {
  const target = targetOf(process.platform, process.arch);
  if (target === null) throw new Error('this machine is none of its targets');
  const cache = join(root, '.sentinel', 'cache', 'node');
  await mkdir(cache, { recursive: true });
  const workshop = await openWorkshop({ root, work: folder, cache, version: '0.0.0' }, target);
  const program = join(folder, 'sentinel-agent');
  await writeFile(program, (await buildBundle(target, workshop)).executable, { mode: 0o755 });
  return program;
}

async function enrol(stack: Stack, folder: string): Promise<void> {
  const device = await stack.device('bench-1');
  await device.heartbeat(1);
  const ann = await stack.as('ann');
  const digest = await eventually(async () => (await ann.devices.get('bench-1')).pending_review?.digest, 'a review');
  await ann.devices.identityReview('bench-1', { decision: 'approve', digest });
  await writeFile(join(folder, 'device.key'), device.certificate.keyPem, { mode: 0o600 });
  await writeFile(join(folder, 'device.crt'), device.certificate.certificatePem);
  await writeFile(join(folder, 'ca.crt'), stack.ca.caCertificatePem);
}

async function measure(name: string, agent: ChildProcess): Promise<Measurement[]> {
  if (agent.stdout === null || agent.pid === undefined) throw new Error('the agent did not start');
  for await (const line of createInterface({ input: agent.stdout })) if (line.includes('are accepted')) break;
  await sleep(settleMs);
  const { pid } = agent;
  const memory: number[] = [];
  const before = await ticks(pid);
  const began = performance.now();
  for (let sample = 0; sample < samples; sample += 1) {
    await sleep(sampleMs);
    memory.push(await residentMegabytes(pid));
  }
  const cpu = ((await ticks(pid)) - before) / ticksPerSecond / ((performance.now() - began) / 1000);
  memory.sort((a, b) => a - b);
  const at = (part: number): number => memory[Math.min(memory.length - 1, Math.floor(memory.length * part))] ?? 0;
  return [
    { label: `resident memory, ${name}`, unit: 'MB', value: at(1), p50: at(0.5), p99: at(0.99) },
    { label: `processor time at rest, ${name}`, unit: '% of a core', value: cpu * 100, p50: null, p99: null },
  ];
}

async function residentMegabytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return (Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024) / 1e6;
}

/** Of user and system together. */
async function ticks(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
