// What a person sees of a test run: a line a test under its file and subject, failures in full, output only of files that failed.
import { relative } from 'node:path';
import { styleText } from 'node:util';
import type { TestEvent } from 'node:test/reporters';
import { type Ended, isOwnFailure, reasonOf } from './failure.ts';

/** The subjects around the present test, outermost first. */
interface Subject {
  readonly name: string;
  printed: boolean;
}

export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const subjects: Subject[] = [];
  const outputs = new Map<string, string[]>();
  let file = '';
  for await (const event of events) {
    switch (event.type) {
      case 'test:start':
        subjects.length = event.data.nesting;
        subjects.push({ name: event.data.name, printed: false });
        break;
      case 'test:stdout':
      case 'test:stderr':
        keep(outputs, relative(process.cwd(), event.data.file), event.data.message);
        break;
      case 'test:pass':
      case 'test:fail': {
        const { data } = event;
        if (!worthALine(event, subjects[data.nesting])) break;
        if (data.file !== undefined && data.file !== file) {
          file = data.file;
          yield `\n${styleText('bold', relative(process.cwd(), file))}\n`;
        }
        for (const [depth, subject] of subjects.slice(0, data.nesting).entries()) {
          if (!subject.printed) yield `${indent(depth)}${subject.name}\n`;
          subject.printed = true;
        }
        yield line(event);
        if (event.type === 'test:fail') {
          yield explain(event);
          // A process that died without a summary is reported as a failure of its file.
          if (data.nesting === 0 && outputs.has(data.name)) yield outputOf(data.name, outputs);
        }
        break;
      }
      case 'test:summary': {
        const { file: summarised, success } = event.data;
        if (summarised !== undefined && !success) yield outputOf(relative(process.cwd(), summarised), outputs);
        break;
      }
      default:
    }
  }
}

/** A subject that ended as its tests did has been said already. */
function worthALine(event: Ended, subject: Subject | undefined): boolean {
  if (event.type === 'test:fail') return isOwnFailure(event);
  return event.data.details.type !== 'suite' && subject?.printed !== true;
}

function line({ type, data }: Ended): string {
  const time = styleText('dim', `${Math.round(data.details.duration_ms)} ms`);
  if (data.skip !== undefined && data.skip !== false) {
    const reason = typeof data.skip === 'string' && data.skip !== '' ? `: ${data.skip}` : '';
    return `${indent(data.nesting)}${styleText('yellow', '–')} ${data.name} (skipped${reason})\n`;
  }
  const mark = type === 'test:pass' ? styleText('green', '✔') : styleText('red', '✖');
  return `${indent(data.nesting)}${mark} ${data.name} ${time}\n`;
}

function explain({ data }: Ended): string {
  return `${reasonOf(data)
    .split('\n')
    .map((row) => `${indent(data.nesting + 1)}${row}`)
    .join('\n')}\n`;
}

/** Keeps the last lines that a file printed. */
function keep(outputs: Map<string, string[]>, file: string, text: string): void {
  outputs.set(file, [...(outputs.get(file) ?? []).slice(-200), text]);
}

function outputOf(file: string, outputs: Map<string, string[]>): string {
  const output = outputs.get(file);
  outputs.delete(file);
  return output === undefined ? '' : `${styleText('dim', `--- output of ${file}`)}\n${output.join('')}\n`;
}

function indent(depth: number): string {
  return '  '.repeat(depth + 1);
}
