// Examples in the help of a command, which the reference page shows too.
import type { Command } from 'commander';

const examples = new WeakMap<Command, readonly string[]>();

export function withExamples(command: Command, lines: readonly string[]): Command {
  examples.set(command, lines);
  return command.addHelpText('after', ['', 'Examples:', ...lines.map((line) => `  sentinel ${line}`)].join('\n'));
}

export function examplesOf(command: Command): readonly string[] {
  return examples.get(command) ?? [];
}
