// What the long tests found, from each of their processes to the table at the end.
import { appendFileSync, readFileSync } from 'node:fs';

export interface Finding {
  readonly what: string;
  readonly times: number;
  /** What was lost, doubled or left behind; empty when everything held. */
  readonly lost: readonly string[];
  readonly seed?: number;
}

/** Set by `npm run test:long`; a file that is run alone takes as little as it can. */
export const asked = {
  minutes: Number(process.env['TEST_LONG_MINUTES'] ?? 1),
  seed: Number(process.env['TEST_LONG_SEED'] ?? 1),
};
const file = process.env['TEST_LONG_REPORT'];

export function report(finding: Finding): void {
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(finding)}\n`);
}

export function readReport(path: string): Finding[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Finding);
}
