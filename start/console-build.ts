// Builds the web console when its sources have changed since the last time.
import { join } from 'node:path';
import { renewFolder } from './built-folder.ts';
import { runProgram } from './run-program.ts';

/** @throws TrustError `service.unavailable` with what the build said */
export async function buildConsole(
  root: string,
  system: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> {
  const console = {
    root,
    name: 'console',
    target: join(root, 'web', 'dist'),
    sources: ['web/**/*', 'client/**/*', 'contracts/**/*', 'package-lock.json'],
    made: ['web/dist/**'],
    work: join(root, '.sentinel', 'console-building'),
    signal,
  };
  await renewFolder(console, async (into) => {
    const vite = join(root, 'node_modules', 'vite', 'bin', 'vite.js');
    await runProgram(
      process.execPath,
      [vite, 'build', 'web', '--outDir', into, '--emptyOutDir', '--logLevel', 'warn'],
      {
        directory: root,
        environment: { ...system, NODE_ENV: 'production', NO_COLOR: '1' },
        withinMs: 300_000,
        signal,
      },
    );
    return true;
  });
}
