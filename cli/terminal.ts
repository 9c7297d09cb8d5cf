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
  /** Size of the terminal that shows the data; `null` when it goes into a pipe or file. */
  readonly columns: number | null;
  readonly rows: number | null;
  /** Whether a person sits here who can answer a question. */
  readonly interactive: boolean;
  style(style: Style, text: string): string;
  ask(question: string): Promise<string>;
  askSecret(question: string): Promise<string>;
  confirm(question: string): Promise<boolean>;
  /** Everything on standard input. */
  readInput(): Promise<string>;
  /** What goes on meanwhile, on a line of its own that the next text or `null` replaces; for people only. */
  progress(text: string | null): void;
  /** Paints the whole screen, in place of what was painted before, or with `null` gives it back. */
  paint(lines: readonly string[] | null): void;
  /** Aborts when the person has seen enough, instead of ending the process. */
  interruption(): AbortSignal;
}

const largestInput = 64 * 1024;

// ANSI X3.64 and xterm: the second screen, no cursor, no wrapping, and frames that appear whole.
const enterScreen = '\u001b[?1049h\u001b[?25l\u001b[?7l';
const leaveScreen = '\u001b[?7h\u001b[?25h\u001b[?1049l';
const beginFrame = '\u001b[?2026h\u001b[H';
const endFrame = '\u001b[J\u001b[?2026l';
const clearToEndOfLine = '\u001b[K';

/** The terminal of this process. */
export function processTerminal(environment: Readonly<Record<string, string | undefined>>): Terminal {
  const { stdin, stdout, stderr } = process;
  const interactive = stdin.isTTY && stderr.isTTY && !environment['CI'];
  let painting = false;
  return {
    data: (line) => void stdout.write(`${line}\n`),
    talk: (line) => void stderr.write(`${line}\n`),
    // A terminal that does not know its size says 0.
    get columns() {
      return stdout.isTTY ? stdout.columns || 80 : null;
    },
    get rows() {
      return stdout.isTTY ? stdout.rows || 24 : null;
    },
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
    progress: (line) => {
      if (stderr.isTTY) stderr.write(`\r${line ?? ''}${clearToEndOfLine}`);
    },
    paint: (lines) => {
      if (lines !== null) {
        const frame = lines.map((line) => line + clearToEndOfLine).join('\n');
        stdout.write(`${painting ? '' : enterScreen}${beginFrame}${frame}${endFrame}`);
      } else if (painting) stdout.write(leaveScreen);
      painting = lines !== null;
    },
    interruption: () => {
      const controller = new AbortController();
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => controller.abort());
      return controller.signal;
    },
  };
}

function answered<T>(answer: T): Exclude<T, symbol> {
  if (typeof answer === 'symbol') throw new CliError('Nothing was done.');
  return answer as Exclude<T, symbol>;
}
