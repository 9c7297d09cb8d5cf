// What an enrollment takes on an installation of one machine: from the first contact to a review that can be voted on, and to an approved device.
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Client } from '#client/client.ts';
import { defaultProject } from '#contracts/ids.ts';
import { startStack, type Stack, type TestDevice } from '#tests/harness/stack.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { withCleanup } from './cleanup.ts';
import type { Bench } from './main.ts';
import { percentile, spread } from './percentile.ts';
import { usageOf } from './process-groups.ts';
import type { Measurement } from './result.ts';

const steady = { devices: 200, perSecond: 20 };
const burst = { devices: 200 };
const withinMs = 90_000;
const lookEveryMs = 25;

export const enrollmentBench: Bench = (say) =>
  withCleanup(async (cleanup) => {
    say('starts a Sentinel');
    const stack = await startStack(cleanup);
    const ann = await stack.as('ann');
    const watch = await watchReviews(stack);
    cleanup.after(() => watch.stop());
    await warmUp(stack, ann, watch);

    say(`enrols ${steady.devices} devices, ${steady.perSecond} a second`);
    const devices = await makeDevices(stack, 'steady', steady.devices);
    const before = usages(stack);
    const began = performance.now();
    const lives = await Promise.all(
      devices.map(async (device, index) => {
        await sleep(Math.max(0, began + (index * 1000) / steady.perSecond - performance.now()));
        return enrol(device, ann, watch);
      }),
    );
    const seconds = (performance.now() - began) / 1000;
    const after = usages(stack);

    say(`${burst.devices} first contacts at once`);
    const crowd = await makeDevices(stack, 'burst', burst.devices);
    const burstBegan = performance.now();
    await Promise.all(crowd.map((device) => connect(device)));
    const opened = await Promise.all(crowd.map(async ({ id }) => (await watch.review(id)).seenAt - burstBegan));

    const measurement = (label: string, values: readonly number[]): Measurement => ({
      label,
      unit: 'ms',
      value: percentile(values, 0.5),
      ...spread(values),
    });
    return {
      measurements: [
        measurement(
          'first contact to its answer',
          lives.map(({ answeredMs }) => answeredMs),
        ),
        measurement(
          'first contact to an open review',
          lives.map(({ openMs }) => openMs),
        ),
        measurement(
          'approval to the approved device',
          lives.map(({ approvalMs }) => approvalMs),
        ),
        measurement(
          'first contact to the approved device',
          lives.map(({ totalMs }) => totalMs),
        ),
        { label: 'enrolled', unit: 'devices/s', value: steady.devices / seconds, p50: null, p99: null },
        {
          label: `open reviews of ${burst.devices} first contacts at once`,
          unit: 'reviews/s',
          value: burst.devices / (Math.max(...opened) / 1000),
          p50: null,
          p99: null,
        },
        ...memoryOf(stack),
        ...Object.keys(before).map((name) => ({
          label: `processor time of ${name} for an enrollment`,
          unit: 'ms',
          value: (((after[name] ?? 0) - (before[name] ?? 0)) * 1000) / steady.devices,
          p50: null,
          p99: null,
        })),
      ],
      ratios: {},
    };
  });

/** Processor time of each part so far, in seconds. */
function usages(stack: Stack): Record<string, number> {
  const { supervisor: _, ...parts } = stack.instance.pids;
  return Object.fromEntries(Object.entries(parts).map(([name, pid]) => [name, usageOf(pid).cpuSeconds]));
}

/** With the actors of all these devices alive. */
function memoryOf({ instance }: Stack): readonly Measurement[] {
  const { worker = 0, api = 0, temporal = 0 } = instance.pids;
  return Object.entries({ worker, api, temporal }).map(([part, pid]) => ({
    label: `resident memory of ${part}, ${steady.devices + burst.devices} live actors`,
    unit: 'MB',
    value: usageOf(pid).residentMegabytes,
    p50: null,
    p99: null,
  }));
}

async function makeDevices(stack: Stack, name: string, count: number): Promise<readonly TestDevice[]> {
  const made: TestDevice[] = [];
  for (let index = 0; index < count; index += 1) made.push(await stack.device(`${name}-${index}`));
  return made;
}

interface Review {
  readonly digest: string;
  readonly seenAt: number;
}

/** One look at the store for all devices together, so that looking costs next to nothing. */
async function watchReviews({ instance }: Stack) {
  const database = new pg.Client({
    connectionString: instance.database_url,
    options: `-c sentinel.project=${defaultProject}`,
  });
  database.on('error', () => {});
  await database.connect();
  const seen = new Map<string, Review>();
  let stopped = false;
  async function look(): Promise<void> {
    while (!stopped) {
      const { rows } = await database.query<{ subject_id: string; digest: string }>(
        `SELECT subject_id, digest FROM approval WHERE state = 'open'`,
      );
      const seenAt = performance.now();
      for (const { subject_id, digest } of rows) if (!seen.has(subject_id)) seen.set(subject_id, { digest, seenAt });
      await sleep(lookEveryMs);
    }
  }
  const looking = look();
  looking.catch(() => {});
  return {
    review: (device: string): Promise<Review> => eventually(() => seen.get(device), `a review of ${device}`, withinMs),
    async stop() {
      stopped = true;
      await looking;
      await database.end();
    },
  };
}
type Watch = Awaited<ReturnType<typeof watchReviews>>;

/** What is loaded and compiled at the first use is no part of what an enrollment takes. */
async function warmUp(stack: Stack, ann: Client, watch: Watch): Promise<void> {
  for (const device of await makeDevices(stack, 'warm', 5)) await enrol(device, ann, watch);
}

async function enrol(device: TestDevice, approver: Client, watch: Watch) {
  const began = performance.now();
  await connect(device);
  const answered = performance.now();
  const { digest, seenAt } = await watch.review(device.id);
  const asked = performance.now();
  await approve(device.id, digest, approver);
  const approved = performance.now();
  return {
    answeredMs: answered - began,
    openMs: seenAt - began,
    approvalMs: approved - asked,
    totalMs: approved - began,
  };
}

/** As an agent does: who is told to come later comes later, which counts as waiting. */
async function connect(device: TestDevice): Promise<void> {
  for (;;) {
    const { status, retryAfter } = await device.heartbeat(1);
    if (status === 202) return;
    if (status !== 429 && status !== 503)
      throw new Error(`the first contact of ${device.id} was answered with ${status}`);
    await sleep(Number(retryAfter ?? 1) * 1000);
  }
}

/** As a person does who is told that it took too long: tries again. What was counted the first time is closed by then. */
async function approve(id: string, digest: string, approver: Client): Promise<void> {
  await eventually(
    async () => {
      try {
        await approver.devices.identityReview(id, { decision: 'approve', digest });
      } catch (error) {
        if (![0, 409, 503].includes((error as { status?: number }).status ?? -1)) throw error;
      }
      return (await approver.devices.get(id)).approval_state === 'approved';
    },
    `the approval of ${id}`,
    withinMs,
  );
}
