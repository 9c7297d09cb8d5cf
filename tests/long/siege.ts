// A whole Sentinel on a PostgreSQL and a Temporal of the test's own, so that each part can be killed, kept away and brought back.
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Instance } from '#contracts/instance.ts';
import { findFreePort } from '#start/ports.ts';
import { startPostgres, type RunningPostgres } from '#start/postgres.ts';
import { findTemporalProgram } from '#start/temporal-program.ts';
import { startTemporal, type RunningTemporal } from '#start/temporal.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { startGrpcProxy, type GrpcProxy } from '#tests/harness/grpc-proxy.ts';
import { startStack, type Stack } from '#tests/harness/stack.ts';

/** What is killed. The supervisor starts ours again, the siege the other two. */
export const targets = ['api', 'worker', 'sealer', 'postgres', 'temporal'] as const;
export type Target = (typeof targets)[number];

const diskMegabytes = 600;

export interface Siege {
  readonly stack: Stack;
  /** Between Sentinel and Temporal. */
  readonly proxy: GrpcProxy;
  readonly superuserUrl: string;
  readonly temporalAddress: string;
  /**
   * Kills one without a word, and resolves when it is there again.
   *
   * @param whileAway what happens before a server is started again; a process of ours is, at once
   */
  kill(target: Target, whileAway?: () => Promise<unknown>): Promise<void>;
  /** Null where a disk of limited size cannot be made: why. */
  readonly noDisk: string | null;
  /** Takes what is left of the database's disk. @returns gives it back, and sees that the server is there */
  fillDisk(): Promise<() => Promise<void>>;
}

export async function besiege(t: Cleanup, settings: Record<string, string> = {}): Promise<Siege> {
  const folder = await mkdtemp(join(tmpdir(), 'sentinel-siege-'));
  const disk = join(folder, 'disk');
  const noDisk = mountDisk(disk);
  t.after(async () => {
    if (noDisk === null) execFileSync('umount', [disk]);
    await rm(folder, { recursive: true, force: true });
  });

  const [databasePort, temporalPort] = [await findFreePort(), await findFreePort()];
  const program = (
    await findTemporalProgram({
      toolsDirs: [fileURLToPath(new URL('../../.sentinel/tools', import.meta.url))],
      environment: process.env,
    })
  ).path;
  const start = {
    postgres: () =>
      startPostgres({
        dataDir: join(noDisk === null ? disk : folder, 'postgres'),
        port: databasePort,
        password: 'siege',
      }),
    temporal: () =>
      startTemporal({ program, port: temporalPort, databaseFile: join(folder, 'temporal', 'temporal.sqlite') }),
  };
  let postgres: RunningPostgres = await start.postgres();
  t.after(() => postgres.stop());
  let temporal: RunningTemporal = await start.temporal();
  t.after(() => temporal.stop());
  const proxy = await startGrpcProxy(temporal.address);
  t.after(() => proxy.close());
  const stack = await startStack(t, {
    SENTINEL_DATABASE_URL: postgres.url,
    SENTINEL_TEMPORAL_ADDRESS: proxy.address,
    SENTINEL_SENSITIVE_TAGS: 'payments',
    SENTINEL_HEARTBEAT_INTERVAL_SECONDS: '5',
    ...settings,
  });

  async function pidOf(part: string): Promise<number | null> {
    const text = await readFile(join(stack.home, 'instance.json'), 'utf8').catch(() => '{}');
    return (JSON.parse(text) as Partial<Instance>).pids?.[part] ?? null;
  }

  async function killOurs(part: 'api' | 'worker' | 'sealer'): Promise<void> {
    const pid = await eventually(() => pidOf(part), `a process of ${part}`);
    process.kill(pid, 'SIGKILL');
    await eventually(async () => {
      const now = await pidOf(part);
      return now !== null && now !== pid;
    }, `another process of ${part}`);
  }

  return {
    stack,
    proxy,
    superuserUrl: Object.assign(new URL(postgres.superuserUrl), { pathname: 'sentinel' }).href,
    temporalAddress: temporal.address,
    async kill(target, whileAway = async () => {}) {
      if (target !== 'postgres' && target !== 'temporal') return killOurs(target);
      const server = target === 'postgres' ? postgres : temporal;
      process.kill(server.pid, 'SIGKILL');
      await server.exited;
      try {
        await whileAway();
      } finally {
        if (target === 'postgres') postgres = await start.postgres();
        else temporal = await start.temporal();
      }
    },
    noDisk,
    async fillDisk() {
      const ballast = join(disk, 'ballast');
      const { bavail, bsize } = await statfs(disk);
      await writeFile(ballast, Buffer.alloc(bavail * bsize)).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      });
      return async () => {
        await rm(ballast);
        const ended = await Promise.race([postgres.exited.then(() => true), pause(500, false)]);
        if (ended) postgres = await start.postgres();
      };
    },
  };
}

function mountDisk(path: string): string | null {
  if (process.getuid?.() !== 0) return 'a disk of limited size needs root';
  try {
    execFileSync('mkdir', [path]);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${diskMegabytes}m,mode=755`, 'none', path], { stdio: 'pipe' });
    return null;
  } catch (error) {
    return `no disk of limited size can be mounted here: ${(error as Error).message.split('\n')[0]}`;
  }
}
