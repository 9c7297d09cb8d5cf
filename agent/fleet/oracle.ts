// What the API has to answer to a heartbeat, computed from what the device and its approver did: docs of the heartbeat as a pure model.
import type { ProblemCode } from '#contracts/problems.ts';

/** How a heartbeat was answered: 200, 202, or a problem. */
export type Answered = 'accepted' | 'pending' | ProblemCode;

export type Decision = 'approve' | 'reject';

/** What is known about a device from the outside. */
export interface Known {
  /** Whether the API has a row of it; `perhaps` while the answer to a first contact is missing. */
  readonly seen: 'no' | 'perhaps' | 'yes';
  /**
   * `unknown`: an earlier run may have voted on it, also when it still waits. A decision is under way from the vote until
   * its answer.
   */
  readonly identity: 'unknown' | 'waiting' | 'approving' | 'rejecting' | 'approved' | 'rejected';
  /** Fingerprint of the certificate that was approved. */
  readonly pinned: string | null;
  /** The certificate that is to replace it. */
  readonly rotation: { readonly fingerprint: string; readonly decision: Decision | null } | null;
  /** Certificates that were replaced or turned down. */
  readonly refused: readonly string[];
  /** Highest counter that was certainly used, and highest that may have been. */
  readonly counter: { readonly used: number; readonly perhaps: number };
  /** Versions of the agent, one of which the API has on record; none means that nothing is known. */
  readonly versions: readonly string[];
}

