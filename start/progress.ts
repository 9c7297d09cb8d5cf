// What a person sees while something takes time: a spinner on a terminal, plain lines anywhere else.
import { styleText } from 'node:util';
import type { WriteStream } from 'node:tty';
import type { SupervisorReport } from './supervisor.ts';

export interface Progress extends SupervisorReport {
  note(message: string): void;
  /** Shows that work goes on, and how long it took. */
  during<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** Nothing moves after this. */
  end(): void;
}

type Screen = Pick<WriteStream, 'write' | 'isTTY' | 'columns'>;

const frames = ['◒', '◐', '◓', '◑'];
const frameMs = 100;
/** On a screen that does not move, a sign of life for what takes long. */
const reminderMs = 15_000;

export function createProgress(screen: Screen, now: () => number): Progress {
  const open = new Map<string, number>();
  let frame = 0;
  const ticker = setInterval(tick, screen.isTTY ? frameMs : reminderMs);
  ticker.unref();

  function tick(): void {
    if (screen.isTTY) return draw();
    for (const [name, began] of open) print(`${name} … ${seconds(now() - began)} so far`);
  }

  function draw(): void {
    if (open.size === 0) return;
    const names = [...open.keys()].join(', ').slice(0, (screen.columns || 80) - 6);
    screen.write(`\r\u001b[2K${styleText('magenta', frames[frame++ % frames.length] ?? '')}  ${names} …`);
  }

  function print(line: string): void {
    screen.write(screen.isTTY ? `\r\u001b[2K${line}\n` : `${line}\n`);
    if (screen.isTTY) draw();
  }

  const mark = (style: 'green' | 'yellow', text: string): string =>
    screen.isTTY ? `${styleText(style, style === 'green' ? '◆' : '▲')}  ${text}` : text;

  const progress: Progress = {
    starting(name) {
      open.set(name, now());
      if (screen.isTTY) draw();
    },
    ready(name, afterMs) {
      open.delete(name);
      print(mark('green', `${name} … ready in ${seconds(afterMs)}`));
    },
    died(name, how, againInMs) {
      print(mark('yellow', `${how} Starting it again in ${seconds(againInMs)}.`));
    },
    note: (message) => print(mark('yellow', message)),
    async during(name, work) {
      progress.starting(name);
      const began = now();
      try {
        const result = await work();
        progress.ready(name, now() - began);
        return result;
      } finally {
        open.delete(name);
      }
    },
    end() {
      clearInterval(ticker);
      if (screen.isTTY && open.size > 0) screen.write('\r\u001b[2K');
      open.clear();
    },
  };
  return progress;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
