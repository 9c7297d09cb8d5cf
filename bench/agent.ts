// What an agent costs a device: memory and processor time at rest, against a real Sentinel.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { buildBundle, openWorkshop } from '#deploy/agent/bundle.ts';
import { targetOf } from '#deploy/agent/targets.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { startStack, type Stack } from '#tests/harness/stack.ts';
import { withCleanup } from './cleanup.ts';
import type { Bench } from './main.ts';
import { percentile, spread } from './percentile.ts';
import { usageOf } from './process-groups.ts';
import type { Measurement } from './result.ts';

const settleMs = 15_000;
const sampleMs = 1_000;
const samples = 60;
const root = fileURLToPath(new URL('../', import.meta.url));
const checkout = join(root, 'agent', 'bin.mjs');

export const agentBench: Bench = (say) =>
  withCleanup(async (cleanup) => {
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
  });

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
  const before = usageOf(pid).cpuSeconds;
  const began = performance.now();
  for (let sample = 0; sample < samples; sample += 1) {
    await sleep(sampleMs);
    memory.push(usageOf(pid).residentMegabytes);
  }
  const cpu = (usageOf(pid).cpuSeconds - before) / ((performance.now() - began) / 1000);
  return [
    { label: `resident memory, ${name}`, unit: 'MB', value: percentile(memory, 1), ...spread(memory) },
    { label: `processor time at rest, ${name}`, unit: '% of a core', value: cpu * 100, p50: null, p99: null },
  ];
}
