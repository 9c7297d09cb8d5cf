// The thread of the judge with a step that never ends, which its importer has named.
import { parentPort } from 'node:worker_threads';
import { judgeLots } from '#api/judge-lots.ts';
import { judgeWithStep, type StepName } from './failing-steps.ts';

const never = new Int32Array(new SharedArrayBuffer(4));
const { hangs } = globalThis as unknown as { readonly hangs: StepName };

if (parentPort !== null)
  judgeLots(
    parentPort,
    judgeWithStep(hangs, () => Atomics.wait(never, 0, 0)),
  );
