// Why a device has the tier that it has, made from the very bounds that the decision is made of: what is so, which settings
// led there, what would change it, whom it waits for, and the four answers that people look for first.
import { permissions, type Permission } from '#contracts/permissions.ts';
import type { Settings } from '#contracts/settings.ts';
import { lowestTier, type ApprovalKind, type Liveness, type TrustTier } from '#contracts/states.ts';
import { certificateLife, type CertificatePolicy } from './certificate-life.ts';
import { tierBounds, tierReasons, type TierInputs, type TierReason } from './effective-tier.ts';
import {
  evidenceAsked,
  failedEvidence,
  failedEvidenceChange,
  missingEvidence,
  missingEvidenceChange,
  staleEvidence,
  unaskedEvidence,
  verifiedEvidence,
  type ExplainedEvidence,
} from './evidence-words.ts';
import { livenessOf, type LivenessPolicy } from './liveness.ts';
import { counted, listed, moment, quoted } from './words.ts';

export type ExplanationPolicy = CertificatePolicy &
  LivenessPolicy &
  Pick<
    Settings,
    | 'SENTINEL_REQUIRE_DEVICE_MTLS'
    | 'SENTINEL_REQUIRE_NEW_DEVICE_APPROVAL'
    | 'SENTINEL_SENSITIVE_TAGS'
    | 'SENTINEL_SENSITIVE_IDENTITY_APPROVALS'
    | 'SENTINEL_IDENTITY_REVIEW_TTL_SECONDS'
    | 'SENTINEL_ATTESTATION_REQUIRED'
    | 'SENTINEL_ATTESTATION_CHALLENGE_TTL_SECONDS'
    | 'SENTINEL_ATTESTATION_MAX_EVIDENCE_AGE_SECONDS'
    | 'SENTINEL_ATTESTATION_REQUIRE_HARDWARE_BINDING'
    | 'SENTINEL_ATTESTATION_ALLOW_KEY_ROTATION_WITH_STABLE_BINDING'
  >;

type ExplainedSetting = keyof ExplanationPolicy;

/** The review that a device waits for, as its approval stands. */
export interface OpenReview {
  readonly id: string;
  readonly kind: ApprovalKind;
  readonly required: number;
  /** Those who have approved. */
  readonly voters: readonly string[];
  readonly permission: Permission;
  readonly expires_at: string;
}

export interface ExplanationInputs {
  /** What the decision is made of. */
  readonly tier: TierInputs;
  /** Who revoked the pinned certificate, when, and what was said; null where that is not so, or not known. */
  readonly revocation: { readonly at: string; readonly by: string; readonly reason: string | null } | null;
  readonly approved_at: string | null;
  readonly approvers: readonly string[];
  /** What was said with the last decision. */
  readonly reason: string | null;
  readonly last_seen_at: string | null;
  /** Null where it was never asked for any. */
  readonly evidence: ExplainedEvidence | null;
  readonly review: OpenReview | null;
}

export const explainedSubjects = ['identity', 'certificate', 'attestation'] as const;
export type ExplainedSubject = (typeof explainedSubjects)[number];
/** Facts that bound nothing, and are worth knowing all the same. */
export const plainFacts = ['certificate.valid', 'certificate.rotation', 'certificate.none'] as const;
export type FactName = TierReason | (typeof plainFacts)[number];

export interface ExplainedFact {
  readonly reason: FactName;
  readonly about: ExplainedSubject;
  /** What is so. */
  readonly text: string;
  /** No more trust than this is possible while it is so. */
  readonly at_most: TrustTier;
  /** Whether it is among those that hold the tier where it is. */
  readonly decides: boolean;
  /** What would change it; null for what need not change. */
  readonly change: string | null;
  /** When it came to be so, or when it ends. */
  readonly at: string | null;
  /** People behind it. */
  readonly by: readonly string[];
  readonly settings: readonly ExplainedSetting[];
}

export const standings = ['good', 'watch', 'bad', 'none'] as const;
export type Standing = (typeof standings)[number];
export const explainedQuestions = ['expected', 'trusted', 'certificate', 'waiting'] as const;

export interface ExplainedAnswer {
  readonly question: (typeof explainedQuestions)[number];
  readonly standing: Standing;
  readonly text: string;
}

