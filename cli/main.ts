// `sentinel`: gives the command line this process's environment, terminal, clock and randomness.
import { setTimeout } from 'node:timers/promises';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { runCli } from './program.ts';
import { processTerminal } from './terminal.ts';

// A reader that has seen enough (`sentinel audit list | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

process.exitCode = await runCli(process.argv.slice(2), {
  environment: process.env,
  terminal: processTerminal(process.env),
  clock: systemClock,
  random: systemRandom,
  pause: (ms, signal) => setTimeout(ms, undefined, { ...(signal ? { signal } : {}) }),
  directory: process.cwd(),
});
