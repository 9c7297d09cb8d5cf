// Judges evidence beside the event loop, in a thread that is replaced when it ends or does not answer.
import { Worker } from 'node:worker_threads';
import type { AttestationBasis, Verdict } from '#contracts/attestation.ts';
import type { Log } from '#contracts/deps.ts';
import { TrustError } from '#contracts/problems.ts';
import type { Judgement } from '#protocols/attestation-verdict.ts';

/** What goes to the thread, as JSON: what comes from outside is small, and text crosses cheaper than objects. */
export interface JudgeTask {
  /** Rules that the thread has not seen yet, by the number that judgements name them by. */
  readonly bases: readonly (readonly [number, AttestationBasis])[];
  readonly judgements: readonly (Omit<Judgement, 'basis' | 'now'> & {
    readonly basis: number;
    /** Milliseconds. */
    readonly now: number;
  })[];
}

export interface EvidenceJudgeDeps {
  readonly log: Pick<Log, 'error'>;
  /** Judgements that wait or are under way. */
  readonly maximumWaiting: number;
  /** For what was handed over at once. */
  readonly limitMs: number;
  /** For the thread to be ready. */
  readonly startLimitMs: number;
  readonly thread?: URL;
}

export const evidenceJudgeDefaults = { maximumWaiting: 2_000, limitMs: 2_000, startLimitMs: 20_000 } as const;

export interface EvidenceJudgeState {
  /** Threads that ended or did not answer since one last answered. */
  readonly failures: number;
}

export interface EvidenceJudge {
  /**
   * @throws TrustError `service.overloaded` when too much waits; anything else when the thread ended or did not answer:
   *   then there is no verdict
   */
  judge(judgement: Judgement): Promise<Verdict>;
  state(): EvidenceJudgeState;
  /** Refuses what waits and what comes. */
  close(): Promise<void>;
}

interface Waiting {
  readonly judgement: Judgement;
  readonly resolve: (verdict: Verdict) => void;
  readonly reject: (error: Error) => void;
}

/** As many as take some milliseconds: none waits long for its neighbours. */
const maximumAtOnce = 32;
const maximumBases = 4;

export function createEvidenceJudge(deps: EvidenceJudgeDeps): EvidenceJudge {
  const { log, maximumWaiting, limitMs, startLimitMs } = deps;
  const file = deps.thread ?? new URL('./evidence-judge-thread.ts', import.meta.url);
  const waiting: Waiting[] = [];
  let current: Thread | null = null;
  let failures = 0;
  let closed = false;

  function start(): Thread {
    return startThread(file, {
      startLimitMs,
      limitMs,
      answered: () => {
        failures = 0;
        handOver();
      },
      failed: (why) => {
        current = null;
        failures += 1;
        log.error(
          { why, failures },
          'the judge of evidence ended; what it was given is refused, and another one starts',
        );
        handOver();
      },
    });
  }

  /** One lot at a time: what comes meanwhile is the next, so that lots grow with the load and only then. */
  function handOver(): void {
    if (closed || waiting.length === 0) return;
    current ??= start();
    if (!current.busy()) current.send(waiting.splice(0, maximumAtOnce));
  }

  let scheduled = false;
  // Loaded before the first evidence comes.
  current = start();
  return {
    judge(judgement) {
      if (closed || waiting.length >= maximumWaiting)
        return Promise.reject(new TrustError('service.overloaded', { facts: { retry_after_seconds: 5 } }));
      const { promise, resolve, reject } = Promise.withResolvers<Verdict>();
      waiting.push({ judgement, resolve, reject });
      if (!scheduled) {
        scheduled = true;
        // With all that comes in the same turn of the event loop.
        setImmediate(() => {
          scheduled = false;
          handOver();
        });
      }
      return promise;
    },
    state: () => ({ failures }),
    async close() {
      closed = true;
      for (const { reject } of waiting.splice(0)) reject(ended('it is closed'));
      const last = current;
      current = null;
      await last?.end('it is closed');
    },
  };
}

interface Thread {
  busy(): boolean;
  send(lot: readonly Waiting[]): void;
  end(why: string): Promise<void>;
}

interface ThreadEvents {
  readonly startLimitMs: number;
  readonly limitMs: number;
  readonly answered: () => void;
  readonly failed: (why: string) => void;
}

function startThread(file: URL, { startLimitMs, limitMs, answered, failed }: ThreadEvents): Thread {
  const worker = new Worker(file, { env: {}, resourceLimits: { maxOldGenerationSizeMb: 128 } });
  const bases = new Map<AttestationBasis, number>();
  let sent = 0;
  let lot: readonly Waiting[] | null = null;
  let ready = false;
  let over = false;
  let timer = setTimeout(() => fail('it does not start'), startLimitMs);

  const refuse = (why: string): void => {
    for (const { reject } of lot ?? []) reject(ended(why));
    lot = null;
  };
  const fail = (why: string): void => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    void worker.terminate();
    refuse(why);
    failed(why);
  };
  const arm = (): void => {
    if (lot === null || !ready) return;
    clearTimeout(timer);
    timer = setTimeout(() => fail(`it gave no answer within ${limitMs} ms`), limitMs);
  };

  worker.on('message', (message: unknown) => {
    if (over) return;
    if (!ready) {
      ready = true;
      clearTimeout(timer);
      return arm();
    }
    const verdicts = readVerdicts(message, lot?.length ?? 0);
    if (lot === null || verdicts === null) return fail('its answer is none');
    clearTimeout(timer);
    const answer = lot;
    lot = null;
    for (const [index, { resolve }] of answer.entries()) resolve(verdicts[index] as Verdict);
    answered();
  });
  worker.once('error', (error: Error) => fail(error.message));
  worker.once('exit', (code) => fail(`it ended with exit code ${code}`));

  return {
    busy: () => lot !== null,
    send(next) {
      const unseen: [number, AttestationBasis][] = [];
      if (bases.size >= maximumBases) bases.clear();
      const numberOf = (basis: AttestationBasis): number => {
        const known = bases.get(basis);
        if (known !== undefined) return known;
        sent += 1;
        bases.set(basis, sent);
        unseen.push([sent, basis]);
        return sent;
      };
      lot = next;
      try {
        const judgements = next.map(({ judgement: { basis, now, ...judgement } }) => ({
          ...judgement,
          basis: numberOf(basis),
          now: now.getTime(),
        }));
        worker.postMessage(JSON.stringify({ bases: unseen, judgements } satisfies JudgeTask));
        arm();
      } catch (error) {
        fail((error as Error).message);
      }
    },
    async end(why) {
      over = true;
      clearTimeout(timer);
      refuse(why);
      await worker.terminate();
    },
  };
}

function readVerdicts(message: unknown, count: number): readonly Verdict[] | null {
  if (typeof message !== 'string') return null;
  try {
    const verdicts = JSON.parse(message) as unknown;
    const good = Array.isArray(verdicts) && verdicts.length === count && verdicts.every(isVerdict);
    return good ? (verdicts as Verdict[]) : null;
  } catch {
    return null;
  }
}

/** The outcome is what something rests on. */
function isVerdict(value: unknown): boolean {
  const { outcome, code, key_id } = Object(value) as Partial<Verdict>;
  if (outcome === 'refused') return typeof code === 'string';
  return (outcome === 'verified' || outcome === 'unproven') && typeof key_id === 'string';
}

function ended(why: string): Error {
  return new Error(`The judge of evidence gave no verdict: ${why}`);
}
