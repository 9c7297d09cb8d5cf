// What the thread of the judge does: it judges a lot at a time, and answers in its order.
import type { MessagePort } from 'node:worker_threads';
import type { AttestationBasis, Verdict } from '#contracts/attestation.ts';
import type { Judgement } from '#protocols/attestation-verdict.ts';
import type { JudgeTask } from './evidence-judge.ts';

/** The last ones: rules change when a file of theirs does, or not much more often. */
const keptBases = 8;

export function judgeLots(
  port: Pick<MessagePort, 'on' | 'postMessage'>,
  judge: (judgement: Judgement) => Verdict,
): void {
  const known = new Map<number, AttestationBasis>();
  port.on('message', (text: string) => {
    const { bases, judgements } = JSON.parse(text) as JudgeTask;
    for (const [number, basis] of bases) known.set(number, basis);
    const verdicts = judgements.map(({ basis, now, ...judgement }) =>
      // Rules that are not there let nothing pass: judging by none of them is refused.
      judge({ ...judgement, basis: known.get(basis) as AttestationBasis, now: new Date(now) }),
    );
    for (const number of known.keys()) if (known.size > keptBases) known.delete(number);
    port.postMessage(JSON.stringify(verdicts));
  });
  // Everything is loaded.
  port.postMessage('ready');
}
