// Bundles the workflows in a process of its own: what a bundler leaves in memory, hundreds of megabytes, goes with it.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createLog } from '#telemetry/log.ts';
import { bundleWorkflows } from './bundle.ts';

type Answer = { readonly code: string } | { readonly error: string };

/** @param level of the log that the process writes into the same stream */
export function bundleApart(level: string): Promise<{ readonly code: string }> {
  return new Promise((resolve, reject) => {
    // Nothing of our own environment, in particular none of our secrets.
    const child = fork(fileURLToPath(import.meta.url), [level], { env: {}, stdio: 'inherit' });
    child.once('message', (answer: Answer) => {
      if ('code' in answer) resolve(answer);
      else reject(new Error(`the workflows cannot be bundled: ${answer.error}`));
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => reject(new Error(`the bundling of workflows ended with ${signal ?? code}`)));
  });
}

if (import.meta.main) {
  // Whoever started it may be gone.
  process.once('disconnect', () => process.exit(1));
  const answer = await bundleWorkflows(createLog('worker', process.argv[2] ?? 'info')).then(
    ({ code }): Answer => ({ code }),
    (error: unknown): Answer => ({ error: String(error) }),
  );
  process.send?.(answer, () => process.exit(0));
}
