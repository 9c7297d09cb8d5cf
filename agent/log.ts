// The log of an agent: JSON lines for machines, plain lines at a terminal. The same fields as the servers' logs.
import { styleText } from 'node:util';
import { printable } from '#contracts/printable.ts';
import type { Clock, Log } from '#contracts/deps.ts';

const levels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof levels)[number];

export interface LogOptions {
  readonly level: LogLevel;
  readonly isTerminal: boolean;
  readonly clock: Clock;
  readonly write: (line: string) => void;
}

export function createLog({ level, isTerminal, clock, write }: LogOptions): Log {
  const at = (name: LogLevel) => (fields: object, message: string) => {
    if (levels.indexOf(name) < levels.indexOf(level)) return;
    const time = clock.now().toISOString();
    const shown = Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, showable(value)]));
    write(
      isTerminal
        ? plainLine(time, name, message, shown)
        : `${JSON.stringify({ level: name, time, name: 'agent', msg: message, ...shown })}\n`,
    );
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function showable(value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  return { type: value.name, message: value.message, stack: value.stack };
}

/** What the server says is text from outside, and a terminal obeys escape sequences. */
function plainLine(time: string, level: LogLevel, message: string, fields: Record<string, unknown>): string {
  const colours = { debug: 'dim', info: 'green', warn: 'yellow', error: 'red' } as const;
  const { advice, ...others } = fields;
  const details = Object.entries(others)
    .filter(([, value]) => value !== null)
    .map(([key, value]) => `${key}=${printable(typeof value === 'string' ? value : JSON.stringify(value))}`)
    .join('  ');
  const label = styleText(colours[level], level.padEnd(5));
  const line = `${time.slice(11, 19)} ${label} ${printable(message)}${details && `  ${styleText('dim', details)}`}\n`;
  return typeof advice === 'string' ? `${line}               → ${printable(advice)}\n` : line;
}
