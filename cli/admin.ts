// sentinel admin: what an administrator prepares for the settings.
import type { Command } from 'commander';
import { present, type CliContext } from './context.ts';
import { withExamples } from './examples.ts';
import { CliError, wrongUsage } from './failure.ts';

const longest = 1024;

export function addAdminCommands(program: Command, context: CliContext): void {
  const admin = program.command('admin').description('prepare accounts');

  const hash = admin
    .command('hash-password')
    .description('read a password from standard input and print its hash, for SENTINEL_ADMIN_PASSWORD_HASH')
    .action(async (_options: object, command: Command) => {
      const password = await readPassword(context);
      const { hashPassword } = await import('#protocols/password.ts');
      present(context, command, { password_hash: await hashPassword(password) }, ({ password_hash: text }) => {
        context.terminal.data(text);
      });
    });
  withExamples(hash, ['admin hash-password', 'admin hash-password < password.txt']);
}

async function readPassword({ terminal }: CliContext): Promise<string> {
  if (!terminal.interactive) return checked((await terminal.readInput()).replace(/\r?\n$/, ''));
  const password = checked(await terminal.askSecret('Password'));
  if ((await terminal.askSecret('The same again')) !== password) throw new CliError('The two differ.');
  return password;
}

function checked(password: string): string {
  if (password === '') throw wrongUsage('The password is empty.');
  if (password.length > longest) throw wrongUsage(`The password is longer than ${longest} characters.`);
  if (/[\r\n]/.test(password)) throw wrongUsage('The password has more than one line.');
  return password;
}
