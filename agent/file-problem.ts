// A file that the agent cannot use: which, why, and what to do about it.

export class FileProblem extends Error {
  readonly path: string;
  readonly problem: string;
  readonly advice: string;
  constructor(path: string, problem: string, advice: string) {
    super(`${path} ${problem}. ${advice}`);
    this.name = 'FileProblem';
    this.path = path;
    this.problem = problem;
    this.advice = advice;
  }
}

const reasons: Readonly<Record<string, readonly [problem: string, advice: string]>> = {
  ENOENT: ['does not exist', 'Correct the path, or put the file there.'],
  EACCES: ['may not be read by this user', 'Give it to the user that the agent runs as.'],
  EPERM: ['may not be read by this user', 'Give it to the user that the agent runs as.'],
  EISDIR: ['is a folder', 'Name the file.'],
  ENOTDIR: ['is below something that is no folder', 'Correct the path.'],
};

/** The failure of a file operation as a FileProblem. */
export function fileProblem(path: string, error: unknown): FileProblem {
  const { code = 'unknown error' } = error as NodeJS.ErrnoException;
  const [problem, advice] = reasons[code] ?? [`cannot be used (${code})`, 'Look at the file and its folder.'];
  return new FileProblem(path, problem, advice);
}
