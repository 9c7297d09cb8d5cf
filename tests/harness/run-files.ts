// Runs test files, each in a process of its own, in the order in which they are given; `node --test` sorts them by name, and
// then a long one that comes last leaves the other cores idle.
import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { run } from 'node:test';
import { parseArgs } from 'node:util';
import report from './reporter.ts';
import totals from './totals.ts';

const { values, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    totals: { type: 'string' },
    'files-at-once': { type: 'string' },
    'test-timeout': { type: 'string' },
    'test-name-pattern': { type: 'string', multiple: true },
    'test-skip-pattern': { type: 'string', multiple: true },
  },
});
const events = run({
  files,
  concurrency: Number(values['files-at-once']),
  timeout: Number(values['test-timeout']),
  ...(values['test-name-pattern'] ? { testNamePatterns: values['test-name-pattern'] } : {}),
  ...(values['test-skip-pattern'] ? { testSkipPatterns: values['test-skip-pattern'] } : {}),
});
process.exitCode = 1;
events.on('test:summary', ({ file, success }) => {
  if (file === undefined && success) process.exitCode = 0;
});
events.compose(report).pipe(process.stdout);
await finished(events.compose(totals).pipe(createWriteStream(values.totals ?? '/dev/null')));
