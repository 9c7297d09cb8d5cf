// A log that keeps its lines, so that a test can look for what must be in them, and for what must not.
import { inspect } from 'node:util';
import type { Log } from '#contracts/deps.ts';

export interface FakeLog extends Log {
  readonly lines: { level: keyof Log; fields: object; message: string }[];
  /** Everything that was logged, with the insides of errors. */
  text(): string;
}

export function fakeLog(): FakeLog {
  const lines: FakeLog['lines'] = [];
  const at = (level: keyof Log) => (fields: object, message: string) => void lines.push({ level, fields, message });
  return {
    lines,
    text: () => inspect(lines, { depth: 12, maxStringLength: null, maxArrayLength: null }),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
  };
}
