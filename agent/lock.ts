// One agent to a state: two that count from the same file would use a counter twice.
import { acquireLock, type Lock } from '#host/lock.mjs';
import { FileProblem, fileProblem } from './file-problem.ts';

export function lockPath(statePath: string): string {
  return `${statePath}.lock`;
}

/**
 * Takes the lock, also over from an agent that was killed.
 *
 * @throws FileProblem when another agent runs with this state
 */
export async function lockState(statePath: string): Promise<Pick<Lock, 'release'>> {
  const path = lockPath(statePath);
  try {
    return await acquireLock(path, ({ pid }) => {
      throw new FileProblem(path, `is held by a running agent, process ${pid}`, 'Stop that one first.');
    });
  } catch (error) {
    throw error instanceof FileProblem ? error : fileProblem(path, error);
  }
}
