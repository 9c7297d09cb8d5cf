// The state of the agent: whether it can be read, written and is nobody else's.
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Random } from '#contracts/deps.ts';
import type { AgentConfig } from '../config.ts';
import { readState } from '../state.ts';
import { checkAccess, findingOf, type UserId } from './files.ts';
import { error, type Finding, ok } from './finding.ts';

const subject = 'state_path';

export async function checkState(
  { state_path, device_id }: AgentConfig,
  { random, userId }: { readonly random: Random; readonly userId: UserId },
): Promise<Finding[]> {
  const folder = dirname(state_path);
  const findings = [
    await checkWritable(folder, random),
    ...(await checkAccess(subject, state_path, { isSecret: true, userId })),
  ];
  try {
    const { next_heartbeat_counter: next } = await readState(state_path, device_id);
    const isNew = (await stat(state_path).catch(() => null)) === null;
    return [...findings, ok(subject, isNew ? 'There is no state yet' : `Counts on from ${next}`)];
  } catch (failure) {
    return [...findings, findingOf(subject, failure)];
  }
}

/** Leaves nothing behind: a folder that root makes here would be closed to an agent that runs as another user. */
async function checkWritable(folder: string, random: Random): Promise<Finding> {
  const trial = join(folder, `.preflight-${random.uuid()}`);
  let made: string | undefined;
  try {
    made = await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeFile(trial, '', { flag: 'wx', mode: 0o600 });
    return ok(subject, `${folder} can be written to`);
  } catch (failure) {
    const { code } = failure as NodeJS.ErrnoException;
    return error(
      subject,
      `${folder} cannot be written to (${code})`,
      'Give the folder to the user that the agent runs as, or name another.',
    );
  } finally {
    await rm(made ?? trial, { force: true, recursive: true }).catch(() => {});
  }
}
