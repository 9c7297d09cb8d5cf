// The command line as a whole: its nouns, its global options, and what a failure becomes.
import { Command, CommanderError } from 'commander';
import { readFileSync } from 'node:fs';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { addAdminCommands } from './admin.ts';
import { addApprovalCommands } from './approval.ts';
import { addAuditCommands } from './audit.ts';
import { addCaCommands } from './ca.ts';
import { addCertificateCommands } from './certificate.ts';
import { addCompletionCommands } from './completion.ts';
import type { CliContext } from './context.ts';
import { addDeviceCommands } from './device.ts';
import { addDoctorCommand } from './doctor.ts';
import { withExamples } from './examples.ts';
import { describeFailure, failureObject, failureOf, wrongUsage, type CliError } from './failure.ts';
import { addMigrateCommand } from './migrate.ts';
import { addPreflightCommand } from './preflight-command.ts';
import { printableJson } from '#contracts/printable.ts';
import { referencePage } from './reference.ts';
import { addSessionCommands } from './session.ts';
import { addStatusCommand } from './status.ts';
import { processTerminal } from './terminal.ts';

/**
 * Runs one command.
 *
 * @returns The exit code: 0 done, 1 failed, 2 wrong usage.
 */
export async function runCli(words: readonly string[], context: CliContext): Promise<number> {
  const json = words.includes('--json');
  const program = createProgram(context, { json });
  try {
    await program.parseAsync(words, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    const failure = failureOf(error instanceof CommanderError ? misused(error) : error);
    if (failure === null) throw error;
    if (json) context.terminal.talk(printableJson(failureObject(failure)));
    // To people, commander has said what was wrong.
    else if (!(error instanceof CommanderError)) context.terminal.talk(describeFailure(failure));
    return failure.exit;
  }
}

function misused({ message }: CommanderError): CliError {
  return wrongUsage(message.replace(/^error: /, ''), 'Run it with --help to see what there is.');
}

/** The reference page, which is the same on every machine. */
export function commandReference(): string {
  const environment = {};
  const terminal = processTerminal(environment);
  const pause = () => Promise.resolve();
  return referencePage(
    createProgram(
      { environment, terminal, pause, clock: systemClock, random: systemRandom, directory: '/' },
      { json: false },
    ),
  );
}

function createProgram(context: CliContext, { json }: { json: boolean }): Command {
  const { terminal } = context;
  const program = new Command('sentinel')
    .description('Operate Sentinel: devices, approvals, audit.')
    .version(versionOfPackage(), '--version', 'print the version')
    .option('--url <url>', 'address of the API (SENTINEL_URL)')
    .option('--ca-file <file>', 'authority that the API is trusted with (SENTINEL_CA_FILE)')
    .option('--project <project>', 'act in this project')
    .option('--json', 'print the objects of the API')
    .option('--debug', 'tell each request and its answer, without what is secret')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => terminal.data(text.trimEnd()),
      // With --json the failure goes out as an object instead.
      writeErr: (text) => (json ? undefined : terminal.talk(text.trimEnd())),
    })
    .showHelpAfterError('(--help shows what there is)')
    .exitOverride();
  withExamples(program, ['login', 'status', 'approval list', 'device show lab-1', 'device explain lab-1']);
  addDeviceCommands(program, context);
  addApprovalCommands(program, context);
  addCertificateCommands(program, context);
  addAuditCommands(program, context);
  addCaCommands(program, context);
  addAdminCommands(program, context);
  addSessionCommands(program, context);
  addStatusCommand(program, context);
  addDoctorCommand(program, context);
  addMigrateCommand(program, context);
  addPreflightCommand(program, context);
  addCompletionCommands(program, context);
  return program;
}

function versionOfPackage(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
