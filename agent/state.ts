// What an agent has to remember across restarts, in one file that only it writes: its next counter, the open challenge, and
// the identity that goes on while a new one waits.
import type { Random } from '#contracts/deps.ts';
import type { ChallengeStore } from './attestation.ts';
import type { ReplacedStore } from './connection.ts';
import { countFrom, isUsableCounter, type NextCounter } from './counter.ts';
import { FileProblem, fileProblem } from './file-problem.ts';
import { readIfThere, replacePrivateFile } from './private-file.ts';

export interface AgentState {
  /** Gives counters that were never given before; written down before they are used. */
  readonly nextCounter: NextCounter;
  readonly challenge: ChallengeStore;
  readonly replaced: ReplacedStore;
}

interface StoredState {
  readonly device_id: string;
  /** The first counter that an agent started from this file uses. */
  readonly next_heartbeat_counter: number;
  /** The challenge that is to be answered; absent when there is none. */
  readonly attestation_challenge?: unknown;
  /** The certificate and key before those on disk, for as long as they are in use; absent else. */
  readonly replaced_identity?: unknown;
  /** A later version may keep more here, which goes through this one unchanged. */
  readonly [other: string]: unknown;
}

const restore =
  'Restore it from a backup; or remove it and have an operator reset the device, since a counter that begins anew is refused as a replay.';

/**
 * Opens the state of this device; a file that is not there yet is a device that has sent nothing.
 *
 * @throws FileProblem when the file is damaged or of another device
 */
export async function openState(path: string, deviceId: string, random: Random): Promise<AgentState> {
  let stored = await readState(path, deviceId);
  const write = async (changes: Partial<StoredState>): Promise<void> => {
    const next = { ...stored, ...changes };
    await replacePrivateFile(path, `${JSON.stringify(next, null, 2)}\n`, random).catch((error: unknown) => {
      throw fileProblem(path, error);
    });
    stored = next;
  };
  return {
    nextCounter: countFrom(stored.next_heartbeat_counter - 1, (end) => write({ next_heartbeat_counter: end + 1 })),
    challenge: {
      kept: stored.attestation_challenge,
      keep: (challenge) => write({ attestation_challenge: challenge ?? undefined }),
    },
    replaced: {
      kept: stored.replaced_identity,
      keep: (identity) => write({ replaced_identity: identity ?? undefined }),
    },
  };
}

/**
 * Reads the state without changing anything.
 *
 * @throws FileProblem
 */
export async function readState(path: string, deviceId: string): Promise<StoredState> {
  const text = await readIfThere(path).catch((error: unknown) => {
    throw fileProblem(path, error);
  });
  if (text === null) return { device_id: deviceId, next_heartbeat_counter: 1 };
  const state = parseObject(text);
  const { device_id, next_heartbeat_counter: next } = state ?? {};
  if (state === null || typeof device_id !== 'string' || !isUsableCounter(next) || next < 1)
    throw new FileProblem(path, 'is damaged', restore);
  if (device_id !== deviceId)
    throw new FileProblem(
      path,
      `is the state of ${JSON.stringify(device_id.slice(0, 64))} and not of ${deviceId}`,
      'Give each device a state_path of its own.',
    );
  return { ...state, device_id, next_heartbeat_counter: next };
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
