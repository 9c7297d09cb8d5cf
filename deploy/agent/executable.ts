// An agent executable: the agent as one script, inside the Node of a target.
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { rolldown } from 'rolldown';

const buildWithinMs = 120_000;
const run = promisify(execFile);

/** Puts the agent and what it imports into one script. */
export async function bundleAgent(root: string, script: string): Promise<void> {
  const bundle = await rolldown({
    cwd: root,
    input: join(root, 'agent', 'main.ts'),
    platform: 'node',
    // What cannot be found would only show on the endpoint.
    onLog: (level, log) => {
      if (level === 'warn') throw new Error(log.message);
    },
  });
  try {
    // A script and no module: a script is what single executables have taken for longest.
    await bundle.write({ file: script, format: 'cjs', codeSplitting: false });
  } finally {
    await bundle.close();
  }
}

export interface ExecutableParts {
  /** Folder to work in; the names below are in it, so that no path of this machine goes into the executable. */
  readonly work: string;
  readonly script: string;
  /** Node of this machine, of the same version as the base. */
  readonly builder: string;
  readonly base: string;
  readonly output: string;
}

/** @returns The executable. */
export async function buildExecutable({ work, script, builder, base, output }: ExecutableParts): Promise<Buffer> {
  const config = {
    main: script,
    mainFormat: 'commonjs',
    executable: base,
    output,
    disableExperimentalSEAWarning: true,
    // Compiled code would be of the machine that builds.
    useCodeCache: false,
    useSnapshot: false,
    // NODE_OPTIONS of whoever starts it changes nothing: it could load other code or open a debugger.
    execArgvExtension: 'none',
  };
  await writeFile(join(work, `${output}.json`), JSON.stringify(config));
  await run(join(work, builder), ['--build-sea', `${output}.json`], { cwd: work, timeout: buildWithinMs });
  return readFile(join(work, output));
}
