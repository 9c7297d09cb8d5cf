// The process that floods, as the bench talks to it: one thing at a time.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Flood, FloodCommand, FloodCounters, FloodReply, OpenFlood, SendFlood } from './flood.ts';

export interface FloodProcess {
  open(flood: Omit<OpenFlood, 'kind'>): Promise<void>;
  send(flood: Omit<SendFlood, 'kind'>): Promise<Flood>;
  counters(): Promise<FloodCounters>;
  stop(): Promise<void>;
}

const answerWithinMs = 120_000;

export function startFlood(): FloodProcess {
  const child = fork(join(import.meta.dirname, 'flood.ts'), {
    serialization: 'advanced',
    execArgv: ['--max-semi-space-size=32'],
  });
  const gone = new AbortController();
  child.once('exit', () => gone.abort(new Error('the process that floods is gone')));

  async function ask(command: FloodCommand): Promise<unknown> {
    const signal = AbortSignal.any([AbortSignal.timeout(answerWithinMs), gone.signal]);
    const answer = once(child, 'message', { signal });
    child.send(command);
    const [reply] = (await answer) as [FloodReply];
    if (!reply.ok) throw new Error(reply.error);
    return reply.value;
  }

  return {
    open: async (flood) => void (await ask({ kind: 'open', ...flood })),
    send: async (flood) => (await ask({ kind: 'send', ...flood })) as Flood,
    counters: async () => (await ask({ kind: 'counters' })) as FloodCounters,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}
