// `npm run bench -- NAME…`: measures, prints a table and writes bench/results/NAME.json. All of them without a name.
import { agentBench } from './agent.ts';
import { approvalsBench } from './approvals.ts';
import { attestationBench } from './attestation.ts';
import { enrollmentBench } from './enrollment.ts';
import { heartbeatBench } from './heartbeat.ts';
import { outageBench } from './outage.ts';
import { overloadBench } from './overload.ts';
import { sealerBench } from './sealer.ts';
import { startBench } from './start.ts';
import { verdictsBench } from './verdicts.ts';
import { tableOf, writeResult, type Measured } from './result.ts';

/** What a bench started, it has ended when it returns. */
export type Bench = (say: (progress: string) => void) => Promise<Measured>;

const benches: Readonly<Record<string, Bench>> = {
  agent: agentBench,
  approvals: approvalsBench,
  enrollment: enrollmentBench,
  heartbeat: heartbeatBench,
  outage: outageBench,
  overload: overloadBench,
  sealer: sealerBench,
  start: startBench,
  attestation: attestationBench,
  verdicts: verdictsBench,
};

process.exitCode = await main(process.argv.slice(2));

async function main(wanted: readonly string[]): Promise<number> {
  const unknown = wanted.filter((name) => !Object.hasOwn(benches, name));
  if (unknown.length > 0) {
    process.stderr.write(`No such benchmark: ${unknown.join(', ')}. There are: ${Object.keys(benches).join(', ')}\n`);
    return 2;
  }
  let missing = 0;
  for (const [name, bench] of Object.entries(benches)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const measured = await bench((progress) => void process.stderr.write(`${name}: ${progress}\n`));
    process.stdout.write(tableOf(name, measured));
    await writeResult(name, measured);
    for (const why of measured.missing ?? []) process.stderr.write(`${name}: not measured: ${why}\n`);
    missing += measured.missing?.length ?? 0;
  }
  return missing === 0 ? 0 : 1;
}