/** Whom and what a device waits for. */
export interface AwaitedPeople {
  readonly review: string;
  readonly kind: ApprovalKind;
  readonly required: number;
  readonly missing: number;
  readonly voters: readonly string[];
  readonly permission: Permission;
  readonly roles: readonly string[];
  readonly expires_at: string;
  readonly text: string;
}

export interface Explanation {
  readonly trust_tier: TrustTier;
  /** Is it expected? Still trusted? Its certificate valid? Waiting on whom? */
  readonly answers: readonly ExplainedAnswer[];
  /** Those that decide come first, the lowest bound before the higher ones. */
  readonly facts: readonly ExplainedFact[];
  readonly waits_for: AwaitedPeople | null;
  /** Whether it is heard, which never changes its tier. */
  readonly liveness: { readonly state: Liveness; readonly text: string; readonly last_seen_at: string | null };
  /** Settings that led here. */
  readonly settings: readonly ExplainedSetting[];
}

/** Something that people or the device can do, and what it does to the facts of the decision. */
export interface SuggestedChange {
  readonly text: string;
  readonly apply: (inputs: TierInputs) => TierInputs;
}

interface Wording {
  readonly about: ExplainedSubject;
  readonly text: (inputs: ExplanationInputs, policy: ExplanationPolicy) => string;
  readonly change?: (inputs: TierInputs, evidence: ExplainedEvidence | null) => SuggestedChange | null;
  readonly at?: (inputs: ExplanationInputs) => string | null;
  readonly by?: (inputs: ExplanationInputs) => readonly string[];
  readonly settings?: readonly ExplainedSetting[];
}

/** People approve: the actor grants what an approval supports. */
const approve = (inputs: TierInputs): TierInputs => ({ ...inputs, grant: { state: 'approved', tier: 'monitored' } });
const approval = (text: string) => (): SuggestedChange => ({ text, apply: approve });
const renewed = (inputs: TierInputs): TierInputs => ({ ...inputs, pinned_not_after: null, pinned_revoked: false });
const renewal = (): SuggestedChange => ({
  text: 'The device presents a new certificate, and people approve that.',
  apply: renewed,
});
type EvidenceWords = (evidence: ExplainedEvidence | null) => string;
const evidence =
  (text: EvidenceWords) =>
  (_inputs: TierInputs, known: ExplainedEvidence | null): SuggestedChange => ({
    text: text(known),
    apply: (inputs) => ({ ...inputs, attestation: 'verified' }),
  });
const said =
  (text: EvidenceWords) =>
  (inputs: ExplanationInputs): string =>
    text(inputs.evidence);
const verifiedAt = ({ evidence: known }: ExplanationInputs): string | null => known?.verified_at ?? null;

