// sentinel completion: what a shell may offer next, read from the commands themselves.
import { Argument, type Command, type Option } from 'commander';
import { completionScripts, shells, type Shell } from './completion-scripts.ts';
import { withClient } from './connection.ts';
import type { CliContext } from './context.ts';
import { withExamples } from './examples.ts';
import { printable } from '#contracts/printable.ts';

/** A person waits at the prompt: better no ids than late ones. */
const idsWithinMs = 1_500;
const mostIds = 100;

interface Candidate {
  readonly value: string;
  readonly description: string;
}

/** What stands at the cursor: one of these words, or an id of this kind. */
interface Expected {
  readonly candidates: readonly Candidate[];
  readonly ids: 'device' | 'approval' | null;
}

export function addCompletionCommands(program: Command, context: CliContext): void {
  const completion = program
    .command('completion')
    .description('print the script that makes a shell complete commands, options and ids')
    .addArgument(new Argument('<shell>', 'which shell').choices(shells))
    .action((shell: Shell) => {
      context.terminal.data(completionScripts[shell]);
      if (context.terminal.columns !== null) context.terminal.talk(`# To use it: ${howToUse[shell]}`);
    });
  withExamples(completion, [
    'completion bash >> ~/.bashrc',
    'completion fish > ~/.config/fish/completions/sentinel.fish',
  ]);

  // Called by the scripts at each Tab: words after `sentinel`, the last of which is being typed.
  program
    .command('__complete [words...]', { hidden: true })
    .action(async (words: readonly string[], _options: object, command: Command) => {
      const { candidates, ids } = expectedAt(program, words);
      const current = words.at(-1) ?? '';
      const all = ids === null ? candidates : [...candidates, ...(await readIds(context, command, ids, current))];
      for (const { value, description } of all) {
        if (value.startsWith(current)) context.terminal.data(`${value}\t${printable(description)}`);
      }
    });
}

/** What fits behind these words, whatever the last one begins with. */
export function expectedAt(program: Command, words: readonly string[]): Expected {
  const current = words.at(-1) ?? '';
  let command = program;
  let given = 0;
  let waiting: Option | undefined;
  for (const word of words.slice(0, -1)) {
    if (waiting !== undefined) waiting = undefined;
    else if (word.startsWith('-') && word !== '-') {
      const option = optionsOf(command).find(({ short, long }) => word === short || word === long);
      waiting = option?.required ? option : undefined;
    } else {
      const next = given === 0 ? command.commands.find((candidate) => candidate.name() === word) : undefined;
      if (next === undefined) given += 1;
      else command = next;
    }
  }
  if (waiting !== undefined) return { candidates: plain(waiting.argChoices ?? []), ids: idsFor(waiting.long ?? '') };
  if (current.startsWith('-')) {
    const candidates = optionsOf(command)
      .filter(({ hidden }) => !hidden)
      // An option may have two long names.
      .flatMap(({ short, long, description }) => [short, long].map((value) => ({ value: value ?? '', description })))
      .filter(({ value }) => value.startsWith('--'));
    return { candidates: [...candidates, { value: '--help', description: 'show help' }], ids: null };
  }
  const subcommands = command
    .createHelp()
    .visibleCommands(command)
    .map((candidate) => ({ value: candidate.name(), description: candidate.summary() || candidate.description() }));
  const { registeredArguments: known } = command;
  const argument = known[given] ?? (known.at(-1)?.variadic ? known.at(-1) : undefined);
  return {
    candidates: [...(given === 0 ? subcommands : []), ...plain(argument?.argChoices ?? [])],
    ids: argument === undefined ? null : idsFor(argument.name()),
  };
}

function optionsOf(command: Command): Option[] {
  return [...command.options, ...(command.parent === null ? [] : optionsOf(command.parent))];
}

const plain = (values: readonly string[]): Candidate[] => values.map((value) => ({ value, description: '' }));

function idsFor(name: string): Expected['ids'] {
  if (name === 'device_id' || name === '--subject-id') return 'device';
  return name === 'approval_id' ? 'approval' : null;
}

/** Ids that begin like this; none when nobody is signed in, or the API takes too long. */
async function readIds(
  context: CliContext,
  command: Command,
  ids: NonNullable<Expected['ids']>,
  current: string,
): Promise<Candidate[]> {
  const hurried = { ...context, stop: AbortSignal.timeout(idsWithinMs) };
  try {
    return await withClient(hurried, command, async (client) => {
      if (ids === 'device') {
        const search = current === '' ? {} : { search: current };
        const { items } = await client.devices.list({ limit: mostIds, ...search });
        return items.map((item) => ({
          value: item.device_id,
          description: `${item.approval_state}, ${item.trust_tier}`,
        }));
      }
      const { items } = await client.approvals.list({ limit: mostIds, state: 'open' });
      return items.map((item) => ({ value: item.id, description: `${item.kind} of ${item.subject.id}` }));
    });
  } catch {
    // Nobody asked for an answer: an error would tear the prompt apart.
    return [];
  }
}

const howToUse: Record<Shell, string> = {
  bash: 'sentinel completion bash >> ~/.bashrc',
  zsh: 'sentinel completion zsh > "${fpath[1]}/_sentinel"',
  fish: 'sentinel completion fish > ~/.config/fish/completions/sentinel.fish',
  pwsh: 'sentinel completion pwsh >> $PROFILE',
};
