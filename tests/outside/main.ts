// `npm run test:outside`: suites of others, which are not part of this repository, given by their place on this machine.
import { parseArgs } from 'node:util';
import { explain, type Meant, type Outcome } from './difference.ts';
import { meantBeside as meantByLimbo, runLimbo } from './limbo.ts';
import { meantBeside as meantByWycheproof, runWycheproof } from './wycheproof.ts';

const usage = 'Usage: npm run test:outside -- [--wycheproof FOLDER/testvectors_v1] [--limbo FILE/limbo.json]\n';
const suites: Readonly<Record<string, { readonly run: (place: string) => Outcome; readonly meant: readonly Meant[] }>> =
  {
    wycheproof: { run: runWycheproof, meant: meantByWycheproof },
    limbo: { run: runLimbo, meant: meantByLimbo },
  };

process.exitCode = main(process.argv.slice(2));

function main(args: readonly string[]): number {
  const options = Object.fromEntries(Object.keys(suites).map((name) => [name, { type: 'string' as const }]));
  const { values } = parseArgs({ args: [...args], options });
  if (Object.keys(values).length === 0) {
    process.stderr.write(usage);
    return 2;
  }
  let failed = 0;
  for (const [name, place] of Object.entries(values)) {
    const suite = suites[name];
    if (suite === undefined || typeof place !== 'string') continue;
    const { cases, differences } = suite.run(place);
    const { open, counts } = explain(differences, suite.meant);
    failed += open.length;
    process.stdout.write(`${name}: ${cases} cases, ${differences.length} differences, ${open.length} unexplained\n`);
    for (const [because, count] of counts) process.stdout.write(`  ${String(count).padStart(4)}  ${because}\n`);
    for (const { id, expected, why } of open) process.stdout.write(`  ${id}: ${expected} by the suite; ${why}\n`);
  }
  return failed === 0 ? 0 : 1;
}
