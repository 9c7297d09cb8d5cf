// A verification as a list of steps, which are taken in its order: each has to say that it holds, and there is no way around one.
import { TrustError } from '#contracts/problems.ts';
import { refusingMalformed } from './evidence-fault.ts';

/** One thing that is looked at. What is not a step of a list cannot be run by it. */
export interface Step {
  /** What it finds, or what has to hold. */
  readonly name: string;
  /** Its answer is kept under its name; else it has to be `true`. */
  readonly finds: boolean;
  /** What the bytes are called that it reads: what goes wrong with them is a refusal of those. Null when it reads none. */
  readonly reads: string | null;
  /** The list has typed what it is given. */
  readonly take: (known: never) => unknown;
}

export interface Verification<Given extends object, Known extends Given = Given> {
  readonly steps: readonly Step[];
  /**
   * Adds a step whose answer the steps after it are given by its name.
   *
   * @param take What it throws is thrown; `undefined`, `false` and a promise are no answer.
   */
  find<Name extends string, Found>(
    name: Name,
    take: (known: Known) => Found,
  ): Verification<Given, Known & Readonly<Record<Name, Found>>>;
  /** Adds a step that has to answer `true`. */
  require(name: string, holds: (known: Known) => boolean): Verification<Given, Known>;
  /** What the steps that follow read; null for none. */
  reading(what: string | null): Verification<Given, Known>;
  /**
   * Takes every step.
   *
   * @returns what was given, and what the steps have found
   * @throws what a step refuses with; StepFailed for a step that fails, or says nothing
   */
  run(given: Given): Known;
}

/** A step of ours that went wrong: nothing is said about what it looked at. */
export class StepFailed extends Error {
  readonly step: string;
  constructor(step: string, cause?: unknown) {
    super(`The step ${step} failed`, { cause });
    this.step = step;
  }
}

export function verificationOf<Given extends object>(): Verification<Given> {
  return withSteps<Given, Given>([], null);
}

/** The same verification with other steps in its place. */
export function withSteps<Given extends object, Known extends Given>(
  steps: readonly Step[],
  reads: string | null = null,
): Verification<Given, Known> {
  return {
    steps,
    find: (name, take) => withSteps([...steps, { name, finds: true, reads, take }], reads),
    require: (name, take) => withSteps([...steps, { name, finds: false, reads, take }], reads),
    reading: (what) => withSteps(steps, what),
    run(given) {
      const known = { ...given } as Record<string, unknown>;
      for (const step of steps) {
        const answer = taken(step, known);
        if (!isAnswer(step, answer)) throw new StepFailed(step.name);
        if (step.finds) known[step.name] = answer;
      }
      return known as Known;
    },
  };
}

function taken({ name, reads, take }: Step, known: object): unknown {
  try {
    return reads === null ? take(known as never) : refusingMalformed(reads, () => take(known as never));
  } catch (cause) {
    throw cause instanceof TrustError ? cause : new StepFailed(name, cause);
  }
}

function isAnswer({ finds }: Step, answer: unknown): boolean {
  return finds ? answer !== undefined && answer !== false && !(answer instanceof Promise) : answer === true;
}
