// The structured log of a process: JSON lines for machines, readable ones on a terminal, secrets in neither.
import { pino } from 'pino';
import type { Log } from '#contracts/deps.ts';

/** Fields that never reach a log, wherever they stand. */
const secretFields = ['password', 'token', 'secret', 'authorization', 'cookie', 'key', 'private_key'];

export function createLog(name: string, level: string): Log {
  return pino({
    name,
    level,
    base: { name, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]), censor: '[removed]' },
    ...(process.stdout.isTTY ? { transport: { target: 'pino-pretty' } } : {}),
  });
}
