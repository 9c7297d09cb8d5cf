// Attestation of devices: what each is asked, what its evidence comes to, and where that leaves it. Nothing here raises trust.
import type { AuditEntry } from '#contracts/audit.ts';
import type {
  AttestationBasis,
  AttestationBinding,
  AttestationCircumstances,
  DeviceAttestation,
  StoredChallenge,
  Verdict,
} from '#contracts/attestation.ts';
import type { Clock, Json, JsonObject, Random } from '#contracts/deps.ts';
import type { AttestationChallenge } from '#contracts/http/heartbeat.ts';
import { TrustError } from '#contracts/problems.ts';
import { trustTiers, type AttestationState, type TrustTier } from '#contracts/states.ts';
import {
  attestationStateOf,
  isConfirmed,
  standingAfter,
  standingOnceStale,
  standingWithoutEvidence,
} from '#machines/attestation-standing.ts';
import { effectiveTier } from '#machines/effective-tier.ts';
import { basisDigest } from '#protocols/attestation-basis.ts';
import { registersToAsk, unjudged, type Judgement } from '#protocols/attestation-verdict.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import { activationFor, isActivation, livesInTpm } from '#protocols/key-activation.ts';
import { verifierRequest, type VerifierRequest } from '#protocols/verifier-answer.ts';
import type {
  AskOptions,
  DeviceStanding,
  Question,
  RecordedVerdict,
  RecordOptions,
  Unanswered,
} from '#store/attestation.ts';
import type { lowerStandings } from '#store/attestation.ts';
import type { DeviceRef } from './actors.ts';
import type { EvidencePace } from './evidence-pace.ts';
import type { Metrics } from './metrics.ts';

export interface AttestationDeps {
  /** By what evidence is judged now. While a process lives, only the trusted manufacturers ever change. */
  readonly basis: () => AttestationBasis;
  readonly required: boolean;
  /** Whether heartbeats prove who they come from. */
  readonly identityVerified: boolean;
  readonly readStanding: (device: DeviceRef) => Promise<DeviceStanding>;
  readonly recordVerdict: (
    project: string,
    verdict: RecordedVerdict,
    options: RecordOptions,
  ) => Promise<DeviceStanding | null>;
  readonly askForEvidence: (
    project: string,
    items: readonly Unanswered[],
    options: AskOptions,
  ) => Promise<readonly DeviceStanding[]>;
  readonly lowerStandings: (
    project: string,
    deviceIds: readonly string[],
    options: Parameters<typeof lowerStandings>[3],
  ) => Promise<readonly string[]>;
  /** Off the event loop. A judge that is away is a refusal; `service.overloaded` is passed on. */
  readonly judge: (judgement: Judgement) => Promise<Verdict>;
  /** What the external verifier answers; null where there is none, and when it gave no answer. */
  readonly askVerifier: (request: VerifierRequest) => Promise<Json>;
  /** Has the device's actor look: what it knows of the evidence is what people see in Temporal. */
  readonly tellActor: (device: DeviceRef) => void;
  readonly pace: EvidencePace;
  readonly metrics: Pick<Metrics, 'evidence' | 'evidenceDuration'>;
  readonly clock: Clock;
  readonly random: Random;
  /** Devices whose evidence is judged at once. */
  readonly maximumAtOnce?: number;
}

/** A heartbeat that carries evidence. */
export interface EvidenceOf {
  readonly device: DeviceRef;
  readonly evidence: unknown;
  /** Of the certificate that it came with; null when device mTLS is off. */
  readonly fingerprint: string | null;
  readonly counter: number | null;
  readonly requestId: string;
}

export interface Judged {
  readonly verdict: Verdict;
  readonly standing: DeviceStanding;
}

export interface Attestation {
  /**
   * Judges evidence and writes the verdict down.
   *
   * @returns null when the heartbeat is to be refused for another reason: its evidence is not looked at
   * @throws EvidenceRefused when the evidence is refused; TrustError `service.overloaded`, also while other evidence of the
   *   device is judged; `rate.limited`; `request.too_large`; `service.unavailable`
   */
  judge(evidence: EvidenceOf): Promise<Judged | null>;
  /** Asks devices whose heartbeats brought no evidence; for a batch, one of each device. */
  ask(items: readonly Unanswered[]): Promise<readonly DeviceStanding[]>;
  /** Lowers those of these devices whose evidence counts no longer, and says so. @returns which they were */
  lowerStale(project: string, deviceIds: readonly string[]): Promise<readonly string[]>;
  stateOf(standing: DeviceStanding): AttestationState;
  /** Whether the device's actor has something to confirm that would raise its tier. */
  waitsForActor(standing: DeviceStanding): boolean;
  challengeOf(standing: DeviceStanding): AttestationChallenge | null;
  /** What of a standing its actor takes note of. */
  noted(judged: Judged): Json;
  readStanding(device: DeviceRef): Promise<DeviceStanding>;
}

