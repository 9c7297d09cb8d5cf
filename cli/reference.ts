// The reference page of the command line, from the commands themselves.
import type { Command } from 'commander';
import { examplesOf } from './examples.ts';

/** The page as Markdown: global options, then every command with its options and examples. */
export function referencePage(program: Command): string {
  return [
    '# The command line',
    '',
    '`npx --no-install sentinel <noun> <verb>` talks to a Sentinel that runs. It finds the API by `--url` or `SENTINEL_URL`,',
    'else by the session of `sentinel login` and by `instance.json` under `SENTINEL_HOME`.',
    '',
    'Tables are for people: they fit the terminal, and in a pipe they become tab-separated lines with whole times and no',
    'colours (nor with `NO_COLOR`). Programs say `--json` and get the objects of the API on standard output, and',
    '`{"error": …}` on standard error. The exit code is 0 when it was done, 1 when it failed, 2 when it was asked in a',
    'wrong way. `--watch` goes on until Ctrl-C, which is no failure; with `--json` it prints one line for each change.',
    '',
    'This page is made from `cli/` by `npm run docs`.',
    '',
    '## Options of every command',
    '',
    ...optionRows(program),
    '',
    ...commandsOf(program).flatMap((command) => commandSection(command)),
  ].join('\n');
}

/** Said to the tests of the documentation: this one runs them. */
const examplesTest = 'tests/unit/cli/reference.test.ts';

function commandSection(command: Command): string[] {
  const examples = examplesOf(command);
  return [
    `## ${pathOf(command)}`,
    '',
    `${sentence(command.description())}`,
    '',
    '```text',
    `${pathOf(command)} ${command.usage()}`.trim(),
    '```',
    '',
    ...(examples.length > 0
      ? [`\`\`\`sh run-in="${examplesTest}"`, ...examples.map((line) => `sentinel ${line}`), '```', '']
      : []),
    ...(command.createHelp().visibleOptions(command).length > 1 ? [...optionRows(command), ''] : []),
  ];
}

/** Those that do something, in the order of the help. */
function commandsOf(command: Command): Command[] {
  const below = command
    .createHelp()
    .visibleCommands(command)
    .filter((candidate) => candidate.name() !== 'help');
  return below.flatMap((candidate) => (candidate.commands.length > 0 ? commandsOf(candidate) : [candidate]));
}

function optionRows(command: Command): string[] {
  const help = command.createHelp();
  return [
    '| Option | Meaning |',
    '| --- | --- |',
    ...help
      .visibleOptions(command)
      .filter(({ long }) => long !== '--help')
      .map((option) => `| \`${option.flags}\` | ${cell(help.optionDescription(option))} |`),
  ];
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
