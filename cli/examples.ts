// Examples in the help of a command.
import type { Command } from 'commander';

export function withExamples(command: Command, lines: readonly string[]): Command {
  return command.addHelpText('after', ['', 'Examples:', ...lines.map((line) => `  sentinel ${line}`)].join('\n'));
}