/** The refusal of evidence, with what to answer next. */
export class EvidenceRefused extends TrustError {
  readonly members: { readonly attestation_challenge: AttestationChallenge | null };
  constructor(verdict: Verdict, challenge: AttestationChallenge | null) {
    super(verdict.code ?? 'attestation.failed', {
      ...(verdict.detail === null ? {} : { detail: verdict.detail }),
      facts: { ...primitives(verdict.facts), reason: verdict.reason },
    });
    this.members = { attestation_challenge: challenge };
  }
}

const nonceBytes = 32;
/** Somebody else answered the same challenge in between: judged once more, against what is open then. */
const attempts = 2;
/** Seven certificates of a usual size and all else are a third of it. A verifier command may need more, such as logs. */
const maximumEvidenceCharacters = 64 * 1024;
/** Devices whose evidence is being judged: each holds a connection to the database for a while. */
const judgementsAtOnce = 1_000;
/** In one transaction: heartbeats of these devices wait for it. */
const staleAtOnce = 100;
/**
 * Verdicts of one device that moved nothing, and are written down within a minute: all of them at the usual interval of
 * heartbeats. Besides, the first of each kind is.
 */
const mostUnmoving = 4;

export function createAttestation(deps: AttestationDeps): Attestation {
  const { required, clock, random, maximumAtOnce = judgementsAtOnce } = deps;
  const settings = deps.basis();
  const policy = { provider: settings.provider, required };
  const digests = new WeakMap<AttestationBasis, string>();
  const judging = new Set<string>();

  function digestOfBasis(basis: AttestationBasis): string {
    const digest = digests.get(basis) ?? basisDigest(basis);
    digests.set(basis, digest);
    return digest;
  }

  function questionFor(assignedTags: readonly string[]): Question | null {
    const selection = registersToAsk(settings, assignedTags);
    return selection && { provider: settings.provider, selection };
  }

  function challengeFor(question: Question): StoredChallenge {
    const now = clock.now().getTime();
    return {
      ...question,
      nonce: Buffer.from(random.bytes(nonceBytes)).toString('base64url'),
      issued_at: new Date(now).toISOString(),
      expires_at: new Date(now + settings.challenge_ttl_seconds * 1000).toISOString(),
      activation: null,
    };
  }

  async function verdictOn(
    { device, evidence }: EvidenceOf,
    standing: DeviceStanding,
    { basis, now }: Pick<Judgement, 'basis' | 'now'>,
  ): Promise<{ verdict: Verdict; circumstances: AttestationCircumstances }> {
    const { challenge, grant } = standing;
    const external =
      basis.verifier === 'command' && challenge !== null
        ? await deps.askVerifier(verifierRequest({ deviceId: device.id, challenge, evidence, basis }))
        : null;
    const circumstances: AttestationCircumstances = {
      device_id: device.id,
      challenge,
      bound: grant?.binding ?? null,
      proven: provenOf(standing, basis),
      last_clock: standing.attestation?.clock ?? null,
      assigned_tags: grant?.assigned_tags ?? [],
      external,
    };
    let verdict: Verdict;
    try {
      verdict = await deps.judge({ evidence, circumstances, basis, now });
    } catch (error) {
      // Nothing was looked at: the device comes again.
      if (error instanceof TrustError && error.code === 'service.overloaded') throw error;
      // No verdict is a refusal, also when it is our own fault.
      verdict = unjudged;
    }
    return { verdict, circumstances };
  }

  /** What to ask next, with the credential that a key has to open before it counts; without one there is no verdict. */
  function nextChallenge(
    { evidence }: EvidenceOf,
    verdict: Verdict,
    { grant, challenge }: DeviceStanding,
    { basis, now }: Pick<Judgement, 'basis' | 'now'>,
  ): { readonly verdict: Verdict; readonly next: StoredChallenge | null } {
    // What is open stays open for whoever it was meant for.
    if (verdict.code === 'attestation.nonce_unknown' && challenge !== null && challenge.expires_at > now.toISOString())
      return { verdict, next: null };
    const question = questionFor(grant?.assigned_tags ?? []);
    if (question === null) return { verdict, next: null };
    const next = challengeFor(question);
    if (verdict.outcome !== 'unproven') return { verdict, next };
    try {
      return { verdict, next: { ...next, activation: activationFor({ evidence, verdict, basis, now, random }) } };
    } catch {
      return { verdict: unjudged, next };
    }
  }

  function tierOf(standing: Pick<DeviceStanding, 'grant' | 'attestation'>, now: string): TrustTier {
    const { grant, attestation } = standing;
    return effectiveTier(
      {
        grant,
        pinned_not_after: grant?.pinned_not_after ?? null,
        pinned_revoked: grant?.pinned_revoked ?? false,
        attestation: attestationStateOf(policy, attestation, grant, now),
        identity_verified: deps.identityVerified,
      },
      now,
    ).tier;
  }

  /** What goes out when a standing moves, or the reason for it. A flood is counted where refusals are written down. */
  function announce(
    deviceId: string,
    now: string,
    requestId: string | null,
    { grant, attestation: before }: DeviceStanding,
    after: DeviceAttestation,
    /** When it stood as before: evidence that has run out has lowered its tier already. */
    stoodAt = now,
  ): readonly AuditEntry[] {
    const [from, to] = [tierOf({ grant, attestation: before }, stoodAt), tierOf({ grant, attestation: after }, now)];
    const falls = trustTiers.indexOf(to) < trustTiers.indexOf(from);
    const entry = (action: string, outcome: AuditEntry['outcome'], details: JsonObject): AuditEntry => ({
      occurred_at: now,
      category: 'identity',
      action,
      actor: { kind: 'device', id: deviceId },
      subject: { kind: 'device', id: deviceId },
      outcome,
      details: { device_id: deviceId, ...details },
      request_id: requestId,
    });
    const why = { code: after.code, reason: after.reason, detail: after.detail, provider: after.provider };
    const moved = before?.state !== after.state || before.reason !== after.reason;
    const audit: AuditEntry[] = [];
    if (moved && after.code === 'attestation.hardware_mismatch')
      audit.push(
        entry('hardware_identity_mismatch', 'refused', {
          ...why,
          bound_key_id: grant?.binding?.key_id ?? null,
          bound_hardware: grant?.binding?.binding_id ?? null,
        }),
      );
    else if (moved && after.state === 'failed') audit.push(entry('attestation.failed', 'refused', why));
    if (falls)
      audit.push(
        entry('device.trust.updated', 'success', {
          ...why,
          from,
          to,
          trust_tier: to,
          epoch: grant?.epoch ?? 0,
          state: grant?.state ?? 'pending',
        }),
      );
    return audit;
  }

  async function judgeAlone(given: EvidenceOf): Promise<Judged | null> {
    const { device, fingerprint, counter, requestId } = given;
    for (let attempt = 1; attempt <= attempts; attempt += 1) {
      const standing = await deps.readStanding(device);
      if (!isOwn(standing, fingerprint, counter)) return null;
      const by = { basis: deps.basis(), now: clock.now() };
      const { basis } = by;
      const now = by.now.toISOString();
      const end = deps.metrics.evidenceDuration.startTimer();
      const { verdict: judged, circumstances } = await verdictOn(given, standing, by);
      const { verdict, next } = nextChallenge(given, judged, standing, by);
      end();
      const recorded = await deps.recordVerdict(
        device.project,
        {
          device_id: device.id,
          evidence: given.evidence as Json,
          evidence_digest: digestOf(given.evidence),
          circumstances,
          basis,
          basis_digest: digestOfBasis(basis),
          result: verdict,
          activates: isActivation(verdict, circumstances, basis),
        },
        {
          now,
          next,
          mostUnmoving,
          standingAfter: (before) => standingAfter(before, verdict, { provider: basis.provider, at: now }),
          announce: (before, after) => announce(device.id, now, requestId, before, after),
        },
      );
      if (recorded === null) continue;
      deps.metrics.evidence.inc({ outcome: verdict.outcome, reason: verdict.reason ?? 'none' });
      const [was, is] = [standing.attestation, recorded.attestation];
      if (verdict.outcome === 'refused' && (was?.state !== is?.state || was?.detail !== is?.detail))
        deps.tellActor(device);
      if (verdict.outcome === 'refused') throw new EvidenceRefused(verdict, challengeOf(recorded));
      return { verdict, standing: recorded };
    }
    throw new TrustError('service.unavailable', { detail: 'Other evidence of this device is being judged' });
  }

  return {
    readStanding: deps.readStanding,

    async judge(given) {
      const { project, id } = given.device;
      const name = JSON.stringify([project, id]);
      if (settings.verifier === 'built_in' && JSON.stringify(given.evidence).length > maximumEvidenceCharacters)
        throw new TrustError('request.too_large', { detail: 'The evidence is larger than any that can be verified' });
      if (judging.has(name) || judging.size >= maximumAtOnce) throw new TrustError('service.overloaded');
      // Counted by certificate: nobody else who has one in the name of the device takes its turn.
      deps.pace.count(JSON.stringify([project, id, given.fingerprint]));
      judging.add(name);
      try {
        return await judgeAlone(given);
      } finally {
        judging.delete(name);
      }
    },

    async ask(items) {
      const now = clock.now().toISOString();
      const answers = new Map<Unanswered, DeviceStanding>();
      for (const [project, group] of Map.groupBy(items, ({ project: own }) => own)) {
        const standings = await deps.askForEvidence(project, group, {
          now,
          questionFor,
          challengeFor,
          withoutEvidence: standingWithoutEvidence,
          announce: (before, after, deviceId) => announce(deviceId, now, null, before, after),
        });
        for (const [index, item] of group.entries()) answers.set(item, standings[index] as DeviceStanding);
      }
      return items.map((item) => answers.get(item) as DeviceStanding);
    },

    async lowerStale(project, deviceIds) {
      const now = clock.now().toISOString();
      const lowered: string[] = [];
      for (let first = 0; first < deviceIds.length; first += staleAtOnce) {
        const some = deviceIds.slice(first, first + staleAtOnce);
        lowered.push(
          ...(await deps.lowerStandings(project, some, {
            now,
            onceStale: (before) => standingOnceStale(before, now),
            announce: (before, after, deviceId) =>
              announce(deviceId, now, null, before, after, lastMoment(before.attestation?.fresh_until ?? now)),
          })),
        );
      }
      return lowered;
    },

    stateOf: ({ attestation, grant }) => attestationStateOf(policy, attestation, grant, clock.now().toISOString()),

    waitsForActor: ({ attestation, grant }) =>
      grant?.state === 'approved' &&
      grant.binding !== null &&
      attestation?.state === 'verified' &&
      grant.binding.provider === attestation.provider &&
      (grant.binding.key_id === attestation.key_id || settings.allow_key_rotation_with_stable_binding) &&
      !isConfirmed(attestation, grant),

    challengeOf,

    noted: ({ standing: { attestation } }) =>
      attestation && {
        state: attestation.state,
        generation: attestation.generation,
        key_id: attestation.key_id,
        binding_id: attestation.binding_id,
      },
  };

  function challengeOf({ challenge }: DeviceStanding): AttestationChallenge | null {
    if (challenge === null || challenge.expires_at <= clock.now().toISOString()) return null;
    const { provider, nonce, expires_at, selection, activation } = challenge;
    return {
      provider,
      nonce,
      expires_at,
      pcr_selection: Object.fromEntries(Object.entries(selection).map(([bank, registers]) => [bank, [...registers]])),
      ...(activation === null
        ? {}
        : {
            credential_activation: {
              credential_blob: activation.credential_blob,
              encrypted_secret: activation.encrypted_secret,
            },
          }),
    };
  }
}

