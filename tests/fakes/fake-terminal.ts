// A terminal that remembers what was said, and answers questions as the test says.
import type { Terminal } from '#cli/terminal.ts';

export interface FakeTerminal extends Terminal {
  /** Lines of standard output and standard error. */
  readonly dataLines: string[];
  readonly talkLines: string[];
  readonly questions: string[];
  /** What was painted on the whole screen, and said of progress; `null` where it was taken away. */
  readonly frames: (readonly string[] | null)[];
  readonly progressLines: (string | null)[];
  /** As Ctrl-C does. */
  interrupt(): void;
}

export function fakeTerminal(
  options: { columns?: number; rows?: number; answers?: readonly string[]; input?: string; colours?: boolean } = {},
): FakeTerminal {
  const { answers = [], input = '' } = options;
  const dataLines: string[] = [];
  const talkLines: string[] = [];
  const questions: string[] = [];
  const frames: (readonly string[] | null)[] = [];
  const progressLines: (string | null)[] = [];
  const interruption = new AbortController();
  const answer = async (question: string) => {
    questions.push(question);
    const next = answers[questions.length - 1];
    if (next === undefined) throw new RangeError(`the test has no answer to: ${question}`);
    return next;
  };
  return {
    data: (text) => void dataLines.push(...text.split('\n')),
    talk: (text) => void talkLines.push(...text.split('\n')),
    columns: options.columns ?? null,
    rows: options.columns === undefined ? null : (options.rows ?? 24),
    interactive: options.answers !== undefined,
    style: (style, text) => (options.colours ? `\u001b[${style}m${text}\u001b[0m` : text),
    ask: answer,
    askSecret: answer,
    confirm: async (question) => (await answer(question)) === 'yes',
    readInput: async () => input,
    progress: (text) => void progressLines.push(text),
    paint: (lines) => void frames.push(lines),
    interruption: () => interruption.signal,
    interrupt: () => interruption.abort(),
    frames,
    progressLines,
    dataLines,
    talkLines,
    questions,
  };
}
