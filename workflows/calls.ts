// The calls of an actor: equal ones are made once, what fails is tried again for as long as the actor lives, and nobody is kept waiting for that.
import type { AnyCall } from '#machines/actor.ts';
import { type CancellationScope, log, patched, sleep } from '@temporalio/workflow';
import { restMs } from './rest.ts';
import { hold, release, type Step } from './steps.ts';

/** Rest before a call is made again; an activity has tried for a minute by then. */
const firstRestMs = 5_000;

interface Running {
  readonly call: AnyCall;
  /** Asked for while this one was under way; a newer one takes its place. */
  next: { readonly call: AnyCall; readonly steps: readonly Step[] } | null;
  /** Who waits for the answer; null while the call rests after a failure, since nobody waits for that. */
  steps: readonly Step[] | null;
}

interface Options<Answer> {
  /** Carries out a call; null when there is nothing to tell the machine. */
  perform(call: AnyCall): Promise<Answer | null>;
  answered(answer: Answer, steps: readonly Step[]): void;
  /** What the rest between two attempts belongs to, whoever asked for the call. */
  readonly scope: CancellationScope;
}

export function createCalls<Answer>({ perform, answered, scope }: Options<Answer>) {
  const running = new Map<string, Running>();

  function start(call: AnyCall, steps: readonly Step[]): void {
    hold(steps);
    const same = running.get(call.key);
    if (same) same.next = { call, steps: [...(same.next?.steps ?? []), ...steps] };
    else void carryOut(call, steps);
  }

  async function carryOut(call: AnyCall, asking: readonly Step[]): Promise<void> {
    const entry: Running = { call, next: null, steps: asking };
    running.set(call.key, entry);
    let answer: Answer | null = null;
    for (let failures = 1; ; failures++) {
      try {
        answer = await perform(call);
        break;
      } catch (error) {
        log.error('a call of the machine failed and is made again later', { call: call.name, error: String(error) });
        release(entry.steps ?? []);
        entry.steps = null;
        await scope.run(() => sleep(restMs(firstRestMs, failures), { summary: `before ${call.name} is called again` }));
        if (entry.next !== null) break;
        entry.steps = [];
      }
    }
    running.delete(call.key);
    const steps = entry.steps ?? [];
    if (answer !== null) answered(answer, steps);
    release(steps);
    if (entry.next === null) return;
    start(entry.next.call, entry.next.steps);
    release(entry.next.steps);
  }

  /** For a request that adds nothing to what is under way, because it was made before: it is answered when that is done. */
  function join(steps: readonly Step[]): void {
    const joined = [...running.values()].filter(({ next, steps: waiting }) => next !== null || waiting !== null);
    if (steps.length === 0 || joined.length === 0 || !patched('repetitions wait for calls')) return;
    for (const entry of joined) {
      hold(steps);
      if (entry.next !== null) entry.next = { ...entry.next, steps: [...entry.next.steps, ...steps] };
      else entry.steps = [...(entry.steps ?? []), ...steps];
    }
  }

  return {
    start,
    join,
    none: (): boolean => running.size === 0,
    /** Everything that is under way or asked for, for the run that continues this one. */
    unfinished: (): readonly AnyCall[] =>
      [...running.values()].flatMap(({ call, next }) => (next === null ? [call] : [call, next.call])),
  };
}