/** The key of the evidence that was verified last. One of a TPM is on record to live there, or has it to show again. */
function provenOf({ attestation, activated_in }: DeviceStanding, basis: AttestationBasis): AttestationBinding | null {
  if (attestation === null || attestation.key_id === null) return null;
  const { provider, key_id, binding_id } = attestation;
  if (!livesInTpm(basis)) return { provider, key_id, binding_id };
  return activated_in === null ? null : { provider, key_id, binding_id: activated_in };
}

/**
 * Whether the heartbeat may speak for the device, as far as it can be told before it is judged itself: what would be
 * refused anyway neither uses up a challenge nor moves a standing.
 */
function isOwn(
  { grant, candidate_fingerprint, counted }: DeviceStanding,
  fingerprint: string | null,
  counter: number | null,
): boolean {
  if (grant?.pinned_revoked === true || grant?.state === 'rejected' || grant?.state === 'retired') return false;
  if (counter !== null && counter <= counted) return false;
  if (fingerprint === null) return true;
  // Before it is approved a device is who waits for that, and not whoever else has a certificate in its name.
  return fingerprint === (grant?.state === 'approved' ? grant.pinned_fingerprint : candidate_fingerprint);
}

/** In which evidence still counted. */
function lastMoment(freshUntil: string): string {
  return new Date(Date.parse(freshUntil) - 1).toISOString();
}

function primitives(facts: JsonObject): Record<string, string | number | boolean | null> {
  const found: Record<string, string | number | boolean | null> = {};
  for (const [name, value] of Object.entries(facts))
    if (value === null || typeof value !== 'object') found[name] = value;
  return found;
}
