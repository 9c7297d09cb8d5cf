// The device's side of attestation: keeps the challenge that is open, and answers it with the next heartbeat.
import { ApiProblem } from '#client/api-problem.ts';
import type { SendHeartbeat } from '#client/heartbeat.ts';
import type { Clock, Log } from '#contracts/deps.ts';
import { readChallenge, type AttestationChallenge } from './attestation/challenge.ts';
import { EvidenceProblem, type Evidence, type EvidenceProvider } from './attestation/provider.ts';

/** Where the challenge that is open outlives the process. */
export interface ChallengeStore {
  readonly kept: unknown;
  /** Resolves when it is on disk; `null` when nothing is open any more. */
  keep(challenge: AttestationChallenge | null): Promise<void>;
}

export interface AttestationDeps {
  readonly store: ChallengeStore;
  /** `null` when the device is not set up for it. */
  readonly provider: EvidenceProvider | null;
  readonly clock: Clock;
  readonly log: Log;
  /** Milliseconds of a clock that never goes back. */
  readonly elapsedMs: () => number;
}

export interface Attestation {
  /** What the next heartbeat says to the open challenge; `null` when there is none, or nothing to say. */
  evidence(signal: AbortSignal): Promise<Evidence | null>;
  /** Sends, and learns from the answer what is asked from now on. */
  listening(send: SendHeartbeat): SendHeartbeat;
}

interface Open {
  readonly challenge: AttestationChallenge;
  /** Whether our clock can say that it has expired: a challenge that arrives expired shows that it cannot. */
  readonly byClock: boolean;
  evidence: Evidence | null;
  /** The server may have had the evidence: it has to ask again before it is sent again. */
  isUnsure: boolean;
  /** What cannot be made is tried again, but not with every heartbeat. */
  againMs: number;
}

const retryMs = 60_000;

export function createAttestation({ store, provider, clock, log, elapsedMs }: AttestationDeps): Attestation {
  const restored = readChallenge(store.kept);
  let open: Open | null = restored === null ? null : begin(restored, true);
  let told = '';

  function begin(challenge: AttestationChallenge, byClock: boolean): Open {
    return { challenge, byClock, evidence: null, isUnsure: false, againMs: -Infinity };
  }

  async function evidence(signal: AbortSignal): Promise<Evidence | null> {
    const asked = open;
    if (asked === null || asked.isUnsure || elapsedMs() < asked.againMs) return null;
    if (asked.byClock && Date.parse(asked.challenge.expires_at) <= clock.now().getTime()) {
      await replace(null);
      return null;
    }
    if (asked.evidence !== null) return asked.evidence;
    try {
      asked.evidence = await measure(asked.challenge, signal);
      tell('info', 'The challenge of Sentinel is answered', { provider: asked.challenge.provider });
    } catch (error) {
      if (signal.aborted) throw error;
      asked.againMs = elapsedMs() + retryMs;
      const said = error instanceof EvidenceProblem && error.said !== null ? { said: error.said } : {};
      tell('warn', `There is no evidence for Sentinel: ${(error as Error).message}`, said);
    }
    return asked.evidence;
  }

  function measure(challenge: AttestationChallenge, signal: AbortSignal): Promise<Evidence> {
    if (provider?.name === challenge.provider) return provider.measure(challenge, signal);
    const have = provider === null ? 'is not set up for attestation' : `is set up for ${provider.name}`;
    throw new EvidenceProblem(`it asks for ${challenge.provider}, and this device ${have}`);
  }

  /** A message that is no news is left out, so that each is there once. */
  function tell(level: 'info' | 'warn', message: string, fields: object): void {
    if (message !== told) log[level](fields, message);
    told = message;
  }

  /** Written down before it is used. A challenge that cannot be kept is not used, and asked again by the server. */
  async function replace(next: Open | null): Promise<void> {
    if (next === null && open === null) return;
    open = null;
    try {
      await store.keep(next?.challenge ?? null);
      open = next;
    } catch (error) {
      tell('warn', `The challenge of Sentinel cannot be kept: ${(error as Error).message}`, {});
    }
  }

  async function hear(value: unknown): Promise<void> {
    const challenge = readChallenge(value);
    if (challenge === null) return replace(null);
    if (open !== null && isSame(challenge, open.challenge)) {
      open.isUnsure = false;
      return;
    }
    await replace(begin(challenge, Date.parse(challenge.expires_at) > clock.now().getTime()));
  }

  /** @param sent Whether evidence went with the heartbeat. */
  async function hearFailure(problem: ApiProblem, sent: boolean): Promise<void> {
    if (problem.code.startsWith('attestation.')) return hear(problem.attestationChallenge);
    if (open === null || !sent) return;
    if (problem.status === 0) open.isUnsure = true;
    if (problem.code !== 'request.invalid' && problem.code !== 'request.too_large') return;
    // With this evidence no heartbeat would ever get through.
    tell('warn', `Sentinel cannot read the evidence of this device: ${problem.detail}`, {});
    await replace(null);
  }

  return {
    evidence,
    listening: (send) => async (body, signal) => {
      try {
        const answer = await send(body, signal);
        await hear(answer.attestation_challenge);
        return answer;
      } catch (error) {
        if (error instanceof ApiProblem) await hearFailure(error, body.attestation !== undefined);
        throw error;
      }
    },
  };
}

function isSame(one: AttestationChallenge, other: AttestationChallenge): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
