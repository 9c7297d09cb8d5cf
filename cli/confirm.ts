// Asks before something is decided; before something that takes trust away, the person types the name of what it is about.
import { CliError, wrongUsage } from './failure.ts';
import type { Terminal } from './terminal.ts';

/** Resolves when the act is confirmed by its name, or was by `--yes`. */
export async function confirmByName(
  terminal: Terminal,
  request: { readonly act: string; readonly name: string; readonly yes: boolean | undefined },
): Promise<void> {
  if (request.yes) return;
  if (!terminal.interactive) {
    throw wrongUsage(`Nobody can be asked whether to ${request.act} ${request.name}.`, 'Say --yes to go ahead.');
  }
  const typed = await terminal.ask(`Type ${request.name} to ${request.act} it`);
  if (typed.trim() !== request.name) throw new CliError('That is another name. Nothing was done.');
}

/** Asks a person who sits there; a script that calls for an approval has said enough. */
export async function confirmIfAsked(
  terminal: Terminal,
  request: { readonly question: string; readonly yes: boolean | undefined },
): Promise<void> {
  if (request.yes || !terminal.interactive) return;
  if (!(await terminal.confirm(request.question))) throw new CliError('Nothing was done.');
}
