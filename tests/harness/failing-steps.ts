// Verifications of evidence with one step that fails. The steps are those of their lists, so that a new one cannot be forgotten.
import { judgeBy, evidenceVerifications, type EvidenceVerifications } from '#protocols/attestation-verdict.ts';
import { withSteps } from '#protocols/verification.ts';

export type ListName = keyof EvidenceVerifications;
export interface StepName {
  readonly list: ListName;
  readonly step: string;
}

export const listNames = Object.keys(evidenceVerifications) as ListName[];

/** Every step that there is. */
export const everyStep: readonly StepName[] = listNames.flatMap((list) =>
  evidenceVerifications[list].steps.map(({ name: step }) => ({ list, step })),
);

/** The judge with this in place of a step. */
export function judgeWithStep({ list, step }: StepName, act: () => unknown): ReturnType<typeof judgeBy> {
  const { steps } = evidenceVerifications[list];
  if (!steps.some(({ name }) => name === step)) throw new RangeError(`there is no step ${step} of ${list}`);
  const changed = withSteps(steps.map((one) => (one.name === step ? { ...one, take: act } : one)));
  return judgeBy({ ...evidenceVerifications, [list]: changed });
}
