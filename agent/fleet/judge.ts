// Compares every answer with what the oracle expects, and keeps what is known about each device of the run.
import type { Clock } from '#contracts/deps.ts';
import { problems } from '#contracts/problems.ts';
import {
  afterAnswer,
  afterDecision,
  afterSilence,
  expectedAnswers,
  initiallyKnown,
  whileDeciding,
  type Answered,
  type Decision,
  type Known,
  type Sent,
  type Surroundings,
} from './oracle.ts';
import type { ActKind } from './plan.ts';
import type { Mismatch, Tally } from './tally.ts';

export interface Answer {
  readonly answered: Answered;
  readonly status: number;
  readonly requestId: string | null;
  readonly retryAfterSeconds: number | null;
  readonly detail: string;
  readonly ms: number;
}

type Named = Pick<Answer, 'status' | 'requestId' | 'detail'> & { readonly answered: string };

/** A request on its way. It ends in exactly one of these. */
export interface Pending {
  answered(answer: Answer): void;
  /** The plan or the end of the run cut it off. */
  lost(why: 'lost_request' | 'lost_answer' | 'stopped'): void;
  /** Nobody cut it off, and there is no answer all the same. */
  unanswered(detail: string): void;
}

export interface Judge {
  /** @param before whether the device may have reported in an earlier run */
  enter(deviceId: string, before: boolean): void;
  known(deviceId: string): Known;
  all(): ReadonlyMap<string, Known>;
  sends(deviceId: string, act: ActKind, sent: Sent): Pending;
  /** A counter of this device may be used up by something whose answer nobody waits for. */
  mayHaveCounted(deviceId: string, sent: Sent): void;
  decides(deviceId: string, fingerprint: string, decision: Decision): void;
  decided(deviceId: string, fingerprint: string, state: 'approved' | 'rejected' | 'open'): void;
  /** Something is wrong that no single answer shows. */
  object(deviceId: string, act: ActKind | 'census', what: { expected: string; answered: string; detail: string }): void;
}

export interface JudgeDeps {
  readonly tally: Tally;
  readonly clock: Clock;
  /** SENTINEL_PENDING_DEVICES_LIMIT of the server. */
  readonly pendingLimit: number;
  /** People and restarts interfere: what depends on them is not judged. */
  readonly withPeople: boolean;
}

/** What people can bring about, or what waits on them. */
const dependsOnPeople: ReadonlySet<Answered> = new Set([
  'accepted',
  'pending',
  'heartbeat.replayed',
  'rate.limited',
  'device.rejected',
  'device.retired',
  'device.other_certificate_pending',
  'certificate.revoked',
  // What a device has booted, and what of that is approved.
  'attestation.failed',
  'attestation.stale',
  'attestation.nonce_unknown',
  'attestation.hardware_mismatch',
]);
const isBusy = (code: Answered): boolean =>
  code === 'heartbeat.shed' || code === 'service.unavailable' || code === 'service.overloaded';

