// Who waits for what: a request is settled when nothing that follows from it is under way any more.
import type { ProblemCode } from '#contracts/problems.ts';

/** One request and everything that follows from it: transitions to be written, calls, and what their answers lead to. */
export interface Step {
  underWay: number;
  /** Why the request came to nothing although it was taken. */
  refused: ProblemCode | null;
}

export const newStep = (): Step => ({ underWay: 0, refused: null });

export const settled = (step: Step): boolean => step.refused !== null || step.underWay === 0;

/** One more thing is under way for each of these steps. */
export function hold(steps: readonly Step[]): void {
  for (const step of steps) step.underWay += 1;
}

/** It is done, or something else that was held before stands for it. */
export function release(steps: readonly Step[]): void {
  for (const step of steps) step.underWay -= 1;
}