/** Each reason in words. The table is complete by its type: a reason without words does not compile. */
const wordings: Record<FactName, Wording> = {
  'identity.unverified': {
    about: 'identity',
    text: () => 'Nothing proves that this is the device that it says it is: device certificates are not demanded.',
    change: () => ({
      text: 'Demand device certificates (SENTINEL_REQUIRE_DEVICE_MTLS).',
      apply: (inputs) => ({ ...inputs, identity_verified: true }),
    }),
    settings: ['SENTINEL_REQUIRE_DEVICE_MTLS'],
  },
  'identity.pending': {
    about: 'identity',
    text: () => 'Nobody has approved this device yet.',
    change: approval('People approve its enrollment.'),
    settings: ['SENTINEL_REQUIRE_NEW_DEVICE_APPROVAL'],
  },
  'identity.expired': {
    about: 'identity',
    text: () => 'Its enrollment lapsed without a decision.',
    change: approval('Its next heartbeat opens a new review, and people approve that.'),
    settings: ['SENTINEL_IDENTITY_REVIEW_TTL_SECONDS'],
  },
  'identity.rejected': {
    about: 'identity',
    text: ({ reason }) => `Its identity was rejected${quoted(reason)}.`,
    change: approval('Somebody resets the device, and people approve its new enrollment.'),
  },
  'identity.retired': {
    about: 'identity',
    text: ({ reason }) => `It was taken out of service${quoted(reason)}.`,
    change: approval('Somebody resets the device, and people approve its new enrollment.'),
  },
  'identity.approved': {
    about: 'identity',
    text: approvedText,
    // An approval alone supports `monitored`; only its actor grants more, after it has verified evidence itself.
    change: ({ grant }) =>
      grant?.tier === 'monitored'
        ? {
            text: 'Its actor verifies its evidence and grants more.',
            apply: (inputs) => ({ ...inputs, grant: { state: 'approved', tier: 'trusted' } }),
          }
        : null,
    at: ({ approved_at }) => approved_at,
    by: ({ approvers }) => approvers,
  },
  'identity.under_review': {
    about: 'identity',
    text: ({ approvers }, policy) =>
      `Its tags make it sensitive, which takes ${counted(policy.SENTINEL_SENSITIVE_IDENTITY_APPROVALS, 'approver')}; ` +
      `${approvers.length === 0 ? 'nobody has' : `${listed(approvers)} ${approvers.length === 1 ? 'has' : 'have'}`} approved it so far.`,
    change: approval('As many people approve it as its tags ask for.'),
    settings: ['SENTINEL_SENSITIVE_TAGS', 'SENTINEL_SENSITIVE_IDENTITY_APPROVALS'],
  },
  'certificate.revoked': {
    about: 'certificate',
    text: ({ revocation }) =>
      `Its certificate was revoked${revocation === null ? '' : ` on ${moment(revocation.at)} by ${revocation.by}${quoted(revocation.reason)}`}, and is refused for ever.`,
    at: ({ revocation }) => revocation?.at ?? null,
    change: renewal,
  },
  'certificate.expired': {
    about: 'certificate',
    text: ({ tier }) => `Its certificate expired on ${moment(tier.pinned_not_after)}.`,
    change: renewal,
    at: ({ tier }) => tier.pinned_not_after,
  },
  'certificate.valid': {
    about: 'certificate',
    text: ({ tier }) => `Its pinned certificate is valid until ${moment(tier.pinned_not_after)}.`,
    at: ({ tier }) => tier.pinned_not_after,
    settings: ['SENTINEL_CERT_EXPIRING_SOON_DAYS'],
  },
  'certificate.rotation': {
    about: 'certificate',
    text: ({ tier }) => `It should be rotated before ${moment(tier.pinned_not_after)}: it is refused from then on.`,
    at: ({ tier }) => tier.pinned_not_after,
    settings: ['SENTINEL_ROTATION_RECOMMENDED_DAYS', 'SENTINEL_ROTATION_REQUIRED_DAYS'],
  },
  'certificate.none': {
    about: 'certificate',
    text: () => 'No certificate is pinned; the one that is approved will be, and no other is accepted then.',
  },
  'attestation.not_required': {
    about: 'attestation',
    text: said(unaskedEvidence),
    change: evidence((known) =>
      known === null
        ? 'Policy asks for attestation, and the device gives evidence that fits.'
        : missingEvidenceChange(known),
    ),
    settings: ['SENTINEL_ATTESTATION_REQUIRED'],
  },
  'attestation.verified': {
    about: 'attestation',
    text: said(verifiedEvidence),
    at: verifiedAt,
    settings: ['SENTINEL_ATTESTATION_MAX_EVIDENCE_AGE_SECONDS'],
  },
  'attestation.failed': {
    about: 'attestation',
    text: said(failedEvidence),
    change: evidence(failedEvidenceChange),
    at: verifiedAt,
    settings: [
      'SENTINEL_ATTESTATION_REQUIRE_HARDWARE_BINDING',
      'SENTINEL_ATTESTATION_ALLOW_KEY_ROTATION_WITH_STABLE_BINDING',
    ],
  },
  'attestation.missing': {
    about: 'attestation',
    text: said(missingEvidence),
    change: evidence(missingEvidenceChange),
    at: verifiedAt,
    settings: ['SENTINEL_ATTESTATION_REQUIRED', 'SENTINEL_ATTESTATION_CHALLENGE_TTL_SECONDS'],
  },
  'attestation.stale': {
    about: 'attestation',
    text: said(staleEvidence),
    change: evidence(() => 'The device answers its challenge.'),
    at: ({ evidence: known }) => known?.fresh_until ?? null,
    settings: ['SENTINEL_ATTESTATION_MAX_EVIDENCE_AGE_SECONDS'],
  },
};

