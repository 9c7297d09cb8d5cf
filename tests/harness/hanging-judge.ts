// A judge in its thread, of which one step never ends.
import { createEvidenceJudge, evidenceJudgeDefaults, type EvidenceJudge } from '#api/evidence-judge.ts';
import type { Cleanup } from './cleanup.ts';
import type { StepName } from './failing-steps.ts';

const file = new URL('./hanging-judge-thread.ts', import.meta.url);

/** A thread has no environment, and compiles all that it loads unless it is told where that is: half of what it costs. */
const { NODE_COMPILE_CACHE: compiled } = process.env;
const readingWhatIsCompiled =
  compiled === undefined ? '' : `(await import('node:module')).enableCompileCache(${JSON.stringify(compiled)});`;

/** @param said what the log is told */
export function hangingJudge(t: Cleanup, step: StepName, said: string[]): EvidenceJudge {
  const script = `${readingWhatIsCompiled} globalThis.hangs = ${JSON.stringify(step)}; await import(${JSON.stringify(file.href)});`;
  const judge = createEvidenceJudge({
    ...evidenceJudgeDefaults,
    // Nothing is as sure as an answer that never comes.
    limitMs: 100,
    thread: new URL(`data:text/javascript,${encodeURIComponent(script)}`),
    log: { error: (fields) => said.push((fields as { readonly why: string }).why) },
  });
  t.after(() => judge.close());
  return judge;
}
