// sentinel preflight: judges settings before a server uses them.
import type { Command } from 'commander';
import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { present, type CliContext } from './context.ts';
import { readEnvFile } from './env-file.ts';
import { withExamples } from './examples.ts';
import { CliError } from './failure.ts';
import { hasErrors, preflightEnvironment, type Files } from './preflight.ts';
import { table } from './table.ts';

interface PreflightFlags {
  readonly envFile?: string;
  readonly production?: boolean;
  readonly expectProxyCertHeaders?: boolean;
}

export function addPreflightCommand(program: Command, context: CliContext): void {
  const preflight = program
    .command('preflight')
    .description('judge the settings before a server uses them; exit code 1 when one is refused')
    .option('--env-file <file>', 'settings of this file instead of those of the environment')
    .option('--production', 'judge as for an installation that people rely on')
    .option('--expect-proxy-cert-headers', 'devices come through a proxy that forwards their certificates')
    .action((flags: PreflightFlags, command: Command) => {
      const environment =
        flags.envFile === undefined ? context.environment : readEnvFile(resolve(context.directory, flags.envFile));
      const findings = preflightEnvironment(environment, {
        production: flags.production ?? false,
        expectProxyCertHeaders: flags.expectProxyCertHeaders ?? false,
        files: filesFrom(context.directory),
        programDirectory: dirname(dirname(fileURLToPath(import.meta.url))),
      });
      const failed = hasErrors(findings);
      present(context, command, { passed: !failed, findings }, () => {
        if (findings.length === 0) context.terminal.talk('Nothing to say against these settings.');
        else {
          table(
            context.terminal,
            ['level', 'setting', 'problem', 'advice'],
            findings.map(({ level, setting, problem, advice }) => [
              { text: level, style: level === 'error' ? 'red' : 'yellow' },
              setting,
              problem,
              advice,
            ]),
            { wrap: true },
          );
        }
      });
      if (failed)
        throw new CliError('The preflight failed.', { advice: 'Mend what is an error above, and run it again.' });
    });
  withExamples(preflight, ['preflight --env-file .env --production']);
}

function filesFrom(directory: string): Files {
  return {
    look: (path) => {
      const found = statSync(resolve(directory, path), { throwIfNoEntry: false });
      if (found === undefined) return null;
      const kind = found.isFile() ? 'file' : found.isDirectory() ? 'directory' : 'other';
      return { kind, mode: found.mode & 0o7777 };
    },
  };
}
