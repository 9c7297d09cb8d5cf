// A terminal that remembers what was said, and answers questions as the test says.
import type { Terminal } from '#cli/terminal.ts';

export interface FakeTerminal extends Terminal {
  /** Lines of standard output and standard error. */
  readonly dataLines: string[];
  readonly talkLines: string[];
  readonly questions: string[];
}

export function fakeTerminal(
  options: { columns?: number; answers?: readonly string[]; input?: string; colours?: boolean } = {},
): FakeTerminal {
  const { answers = [], input = '' } = options;
  const dataLines: string[] = [];
  const talkLines: string[] = [];
  const questions: string[] = [];
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
    interactive: options.answers !== undefined,
    style: (style, text) => (options.colours ? `\u001b[${style}m${text}\u001b[0m` : text),
    ask: answer,
    askSecret: answer,
    confirm: async (question) => (await answer(question)) === 'yes',
    readInput: async () => input,
    dataLines,
    talkLines,
    questions,
  };
}