/** What would change a reason, as words and as a function; null when nothing need change. */
export function suggestedChange(
  reason: FactName,
  inputs: TierInputs,
  known: ExplainedEvidence | null,
): SuggestedChange | null {
  return wordings[reason].change?.(inputs, known) ?? null;
}

/** Explains the effective tier. It cannot say anything else than the decision, since both come from the same bounds. */
export function explainDevice(inputs: ExplanationInputs, now: string, policy: ExplanationPolicy): Explanation {
  const bounds = tierBounds(inputs.tier, now);
  const trust_tier = lowestTier(bounds.map(({ bound }) => bound));
  const lowest = new Map<FactName, TrustTier>();
  for (const { reason, bound } of bounds) lowest.set(reason, lowestTier([bound, lowest.get(reason) ?? bound]));
  for (const reason of plainFactsOf(inputs, now, policy)) lowest.set(reason, 'trusted');
  const facts = [...lowest].map(([reason, at_most]) => {
    const { about, text, at, by, settings = [] } = wordings[reason];
    return {
      reason,
      about,
      text: text(inputs, policy),
      at_most,
      decides: at_most === trust_tier && (tierReasons as readonly string[]).includes(reason),
      change: suggestedChange(reason, inputs.tier, inputs.evidence)?.text ?? null,
      at: at?.(inputs) ?? null,
      by: by?.(inputs) ?? [],
      settings,
    };
  });
  const ordered = facts.toSorted((one, other) => compare(one.at_most, other.at_most));
  const waits_for = awaited(inputs.review);
  const liveness = heard(inputs.last_seen_at, now, policy);
  return {
    trust_tier,
    answers: [
      { question: 'expected', standing: expectation(inputs), text: sentences(ordered, 'identity') },
      {
        question: 'trusted',
        standing: tierStandings[trust_tier],
        text: `It is ${trust_tier}. ${sentences(grounds(ordered))}`,
      },
      { question: 'certificate', standing: validity(ordered), text: sentences(ordered, 'certificate') },
      waitingAnswer(inputs, ordered, waits_for, liveness.state),
    ],
    facts: ordered,
    waits_for,
    liveness,
    settings: [...new Set([...ordered.flatMap(({ settings }) => settings), ...livenessSettings])],
  };
}

/** What is known of the certificate and bounds nothing. */
function plainFactsOf({ tier }: ExplanationInputs, now: string, policy: ExplanationPolicy): readonly FactName[] {
  if (tier.pinned_not_after === null) return tier.pinned_revoked ? [] : ['certificate.none'];
  const { expired, rotation } = certificateLife(tier.pinned_not_after, now, policy);
  if (expired || tier.pinned_revoked) return [];
  return rotation === 'none' ? ['certificate.valid'] : ['certificate.valid', 'certificate.rotation'];
}

function awaited(review: OpenReview | null): AwaitedPeople | null {
  if (review === null) return null;
  const { id, kind, required, voters, permission, expires_at } = review;
  const missing = Math.max(required - voters.length, 0);
  const roles = [...permissions[permission].roles, 'admin'];
  const who = `${missing} ${voters.length === 0 ? '' : 'more '}${missing === 1 ? 'person' : 'people'}`;
  const text =
    missing === 0
      ? `Enough people have approved its ${kind}; the decision is being recorded.`
      : `Its ${kind} waits for ${who} with the permission ${permission} (${listed(roles, 'or')}), until ${moment(expires_at)}.`;
  return { review: id, kind, required, missing, voters, permission, roles, expires_at, text };
}

const tierStandings: Record<TrustTier, Standing> = {
  trusted: 'good',
  monitored: 'good',
  observed: 'watch',
  restricted: 'bad',
  revoked: 'bad',
};

/** What decides; that people have approved is no ground where something else holds the tier down as well. */
function grounds(facts: readonly ExplainedFact[]): readonly ExplainedFact[] {
  const deciding = facts.filter(({ decides }) => decides);
  const others = deciding.filter(({ reason }) => reason !== 'identity.approved');
  return others.length === 0 || others.some(({ change }) => change === null) ? deciding : others;
}

function sentences(facts: readonly ExplainedFact[], about?: ExplainedSubject): string {
  return facts
    .filter((fact) => about === undefined || fact.about === about)
    .map(({ text }) => text)
    .join(' ');
}

