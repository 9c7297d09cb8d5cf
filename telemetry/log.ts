// The structured log of a process: JSON lines for machines, readable ones on a terminal, secrets in neither.
import { pino, type DestinationStream, type LoggerOptions } from 'pino';
import type { Log } from '#contracts/deps.ts';

/** Fields that never reach a log, wherever they stand. */
const secretFields = ['password', 'token', 'secret', 'authorization', 'cookie', 'key', 'private_key'];

export interface LogOptions {
  readonly context?: () => object;
  readonly destination?: DestinationStream;
}

/**
 * @param context Fields that each line gets from where it is written, like the workflow that an activity works for.
 * @param destination Where the lines go instead of to standard output.
 */
export function createLog(name: string, level: string, { context = () => ({}), destination }: LogOptions = {}): Log {
  const options: LoggerOptions = {
    name,
    level,
    mixin: context,
    base: { name, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]), censor: '[removed]' },
    ...(process.stdout.isTTY && destination === undefined ? { transport: { target: 'pino-pretty' } } : {}),
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}
