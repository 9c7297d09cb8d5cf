// Gathers the simulated devices that wait for approval, and has each of them voted for once in the life of this home.
import type { Log, Random } from '#contracts/deps.ts';
import { readIfThere, replacePrivateFile } from '../private-file.ts';

export interface ApprovalQueue {
  /** A device waits; one that was voted for under this certificate before is left to people. */
  add(deviceId: string, fingerprint: string): void;
  run(signal: AbortSignal): Promise<void>;
}

export interface ApprovalQueueDeps {
  /** Where the votes are written down. */
  readonly file: string;
  readonly random: Random;
  readonly log: Log;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly approve: (
    fingerprints: ReadonlyMap<string, string>,
    settled: (deviceId: string) => Promise<void>,
    signal: AbortSignal,
  ) => Promise<void>;
}

/** Devices that come soon after each other are one sign-in. */
const gatherMs = 1_000;
const firstRetryMs = 3_000;
const longestRetryMs = 60_000;

export async function createApprovalQueue(deps: ApprovalQueueDeps): Promise<ApprovalQueue> {
  const votes = parseVotes(await readIfThere(deps.file));
  const waiting = new Map<string, string>();
  let woken = Promise.withResolvers<void>();

  let writing = Promise.resolve();
  let next: Promise<void> | null = null;

  /** Votes that come while the file is written share the next writing of it. */
  const writeVotes = (): Promise<void> => {
    next ??= writing
      .catch(() => {})
      .then(() => {
        next = null;
        writing = replacePrivateFile(deps.file, JSON.stringify(Object.fromEntries(votes)), deps.random);
        return writing;
      });
    return next;
  };

  const settled = async (deviceId: string): Promise<void> => {
    const fingerprint = waiting.get(deviceId);
    if (fingerprint === undefined) return;
    votes.set(deviceId, fingerprint);
    await writeVotes();
    waiting.delete(deviceId);
  };

  return {
    add(deviceId, fingerprint) {
      if (votes.get(deviceId) === fingerprint) return;
      waiting.set(deviceId, fingerprint);
      woken.resolve();
    },
    async run(signal) {
      signal.addEventListener('abort', () => woken.resolve(), { once: true });
      let retryMs = firstRetryMs;
      while (!signal.aborted) {
        try {
          await woken.promise;
          await deps.sleep(gatherMs, signal);
          await deps.approve(new Map(waiting), settled, signal);
          retryMs = firstRetryMs;
        } catch (error) {
          if (signal.aborted) return;
          deps.log.warn({ err: error }, 'The simulated devices are not approved yet');
        }
        if (waiting.size === 0) {
          woken = Promise.withResolvers();
          continue;
        }
        await deps.sleep(retryMs, signal).catch(() => {});
        retryMs = Math.min(retryMs * 2, longestRetryMs);
      }
    },
  };
}

function parseVotes(text: string | null): Map<string, string> {
  return new Map(Object.entries(JSON.parse(text ?? '{}') as Record<string, string>));
}
