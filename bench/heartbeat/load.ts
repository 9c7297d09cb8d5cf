// The generator's process, as the bench talks to it: one thing at a time.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Command, Counters, OpenFleet, Reply, Round, RunRound } from './generator.ts';

export interface Load {
  readonly pid: number;
  open(fleet: Omit<OpenFleet, 'kind'>): Promise<void>;
  round(round: Omit<RunRound, 'kind'>): Promise<Round>;
  counters(fleet: string): Promise<readonly Counters[]>;
  stop(): Promise<void>;
}

const answerWithinMs = 60_000;

export function startLoad(): Load {
  const child = fork(join(import.meta.dirname, 'generator.ts'), {
    serialization: 'advanced',
    execArgv: ['--max-semi-space-size=32'],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error('the generator did not start');

  const gone = new AbortController();
  child.once('exit', () => gone.abort(new Error('the generator is gone')));

  async function ask(command: Command): Promise<unknown> {
    const answer = once(child, 'message', {
      signal: AbortSignal.any([AbortSignal.timeout(answerWithinMs), gone.signal]),
    });
    child.send(command);
    const [reply] = (await answer) as [Reply];
    if (!reply.ok) throw new Error(reply.error);
    return reply.value;
  }

  return {
    pid,
    open: async (fleet) => void (await ask({ kind: 'fleet', ...fleet })),
    round: async (round) => (await ask({ kind: 'round', ...round })) as Round,
    counters: async (fleet) => (await ask({ kind: 'counters', fleet })) as readonly Counters[],
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}
