// Which simulated devices are stopped by hand: a file that `npm run fleet:pause` writes and the fleet looks at.
import type { Random } from '#contracts/deps.ts';
import { readIfThere, replacePrivateFile } from '../private-file.ts';

/** Reads the list of device ids; a file that is missing or damaged pauses nobody. */
export async function readPaused(path: string): Promise<ReadonlySet<string>> {
  try {
    const list: unknown = JSON.parse((await readIfThere(path)) ?? '[]');
    return new Set(Array.isArray(list) ? list.filter((id): id is string => typeof id === 'string') : []);
  } catch (error) {
    if (error instanceof SyntaxError) return new Set();
    throw error;
  }
}

/** Pauses or resumes devices; resuming none means all. Answers who is paused now. */
export async function changePaused(
  path: string,
  change: { readonly verb: 'pause' | 'resume'; readonly deviceIds: readonly string[] },
  random: Random,
): Promise<ReadonlySet<string>> {
  const paused = new Set(await readPaused(path));
  if (change.verb === 'resume' && change.deviceIds.length === 0) paused.clear();
  for (const id of change.deviceIds) {
    if (change.verb === 'pause') paused.add(id);
    else paused.delete(id);
  }
  await replacePrivateFile(path, JSON.stringify([...paused].toSorted()), random);
  return paused;
}

export interface PausedDevices {
  /** Resolves when this device is not paused. */
  untilResumed(deviceId: string, signal: AbortSignal): Promise<void>;
}

/**
 * Watches the file until the signal aborts.
 *
 * @param look Waits a moment between two looks; rejects when the signal aborts.
 */
export function watchPaused(
  read: () => Promise<ReadonlySet<string>>,
  look: (signal: AbortSignal) => Promise<void>,
  onChange: (paused: ReadonlySet<string>) => void,
): PausedDevices & { run(signal: AbortSignal): Promise<void> } {
  let paused: ReadonlySet<string> = new Set();
  let changed = Promise.withResolvers<void>();
  const known = Promise.withResolvers<void>();
  return {
    async run(signal) {
      signal.addEventListener('abort', () => changed.resolve(), { once: true });
      while (!signal.aborted) {
        const next = await read();
        if ([...next].join() !== [...paused].join()) {
          paused = next;
          onChange(paused);
          changed.resolve();
          changed = Promise.withResolvers();
        }
        known.resolve();
        await look(signal).catch(() => {});
      }
      known.resolve();
      changed.resolve();
    },
    async untilResumed(deviceId, signal) {
      await known.promise;
      while (paused.has(deviceId) && !signal.aborted) await changed.promise;
    },
  };
}