function expectation({ tier: { grant } }: ExplanationInputs): Standing {
  switch (grant?.state ?? 'pending') {
    case 'approved':
      return grant?.tier === 'trusted' || grant?.tier === 'monitored' ? 'good' : 'watch';
    case 'pending':
    case 'expired':
      return 'watch';
    case 'rejected':
    case 'retired':
      return 'bad';
  }
}

function validity(facts: readonly ExplainedFact[]): Standing {
  const has = (...names: readonly FactName[]) => facts.some(({ reason }) => names.includes(reason));
  if (has('certificate.revoked', 'certificate.expired')) return 'bad';
  if (has('certificate.rotation')) return 'watch';
  return has('certificate.none') ? 'none' : 'good';
}

/** People first; without them what holds the tier down and is the device's to change; else nobody. */
function waitingAnswer(
  { tier: { grant }, evidence: known }: ExplanationInputs,
  facts: readonly ExplainedFact[],
  waits_for: AwaitedPeople | null,
  liveness: Liveness,
): ExplainedAnswer {
  const question = 'waiting';
  if (waits_for !== null) return { question, standing: 'watch', text: waits_for.text };
  const state = grant?.state ?? 'pending';
  if (state === 'pending') return { question, standing: 'watch', text: 'Its review is about to be opened.' };
  if (state === 'rejected' || state === 'retired') {
    return { question, standing: 'none', text: 'Nobody: this is final until somebody resets it.' };
  }
  const asked = evidenceAsked(known);
  const open = facts.filter(
    ({ reason }) => ofTheDevice.includes(reason) && (asked || reason !== 'attestation.missing'),
  );
  if (open.length === 0 && !asked && facts.some(({ reason }) => reason === 'attestation.missing'))
    return { question, standing: 'watch', text: missingEvidence(known) };
  if (open.length === 0) return { question, standing: 'none', text: 'Nobody: there is nothing to decide.' };
  const silence = liveness === 'online' ? '' : ' None of its heartbeats is accepted at present.';
  return {
    question,
    standing: 'watch',
    text: `The device: ${open.map(({ reason }) => deviceDuties[reason]).join(' ')}${silence}`,
  };
}

const deviceDuties: Partial<Record<FactName, string>> = {
  'identity.expired': 'its next heartbeat opens a new review.',
  'certificate.revoked': 'it has to present a new certificate.',
  'certificate.expired': 'it has to present a new certificate.',
  'certificate.rotation': 'it should present a new certificate.',
  'attestation.failed': 'it has to give evidence that fits.',
  'attestation.missing': 'it has to answer its challenge.',
  'attestation.stale': 'it has to answer its challenge.',
};
const ofTheDevice = Object.keys(deviceDuties) as readonly FactName[];

const livenessSettings = ['SENTINEL_DEVICE_STALE_SECONDS', 'SENTINEL_DEVICE_OFFLINE_SECONDS'] as const;

function heard(last_seen_at: string | null, now: string, policy: LivenessPolicy): Explanation['liveness'] {
  const state = livenessOf(last_seen_at, now, policy);
  return { state, text: livenessText(state, last_seen_at, policy), last_seen_at };
}

function livenessText(state: Liveness, last_seen_at: string | null, policy: LivenessPolicy): string {
  const harmless = 'That does not change its tier.';
  if (last_seen_at === null) return `It has never been heard. ${harmless}`;
  switch (state) {
    case 'online':
      return 'It reports on time. How punctual it is never changes its tier.';
    case 'stale':
      return `No heartbeat was accepted for longer than ${policy.SENTINEL_DEVICE_STALE_SECONDS} s: its agent has stopped, cannot reach this server, or is refused. ${harmless}`;
    case 'offline':
      return `No heartbeat was accepted for longer than ${policy.SENTINEL_DEVICE_OFFLINE_SECONDS} s. ${harmless}`;
  }
}

function approvedText({ approved_at, approvers }: ExplanationInputs): string {
  const when = approved_at === null ? '' : ` on ${moment(approved_at)}`;
  if (approvers.length > 0) return `${listed(approvers)} approved it${when}.`;
  return approved_at === null
    ? 'It is approved.'
    : `It was approved without a vote${when}, in an open enrollment window.`;
}

/** Less trust first. */
function compare(one: TrustTier, other: TrustTier): number {
  if (one === other) return 0;
  return lowestTier([one, other]) === one ? -1 : 1;
}
