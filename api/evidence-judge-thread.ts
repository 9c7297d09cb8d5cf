// Judges evidence in a thread: a lot at a time, answered in its order.
import { parentPort } from 'node:worker_threads';
import type { AttestationBasis } from '#contracts/attestation.ts';
import { judgeEvidence } from '#protocols/attestation-verdict.ts';
import type { JudgeTask } from './evidence-judge.ts';

/** The last ones: rules change when the process starts anew, or not much more often. */
const keptBases = 8;
const known = new Map<number, AttestationBasis>();

parentPort?.on('message', (text: string) => {
  const { bases, judgements } = JSON.parse(text) as JudgeTask;
  for (const [number, basis] of bases) known.set(number, basis);
  const verdicts = judgements.map(({ evidence, circumstances, basis, now }) =>
    // Rules that are not there let nothing pass: judging by none of them is refused.
    judgeEvidence({ evidence, circumstances, basis: known.get(basis) as AttestationBasis, now: new Date(now) }),
  );
  for (const number of known.keys()) if (known.size > keptBases) known.delete(number);
  parentPort?.postMessage(JSON.stringify(verdicts));
});
// Everything is loaded.
parentPort?.postMessage('ready');
