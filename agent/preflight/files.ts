// Files of the agent: who may read and change them.
import { stat } from 'node:fs/promises';
import { FileProblem } from '../file-problem.ts';
import { error, type Finding, warning } from './finding.ts';

/** Who the agent runs as; `null` on Windows, where files have no mode. */
export type UserId = number | null;

/** What others could do with a file of the configuration; says nothing about one that is not there. */
export async function checkAccess(
  subject: string,
  path: string,
  { isSecret, userId }: { readonly isSecret: boolean; readonly userId: UserId },
): Promise<Finding[]> {
  const found = await stat(path).catch(() => null);
  if (found === null || userId === null) return [];
  const findings: Finding[] = [];
  if (found.uid !== userId && found.uid !== 0) findings.push(foreign(subject, path, found.uid, userId));
  if (isSecret && (found.mode & 0o077) !== 0)
    findings.push(error(subject, `${path} can be read or changed by others`, `Close it: chmod 600 ${path}`));
  if (!isSecret && (found.mode & 0o022) !== 0)
    findings.push(warning(subject, `${path} can be changed by others`, `Close it: chmod go-w ${path}`));
  return findings;
}

/** Somebody who checks as root may do so for an agent that runs as another user. */
function foreign(subject: string, path: string, owner: number, userId: number): Finding {
  const problem = `${path} belongs to another user (${owner})`;
  return userId === 0
    ? warning(subject, problem, `Right if the agent runs as that user; otherwise: chown root ${path}`)
    : error(subject, problem, `Make it yours: chown ${userId} ${path}`);
}

/** The failure of a check as a finding; other failures are faults of the program. */
export function findingOf(subject: string, failure: unknown): Finding {
  if (!(failure instanceof FileProblem)) throw failure;
  return error(subject, `${failure.path} ${failure.problem}`, failure.advice);
}
