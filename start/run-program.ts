// Runs a program to its end and returns what it printed.
import { execFile } from 'node:child_process';
import { TrustError } from '#contracts/problems.ts';

export interface RunOptions {
  readonly environment: Readonly<Record<string, string>>;
  readonly withinMs: number;
  readonly directory?: string;
}

/** @throws TrustError `service.unavailable` with the end of its output when it fails or takes too long */
export function runProgram(command: string, args: readonly string[], options: RunOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const settings = {
      env: { ...options.environment },
      timeout: options.withinMs,
      killSignal: 'SIGKILL',
      maxBuffer: 8 * 1024 * 1024,
      ...(options.directory === undefined ? {} : { cwd: options.directory }),
    } as const;
    execFile(command, args, settings, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      const why = error.killed ? `took longer than ${options.withinMs / 1_000} s` : `failed (${error.code})`;
      const said = `${stdout}\n${stderr}`.trim().split('\n').slice(-6).join('\n');
      reject(new TrustError('service.unavailable', { detail: `${command} ${why}: ${said}`, cause: error }));
    }).stdin?.end();
  });
}