export function createJudge({ tally, clock, pendingLimit, withPeople }: JudgeDeps): Judge {
  const devices = new Map<string, Known>();
  /** Devices that wait for approval: certainly, and at most. */
  const waiting = { least: 0, most: 0 };
  /** First contacts on their way. */
  let contacting = 0;

  function known(deviceId: string): Known {
    const found = devices.get(deviceId);
    if (found === undefined) throw new RangeError(`${deviceId} is no device of this run`);
    return found;
  }

  function learn(deviceId: string, change: (before: Known) => Known): void {
    const before = known(deviceId);
    const after = change(before);
    devices.set(deviceId, after);
    waiting.least += Number(isWaiting(after)) - Number(isWaiting(before));
    waiting.most += Number(mayWait(after)) - Number(mayWait(before));
  }

  function surroundings(): Surroundings {
    const pending = waiting.least >= pendingLimit ? 'reached' : 'near';
    return {
      atMs: clock.now().getTime(),
      pendingLimit: waiting.most + contacting >= pendingLimit ? pending : 'far',
    };
  }

  function sends(deviceId: string, act: ActKind, sent: Sent): Pending {
    tally.acted(act);
    const isContact = known(deviceId).seen === 'no';
    if (isContact) contacting += 1;
    const atFirst = { known: known(deviceId), around: surroundings() };

    /** What others did while the request was on its way may have come before it or after it. */
    function expected(): ReadonlySet<Answered> {
      const around = surroundings();
      const isSteady = around.pendingLimit === atFirst.around.pendingLimit;
      const pendingLimit = isSteady ? around.pendingLimit : 'near';
      return new Set([
        ...expectedAnswers(atFirst.known, sent, { ...atFirst.around, pendingLimit }),
        ...expectedAnswers(known(deviceId), sent, { ...around, pendingLimit }),
      ]);
    }

    function end(): void {
      if (isContact) contacting -= 1;
    }

    function named({ answered, status, requestId, detail }: Named, right: string): Mismatch {
      return {
        device_id: deviceId,
        at: clock.now().toISOString(),
        act,
        counter: sent.counter,
        expected: right,
        answered,
        status,
        request_id: requestId,
        detail,
      };
    }

    return {
      answered(answer) {
        const { answered, ms } = answer;
        const allowed = expected();
        end();
        const names = namesOf(allowed);
        const fault = formFault(answer);
        const isRight =
          fault === null &&
          (allowed.has(answered) ||
            isBusy(answered) ||
            (withPeople && dependsOnPeople.has(answered) && [...allowed].some((code) => dependsOnPeople.has(code))));
        tally.answered({ expected: names, answered, right: isRight, ms });
        if (isBusy(answered)) tally.busy();
        if (!isRight) tally.mismatch(named(fault === null ? answer : { ...answer, detail: fault }, names));
        learn(deviceId, (before) =>
          isBusy(answered) ? afterSilence(before, sent) : afterAnswer(before, sent, answered),
        );
      },
      lost(why) {
        end();
        tally.silence(why);
        if (why !== 'lost_request') learn(deviceId, (before) => afterSilence(before, sent));
      },
      unanswered(detail) {
        const names = namesOf(expected());
        end();
        learn(deviceId, (before) => afterSilence(before, sent));
        tally.silence('outage');
        if (!withPeople) tally.unanswered(named({ answered: 'none', status: 0, requestId: null, detail }, names));
      },
    };
  }

  return {
    enter(deviceId, before) {
      const first = initiallyKnown(before);
      devices.set(deviceId, first);
      waiting.most += Number(mayWait(first));
    },
    known,
    all: () => devices,
    sends,
    mayHaveCounted: (deviceId, sent) => learn(deviceId, (before) => afterSilence(before, sent)),
    decides: (deviceId, fingerprint, decision) =>
      learn(deviceId, (before) => whileDeciding(before, fingerprint, decision)),
    decided: (deviceId, fingerprint, state) => learn(deviceId, (before) => afterDecision(before, fingerprint, state)),
    object(deviceId, act, { expected, answered, detail }) {
      tally.mismatch({
        device_id: deviceId,
        at: clock.now().toISOString(),
        act,
        counter: null,
        expected,
        answered,
        status: 0,
        request_id: null,
        detail,
      });
    },
  };
}

const isWaiting = ({ seen, identity }: Known): boolean => seen === 'yes' && identity === 'waiting';
const mayWait = ({ seen, identity }: Known): boolean =>
  seen !== 'no' && ['waiting', 'approving', 'rejecting', 'unknown'].includes(identity);

function namesOf(codes: ReadonlySet<Answered>): string {
  return [...codes].toSorted().join(' or ');
}

/** What is wrong with an answer whatever its code. */
function formFault({ answered, status, retryAfterSeconds }: Answer): string | null {
  const usual = answered === 'accepted' ? 200 : answered === 'pending' ? 202 : problems[answered].status;
  if (status !== usual) return `the status is ${status} instead of ${usual}`;
  if ((status === 429 || status === 503) && retryAfterSeconds === null) return 'Retry-After is missing';
  return null;
}
