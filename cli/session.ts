// sentinel login, sentinel logout: one sign-in, kept in SENTINEL_HOME for the commands that follow.
import type { Command } from 'commander';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { ApiProblem } from '#client/api-problem.ts';
import { findTarget, withClientOf } from './connection.ts';
import { homeOf, present, type CliContext } from './context.ts';
import { withExamples } from './examples.ts';
import { CliError, wrongUsage } from './failure.ts';
import { absolute } from './when.ts';

interface LoginOptions {
  readonly username?: string;
  readonly passwordFile?: string;
  readonly totp?: string;
}

export function addSessionCommands(program: Command, context: CliContext): void {
  const login = program
    .command('login')
    .description('sign in; the password comes from a file, from standard input or from a question')
    .option('--username <name>', 'who signs in')
    .option('--password-file <file>', 'file that holds the password')
    .option('--totp <code>', 'one-time code, when the account has one')
    .action(async (options: LoginOptions, command: Command) => {
      const home = homeOf(context);
      const { url, caFile } = await findTarget(context, command);
      const username = await usernameOf(context, options);
      const password = await passwordOf(context, options, username);
      const answer = await withClientOf(context, command, { url, caFile, token: null, sessionEnded: false }, (client) =>
        client.admin.login({ username, password, ...(options.totp === undefined ? {} : { totp: options.totp }) }),
      );
      const { token, session_id, expires_at } = answer;
      await home.keepSession({ url, ca_file: caFile, username, token, session_id, expires_at });
      present(context, command, { url, username, session_id, expires_at }, () => {
        context.terminal.talk(`${username} is signed in at ${url} until ${absolute(expires_at, context.clock.now())}.`);
      });
    });

  withExamples(login, ['login', 'login --username approver1 --password-file .sentinel/secrets/approver1.password']);

  const logout = program
    .command('logout')
    .description('end the sign-in, here and on the server')
    .action(async (_options: object, command: Command) => {
      const home = homeOf(context);
      const session = await home.session();
      if (session === null) {
        present(context, command, { signed_out: false }, () => context.terminal.talk('Nobody is signed in.'));
        return;
      }
      await home.forgetSession();
      const { url, ca_file: caFile, token } = session;
      try {
        await withClientOf(context, command, { url, caFile, token, sessionEnded: false }, (client) =>
          client.admin.logout(),
        );
      } catch (error) {
        const endedAlready = error instanceof ApiProblem && error.code.startsWith('auth.');
        if (!endedAlready) {
          throw new CliError('The sign-in is forgotten here, but the server was not told.', {
            advice: `It ends by itself ${absolute(session.expires_at, context.clock.now())}.`,
            cause: error,
          });
        }
      }
      present(context, command, { signed_out: true }, () =>
        context.terminal.talk(`${session.username} is signed out.`),
      );
    });
  withExamples(logout, ['logout']);
}

async function usernameOf({ terminal, ...context }: CliContext, { username }: LoginOptions): Promise<string> {
  if (username !== undefined) return username;
  const known = (await homeOf({ terminal, ...context }).instance())?.admin_username ?? undefined;
  if (terminal.interactive) {
    const answer = (await terminal.ask(known === undefined ? 'User name' : `User name (empty for ${known})`)).trim();
    if (answer !== '') return answer;
  }
  if (known === undefined) throw wrongUsage('Nobody is named.', 'Say --username.');
  return known;
}

async function passwordOf(context: CliContext, options: LoginOptions, username: string): Promise<string> {
  if (options.passwordFile !== undefined) {
    const path = resolve(context.directory, options.passwordFile);
    return firstLine(
      await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
        throw new CliError(`${path} cannot be read: ${cause.code}`, { cause });
      }),
    );
  }
  if (context.terminal.interactive) return context.terminal.askSecret(`Password of ${username}`);
  return firstLine(await context.terminal.readInput());
}

function firstLine(text: string): string {
  const line = text.split(/\r?\n/, 1)[0] ?? '';
  if (line === '') throw wrongUsage('The password is empty.');
  return line;
}
