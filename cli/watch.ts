// --watch: shows a thing again and again. In a terminal the screen is painted in place; in a pipe only changes are printed.
import { InvalidArgumentError, type Command } from 'commander';
import { ApiProblem } from '#client/api-problem.ts';
import type { CliContext } from './context.ts';
import { printable } from '#contracts/printable.ts';

const usualSeconds = 2;
const longestBackOffMs = 60_000;

export function withWatch(command: Command): Command {
  return command.option('-w, --watch [seconds]', `show it again every so often (default ${usualSeconds})`, secondsOf);
}

/**
 * Does `act` once, or with `--watch` until a person interrupts it, which is no failure. An API that goes away meanwhile is
 * waited for; what an API says by answering is an answer and ends it.
 */
export async function watching(
  context: CliContext,
  command: Command,
  act: (context: CliContext) => Promise<void>,
): Promise<void> {
  const { watch } = command.opts<{ watch?: number | true }>();
  if (watch === undefined) return act(context);
  const everyMs = (watch === true ? usualSeconds : watch) * 1000;
  const stop = context.terminal.interruption();
  const screen = context.terminal.columns === null ? changes(context) : paintedScreen(context, titleOf(command));
  let failures = 0;
  let shownOnce = false;
  try {
    while (!stop.aborted) {
      let waitMs = everyMs;
      const frame: string[] = [];
      const push = (text: string) => void frame.push(...text.split('\n'));
      try {
        await act({ ...context, stop, terminal: { ...context.terminal, data: push, talk: push } });
        failures = 0;
        shownOnce = true;
        screen.show(frame);
      } catch (error) {
        if (stop.aborted) break;
        if (!shownOnce || !(error instanceof ApiProblem) || !passes(error)) throw error;
        waitMs = Math.max(
          Math.min(everyMs * 2 ** failures, longestBackOffMs),
          Math.min((error.retryAfterSeconds ?? 0) * 1000, longestBackOffMs),
        );
        failures += 1;
        screen.complain(`${error.title}. ${error.detail} Trying again in ${Math.ceil(waitMs / 1000)} s.`);
      }
      await context.pause(waitMs, stop).catch(() => undefined);
    }
  } finally {
    screen.end();
  }
}

interface Screen {
  show(lines: readonly string[]): void;
  complain(text: string): void;
  end(): void;
}

function paintedScreen({ terminal, clock }: CliContext, title: string): Screen {
  let last: readonly string[] = [];
  const paint = (note: string) => {
    const head = [note, ''];
    const room = Math.max(1, (terminal.rows ?? 24) - head.length - 1);
    const hidden = last.length - room;
    const body = hidden > 0 ? [...last.slice(0, room - 1), terminal.style('dim', `… ${hidden + 1} more lines`)] : last;
    terminal.paint([...head, ...body]);
  };
  return {
    show(lines) {
      last = lines;
      paint(terminal.style('dim', `${title} · ${clock.now().toISOString().slice(11, 19)}Z · Ctrl-C ends`));
    },
    complain: (text) => paint(terminal.style('yellow', printable(text))),
    // What was seen last stays in the scroll-back.
    end() {
      terminal.paint(null);
      for (const line of last) terminal.data(line);
    },
  };
}

function changes({ terminal }: CliContext): Screen {
  let last: readonly string[] = [];
  let complaining = false;
  return {
    show(lines) {
      const known = new Set(last);
      for (const line of lines) if (!known.has(line)) terminal.data(line);
      last = lines;
      complaining = false;
    },
    // Once for each time that it goes away.
    complain(text) {
      if (!complaining) terminal.talk(printable(text));
      complaining = true;
    },
    end: () => undefined,
  };
}

function titleOf(command: Command): string {
  const names = [];
  for (let at: Command | null = command; at !== null; at = at.parent) names.unshift(at.name());
  return [...names, ...command.args].map(printable).join(' ');
}

/** Whether trying again later may help. */
function passes({ status, code, detail }: ApiProblem): boolean {
  if (status === 0) return code === 'service.unavailable' && !/certificate|self-signed/i.test(detail);
  return status === 429 || status >= 500;
}

function secondsOf(text: string): number {
  const seconds = Number(text);
  if (!/^\d{1,4}$/.test(text) || seconds < 1 || seconds > 3600) {
    throw new InvalidArgumentError('Say a number of seconds from 1 to 3600, or --watch last.');
  }
  return seconds;
}