/** A certificate as far as its chain, purpose and time are judged. */
export interface PresentedCertificate {
  readonly fingerprint: string;
  readonly issuedBy: 'ours' | 'somebody';
  readonly usage: 'device' | 'server';
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface Sent {
  readonly counter: unknown;
  readonly agentVersion: string;
  readonly certificate: PresentedCertificate | null;
  /** The name in the body is that of the certificate. */
  readonly namesItself: boolean;
  /** The body fits the schema. */
  readonly wellFormed: boolean;
}

/** What others do to the answer: the limit of pending devices, and the time. */
export interface Surroundings {
  readonly atMs: number;
  readonly pendingLimit: 'far' | 'near' | 'reached';
}

/** Clocks of two machines differ by this much. */
const clockToleranceMs = 5_000;

/** A device that was never heard of, or that reported in an earlier run. */
export function initiallyKnown(before: boolean): Known {
  return {
    seen: before ? 'perhaps' : 'no',
    identity: before ? 'unknown' : 'waiting',
    pinned: null,
    rotation: null,
    refused: [],
    counter: { used: 0, perhaps: 0 },
    versions: [],
  };
}

/** The answers that are right, judged in the order in which the API judges. */
export function expectedAnswers(known: Known, sent: Sent, surroundings: Surroundings): ReadonlySet<Answered> {
  if (!sent.wellFormed) return new Set(['request.invalid']);
  const { counter, certificate } = sent;
  if (!isCounter(counter)) return new Set(['heartbeat.counter_invalid']);
  if (certificate === null) return new Set(['certificate.missing']);
  if (certificate.issuedBy === 'somebody') return new Set(['certificate.untrusted']);
  if (certificate.usage === 'server') return new Set(['certificate.wrong_usage']);
  const answers = new Set<Answered>();
  const { atMs } = surroundings;
  const [notBefore, notAfter] = [certificate.notBeforeMs, certificate.notAfterMs];
  if (atMs < notBefore + clockToleranceMs) answers.add('certificate.not_yet_valid');
  if (atMs > notAfter - clockToleranceMs) answers.add('certificate.expired');
  if (atMs < notBefore - clockToleranceMs || atMs > notAfter + clockToleranceMs) return answers;
  if (!sent.namesItself) return answers.add('certificate.name_mismatch');
  for (const answer of verdicts(known, certificate.fingerprint, counter, surroundings)) answers.add(answer);
  return answers;
}

function isCounter(counter: unknown): counter is number {
  return typeof counter === 'number' && Number.isSafeInteger(counter) && counter >= 1;
}

function verdicts(known: Known, fingerprint: string, counter: number, surroundings: Surroundings): Answered[] {
  const { identity, rotation } = known;
  const counted = countedAnswers(known.counter, counter);
  switch (identity) {
    case 'unknown':
      return ['pending', 'device.rejected', ...counted];
    case 'waiting':
      return firstAnswers(known.seen, surroundings.pendingLimit);
    case 'approving':
      return ['pending', ...counted];
    case 'rejecting':
      return ['pending', 'device.rejected'];
    case 'rejected':
      return ['device.rejected'];
    case 'approved':
  }
  if (known.refused.includes(fingerprint)) return ['device.rejected'];
  if (fingerprint === known.pinned) {
    return rotation?.decision === 'approve' ? ['device.rejected', ...counted] : counted;
  }
  if (rotation === null) return ['pending'];
  if (fingerprint !== rotation.fingerprint) {
    return rotation.decision === null
      ? ['device.other_certificate_pending']
      : ['device.other_certificate_pending', 'pending'];
  }
  if (rotation.decision === null) return ['pending'];
  return rotation.decision === 'approve' ? ['pending', ...counted] : ['pending', 'device.rejected'];
}

/** A counter is used once; whether one is used whose answer was lost, nobody can know. */
function countedAnswers({ used, perhaps }: Known['counter'], counter: number): Answered[] {
  if (counter <= used) return ['heartbeat.replayed'];
  return counter <= perhaps ? ['accepted', 'heartbeat.replayed'] : ['accepted'];
}

function firstAnswers(seen: Known['seen'], limit: Surroundings['pendingLimit']): Answered[] {
  if (seen === 'yes' || limit === 'far') return ['pending'];
  return limit === 'reached' && seen === 'no' ? ['rate.limited'] : ['pending', 'rate.limited'];
}

/** A request whose answer is missing may have had its effect. */
export function afterSilence(known: Known, sent: Sent): Known {
  if (!isJudgedByName(sent)) return known;
  return {
    ...known,
    seen: known.seen === 'no' ? 'perhaps' : known.seen,
    counter: { ...known.counter, perhaps: Math.max(known.counter.perhaps, sent.counter) },
    versions: perhaps(known.versions, sent),
  };
}

/** The version that was sent may be on record by now. */
function perhaps(versions: Known['versions'], { agentVersion }: Sent): Known['versions'] {
  return versions.length === 0 ? [] : [...new Set([...versions, agentVersion])];
}

/** What an answer teaches, right or wrong. Refusals that say nothing about the device teach nothing. */
export function afterAnswer(known: Known, sent: Sent, answered: Answered): Known {
  if (!isJudgedByName(sent)) return known;
  const { fingerprint } = sent.certificate;
  switch (answered) {
    case 'accepted':
      return {
        ...pin(known, fingerprint),
        counter: used(known.counter, sent.counter),
        versions: [sent.agentVersion],
      };
    case 'heartbeat.replayed':
      // This counter or a greater one was used before.
      return { ...pin(known, fingerprint), counter: used(known.counter, sent.counter) };
    case 'pending':
      if (known.identity === 'approved' && known.rotation === null && fingerprint !== known.pinned)
        return { ...known, rotation: { fingerprint, decision: null } };
      // An approved device is observed only through the certificate that is pinned.
      if (known.identity === 'approved') return { ...known, seen: 'yes' };
      // A decision that was under way may have come before what this heartbeat reported, or after.
      if (known.identity !== 'waiting') return { ...known, seen: 'yes', versions: perhaps(known.versions, sent) };
      return { ...known, seen: 'yes', versions: [sent.agentVersion] };
    case 'device.rejected':
      return afterRejection(known, fingerprint);
    case 'rate.limited':
      return known.seen === 'yes' ? known : { ...known, seen: 'no' };
    default:
      return known;
  }
}

function afterRejection(known: Known, fingerprint: string): Known {
  const { rotation } = known;
  if (known.identity !== 'approved') return { ...known, seen: 'yes', identity: 'rejected' };
  if (rotation === null) return known;
  if (fingerprint === known.pinned) return pin(known, rotation.fingerprint);
  return { ...known, rotation: null, refused: [...known.refused, fingerprint] };
}

/** The certificate is the one that is approved now. */
function pin(known: Known, fingerprint: string): Known {
  if (known.identity === 'approved' && known.pinned === fingerprint) return known;
  const replaced = known.pinned === null || known.pinned === fingerprint ? [] : [known.pinned];
  return {
    ...known,
    seen: 'yes',
    identity: 'approved',
    pinned: fingerprint,
    rotation: null,
    refused: [...known.refused, ...replaced],
  };
}

function used(counter: Known['counter'], value: number): Known['counter'] {
  return { used: Math.max(counter.used, value), perhaps: Math.max(counter.perhaps, value) };
}

/** A vote on this certificate is about to be cast. */
export function whileDeciding(known: Known, fingerprint: string, decision: Decision): Known {
  if (known.identity === 'approved') {
    return known.rotation?.fingerprint === fingerprint ? { ...known, rotation: { fingerprint, decision } } : known;
  }
  if (known.identity === 'rejected') return known;
  return { ...known, identity: decision === 'approve' ? 'approving' : 'rejecting' };
}

/** The answer to the vote: what it says holds from now on. */
export function afterDecision(known: Known, fingerprint: string, state: 'approved' | 'rejected' | 'open'): Known {
  if (state === 'approved') return pin(known, fingerprint);
  const { rotation } = known;
  if (known.identity === 'approved') {
    if (rotation?.fingerprint !== fingerprint) return known;
    if (state === 'open') return { ...known, rotation: { fingerprint, decision: null } };
    return { ...known, rotation: null, refused: [...known.refused, fingerprint] };
  }
  if (state === 'rejected') return { ...known, identity: 'rejected' };
  return known.identity === 'approving' || known.identity === 'rejecting' ? { ...known, identity: 'waiting' } : known;
}

type JudgedByName = Sent & { readonly counter: number; readonly certificate: PresentedCertificate };

/** Whether the request gets as far as the row of its device. */
function isJudgedByName(sent: Sent): sent is JudgedByName {
  const { certificate } = sent;
  return (
    sent.wellFormed &&
    sent.namesItself &&
    isCounter(sent.counter) &&
    certificate?.issuedBy === 'ours' &&
    certificate.usage === 'device'
  );
}
