// Where a command speaks: data to standard output, talk and questions to standard error.
import { confirm, password, text } from '@clack/prompts';
import { styleText } from 'node:util';
import { CliError, wrongUsage } from './failure.ts';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

export interface Terminal {
  /** A line, or several, of what was asked for. */
  data(text: string): void;
  /** Anything else there is to say. */
  talk(text: string): void;
  /** Width of the terminal that shows the data; `null` when it goes into a pipe or file. */
  readonly columns: number | null;
  /** Whether a person sits here who can answer a question. */
  readonly interactive: boolean;
  style(style: Style, text: string): string;
  ask(question: string): Promise<string>;
  askSecret(question: string): Promise<string>;
  confirm(question: string): Promise<boolean>;
  /** Everything on standard input. */
  readInput(): Promise<string>;
}

const largestInput = 64 * 1024;

/** The terminal of this process. */
export function processTerminal(environment: Readonly<Record<string, string | undefined>>): Terminal {
  const { stdin, stdout, stderr } = process;
  const interactive = stdin.isTTY && stderr.isTTY && !environment['CI'];
  return {
    data: (line) => void stdout.write(`${line}\n`),
    talk: (line) => void stderr.write(`${line}\n`),
    columns: stdout.isTTY ? stdout.columns : null,
    interactive,
    // Leaves the colours out when standard output is no terminal or NO_COLOR is set.
    style: (style, line) => styleText(style, line, { stream: stdout }),
    ask: async (message) => answered(await text({ message, output: stderr })),
    askSecret: async (message) => answered(await password({ message, output: stderr })),
    confirm: async (message) => answered(await confirm({ message, output: stderr, initialValue: false })),
    readInput: async () => {
      if (stdin.isTTY) throw wrongUsage('Nothing comes in on standard input.');
      let input = '';
      for await (const chunk of stdin.setEncoding('utf8')) {
        input += chunk as string;
        if (input.length > largestInput) throw wrongUsage('Standard input is longer than 64 KiB.');
      }
      return input;
    },
  };
}

function answered<T>(answer: T): Exclude<T, symbol> {
  if (typeof answer === 'symbol') throw new CliError('Nothing was done.');
  return answer as Exclude<T, symbol>;
}
