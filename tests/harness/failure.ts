// What the events of node:test say about a test that failed.
import { inspect } from 'node:util';
import type { TestEvent } from 'node:test/reporters';

export type Ended = Extract<TestEvent, { type: 'test:pass' | 'test:fail' }>;

/** Whether it failed itself, and not only something within it. */
export function isOwnFailure({ type, data }: Ended): boolean {
  return type === 'test:fail' && failureOf(data).failureType !== 'subtestsFailed';
}

/** What went wrong, with the lines of our own files only. */
export function reasonOf(data: Ended['data']): string {
  const { cause, message, failureType } = failureOf(data);
  const reason = cause === undefined || failureType === 'testTimeoutFailure' ? message : cause;
  const text = typeof reason === 'string' ? reason : describeError(reason);
  return text
    .split('\n')
    .filter((row) => !/^\s+at (?!.*file:)/.test(row))
    .join('\n');
}

function failureOf(data: Ended['data']): { cause?: unknown; message?: string; failureType?: string } {
  return ('error' in data.details ? data.details.error : {}) as { cause?: unknown };
}

/** Errors come from another process, so their class says nothing; of a failed assertion the message says it all. */
function describeError(error: unknown): string {
  const { code, stack } = error as { code?: string; stack?: string };
  return code === 'ERR_ASSERTION' && stack !== undefined ? stack : inspect(error, { depth: 6 });
}
