// Writes down the counts of one suite and its failures as JSON, for the end of the run.
import { relative } from 'node:path';
import type { TestEvent } from 'node:test/reporters';
import { isOwnFailure, reasonOf } from './failure.ts';

export interface Failure {
  /** Where the test is, as `file:line`. */
  readonly place: string;
  /** The subjects around it and its name, outermost first. */
  readonly title: string;
  /** The first lines of what went wrong. */
  readonly reason: string;
}

export interface Counts {
  tests: number;
  suites: number;
  passed: number;
  failed: number;
  cancelled: number;
  skipped: number;
  todo: number;
}

/** How long a file took, with whatever ran beside it. */
export interface Duration {
  readonly file: string;
  readonly seconds: number;
}

export interface Totals {
  readonly counts: Counts;
  /** Of files with a process of their own. */
  readonly durations: readonly Duration[];
  /** In order. */
  readonly failures: readonly Failure[];
}

const reasonLines = 4;
const lineLength = 200;

export default async function* totals(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const subjects: string[] = [];
  const failures: Failure[] = [];
  const durations: Duration[] = [];
  for await (const event of events) {
    if (event.type === 'test:start') {
      subjects.length = event.data.nesting;
      subjects.push(event.data.name);
    } else if (event.type === 'test:fail' && isOwnFailure(event)) {
      const { data } = event;
      failures.push({
        place: `${relative(process.cwd(), data.file ?? '')}:${data.line ?? 1}`,
        title: [...subjects.slice(0, data.nesting), data.name].join(' › '),
        reason: beginningOf(reasonOf(data)),
      });
    } else if (event.type === 'test:summary') {
      const { file, counts, duration_ms } = event.data;
      if (file === undefined) yield JSON.stringify({ counts, durations, failures });
      else durations.push({ file: relative(process.cwd(), file), seconds: duration_ms / 1000 });
    }
  }
}

function beginningOf(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines
    .slice(0, reasonLines)
    .map((line) => (line.length > lineLength ? `${line.slice(0, lineLength)}…` : line))
    .join('\n');
}
