// The sealer at work: woken by the database or by the clock, it seals what is there, and signs a checkpoint now and then.
import type { Clock, Log, SpanAttributes } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import { listen } from '#store/listen.ts';
import { noteSealing, sealChain, unsealedChains, type ChainName } from '#store/sealer.ts';
import type { Store } from '#store/store.ts';
import type { Meters } from '#telemetry/metrics.ts';
import type { Traces } from '#telemetry/traces.ts';
import type { BrokenChain, Checkpoints } from './checkpoints.ts';

export type SealerMetrics = ReturnType<typeof createSealerMetrics>;

export function createSealerMetrics({ counter, histogram }: Pick<Meters, 'counter' | 'histogram'>) {
  return {
    sealed: counter('sentinel_sealed_events_total'),
    batchDuration: histogram('sentinel_seal_batch_duration_seconds'),
    failures: counter('sentinel_seal_failures_total'),
    checkpoints: counter('sentinel_checkpoints_signed_total'),
  };
}

export interface SealerDeps {
  readonly store: Store;
  readonly checkpoints: Checkpoints;
  readonly checkpointSeconds: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: SealerMetrics;
  readonly traces?: Pick<Traces, 'joined'> | undefined;
  readonly batchSize?: number;
}

export interface Sealer {
  /** Seals everything that is committed by now. */
  seal(): Promise<void>;
  /** Ends after the round that is under way, with a last checkpoint. */
  stop(): Promise<void>;
}

/** Announcements come at once; this is for those that were lost. */
const pollMs = 2_000;
const firstPauseMs = 250;
/** What could not be sealed may be one chain of many: the others do not wait long. */
const longestPauseMs = 2_000;
/** Whoever polls the status sees that the sealer is there, also when there is nothing to seal. */
const noteMs = 30_000;

export function createSealer(deps: SealerDeps): Sealer {
  const { store, checkpoints, checkpointSeconds, clock, log, metrics, batchSize = 1_000 } = deps;
  const traced = <T>(name: string, attributes: SpanAttributes, work: () => Promise<T>): Promise<T> =>
    deps.traces === undefined ? work() : deps.traces.joined([], name, attributes, work);
  let stopped = false;
  let wanted = true;
  let idle = false;
  let endRest = (): void => {};
  let pauseMs = firstPauseMs;
  let notedAt = Number.NEGATIVE_INFINITY;
  let failed = false;
  let signedAt: number | null = null;
  /** Chains that must not go on; null until that is known, and after whatever may have been a restore. */
  let broken: readonly BrokenChain[] | null = null;

  const listener = listen(store, 'sentinel_seal', () => {
    wanted = true;
    // After a failure it rests all the same: each of many announcements would fail, and be told, anew.
    if (idle) endRest();
  });

  async function seal(): Promise<void> {
    const failures: unknown[] = [];
    broken ??= await checkpoints.brokenChains().catch((error: unknown) => {
      // Without the folder nothing contradicts the chains; that it is away is a failure by itself.
      failures.push(error);
      return null;
    });
    failures.push(...(broken ?? []).map(({ reason }) => reason));
    for (const chain of await unsealedChains(store)) {
      if (broken?.some(({ project, stream }) => project === chain.project && stream === chain.stream)) continue;
      try {
        while ((await sealBatch(chain)) === batchSize);
      } catch (error) {
        // What ails one chain holds up no other.
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  async function sealBatch(chain: ChainName): Promise<number> {
    const ended = metrics.batchDuration.startTimer({ stream: chain.stream });
    const sealed = await traced('seal batch', { 'sentinel.chain.stream': chain.stream }, () =>
      sealChain(store, chain, batchSize),
    );
    ended();
    metrics.sealed.inc({ stream: chain.stream }, sealed);
    return sealed;
  }

  async function signWhenDue(now: number): Promise<void> {
    // What was sealed before the first one is worth one at once.
    const due = signedAt === null || now - signedAt >= checkpointSeconds * 1000;
    if (!due || !(await traced('sign checkpoint', {}, () => checkpoints.sign()))) return;
    signedAt = now;
    metrics.checkpoints.inc();
  }

  async function round(): Promise<void> {
    const now = clock.now().getTime();
    const failures: unknown[] = [];
    await seal().catch((error: unknown) => failures.push(error));
    // Also over what could be sealed: an event that cannot be would be a way to have no more checkpoints.
    await signWhenDue(now).catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw failures[0];
    if (failed || now - notedAt >= noteMs) {
      await noteSealing(store, clock.now().toISOString(), null);
      notedAt = now;
      failed = false;
    }
    pauseMs = firstPauseMs;
  }

  async function fail(error: unknown): Promise<void> {
    failed = true;
    broken = null;
    metrics.failures.inc();
    log.error({ err: error }, 'sealing failed and is tried again');
    await noteSealing(store, clock.now().toISOString(), reasonOf(error)).catch(() => {});
    await rest(pauseMs);
    pauseMs = Math.min(longestPauseMs, pauseMs * 2);
    wanted = true;
  }

  function rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      endRest = () => {
        clearTimeout(timer);
        resolve();
      };
      if (stopped) endRest();
    });
  }

  async function run(): Promise<void> {
    while (!stopped) {
      // Cleared first: what is announced during the round may be too late for it.
      wanted = false;
      await round().catch(fail);
      if (wanted || stopped) continue;
      idle = true;
      await rest(pollMs);
      idle = false;
    }
  }

  const running = run();
  return {
    seal,
    async stop() {
      stopped = true;
      endRest();
      await running;
      await listener.close();
      await checkpoints
        .sign()
        .catch((error: unknown) => log.error({ err: error }, 'the last checkpoint was not signed'));
    },
  };
}

/** For everybody who may read the status: what to look at, without what was in the statement. */
function reasonOf(error: unknown): string {
  if (error instanceof TrustError) return `${error.code}: ${error.message}`;
  const { code, path } = error as NodeJS.ErrnoException;
  return [code ?? 'error', path].filter((part) => part !== undefined).join(' ');
}
