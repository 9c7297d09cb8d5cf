// States as an icon and a word, so that colour alone never carries them.
import type { VerdictOutcome } from '#contracts/attestation.ts';
import type {
  ApprovalState,
  AttestationState,
  DeviceApprovalState,
  Liveness,
  Outcome,
  RotationAdvice,
  TrustTier,
} from '#contracts/states.ts';
import {
  IconAlertTriangle,
  IconBan,
  IconCircle,
  IconCircleCheck,
  IconCircleDashed,
  IconCircleFilled,
  IconCircleHalf2,
  IconCircleX,
  IconClock,
  IconEye,
  IconHelpCircle,
  IconHourglassOff,
  IconMinus,
  IconRefreshAlert,
  IconShieldCheck,
  IconShieldExclamation,
  IconShieldHalf,
  IconShieldX,
  type Icon,
} from '@tabler/icons-react';
import {
  approvalWords,
  attestationWords,
  deviceApprovalWords,
  healthWords,
  livenessWords,
  outcomeWords,
  rotationWords,
  tierWords,
  verdictWords,
  type StateWords,
} from '../words/states.ts';
import classes from './badges.module.css';
import tones from './tones.module.css';

interface BadgeProps {
  readonly words: StateWords;
  readonly icon: Icon;
  readonly large?: boolean;
  /** Without a background, for tables where it would be too much. */
  readonly plain?: boolean;
}

function StateBadge({ words, icon: StateIcon, large = false, plain = false }: BadgeProps) {
  const names = [classes['badge'], tones[words.tone], large && classes['large'], plain && classes['plain']];
  return (
    <span className={names.filter(Boolean).join(' ')} title={words.meaning}>
      <StateIcon size={large ? 17 : 14} stroke={2} aria-hidden />
      {words.label}
    </span>
  );
}

export const tierIcons: Record<TrustTier, Icon> = {
  trusted: IconShieldCheck,
  monitored: IconShieldHalf,
  observed: IconEye,
  restricted: IconShieldExclamation,
  revoked: IconShieldX,
};

const deviceApprovalIcons: Record<DeviceApprovalState, Icon> = {
  approved: IconCircleCheck,
  pending: IconClock,
  rejected: IconCircleX,
  expired: IconHourglassOff,
};

const livenessIcons: Record<Liveness, Icon> = {
  online: IconCircleFilled,
  stale: IconCircleHalf2,
  offline: IconCircleDashed,
};

const attestationIcons: Record<AttestationState, Icon> = {
  verified: IconCircleCheck,
  not_required: IconMinus,
  challenged: IconHelpCircle,
  stale: IconClock,
  failed: IconCircleX,
};

const approvalIcons: Record<ApprovalState, Icon> = {
  open: IconClock,
  deciding: IconCircleHalf2,
  approved: IconCircleCheck,
  rejected: IconCircleX,
  expired: IconHourglassOff,
  cancelled: IconCircle,
};

const outcomeIcons: Record<Outcome, Icon> = { success: IconCircleCheck, refused: IconBan, failed: IconAlertTriangle };

type Size = Pick<BadgeProps, 'large' | 'plain'>;

export const TierBadge = ({ tier, ...size }: { tier: TrustTier } & Size) => (
  <StateBadge words={tierWords[tier]} icon={tierIcons[tier]} {...size} />
);

export const DeviceApprovalBadge = ({ state, ...size }: { state: DeviceApprovalState } & Size) => (
  <StateBadge words={deviceApprovalWords[state]} icon={deviceApprovalIcons[state]} {...size} />
);

export const LivenessBadge = ({ liveness, ...size }: { liveness: Liveness } & Size) => (
  <StateBadge words={livenessWords[liveness]} icon={livenessIcons[liveness]} {...size} />
);

export const AttestationBadge = ({ state, ...size }: { state: AttestationState } & Size) => (
  <StateBadge words={attestationWords[state]} icon={attestationIcons[state]} {...size} />
);

const verdictIcons: Record<VerdictOutcome, Icon> = {
  verified: IconCircleCheck,
  unproven: IconHelpCircle,
  refused: IconCircleX,
};

export const VerdictBadge = ({ outcome, ...size }: { outcome: VerdictOutcome } & Size) => (
  <StateBadge words={verdictWords[outcome]} icon={verdictIcons[outcome]} {...size} />
);

export const ApprovalBadge = ({ state, ...size }: { state: ApprovalState } & Size) => (
  <StateBadge words={approvalWords[state]} icon={approvalIcons[state]} {...size} />
);

export const OutcomeBadge = ({ outcome, ...size }: { outcome: Outcome } & Size) => (
  <StateBadge words={outcomeWords[outcome]} icon={outcomeIcons[outcome]} {...size} />
);

export const HealthBadge = ({ status, ...size }: { status: 'ok' | 'degraded' | 'failed' } & Size) => (
  <StateBadge
    words={healthWords[status]}
    icon={{ ok: IconCircleCheck, degraded: IconAlertTriangle, failed: IconCircleX }[status]}
    {...size}
  />
);

export const RotationBadge = ({ advice, ...size }: { advice: RotationAdvice } & Size) =>
  advice === 'none' ? null : <StateBadge words={rotationWords[advice]} icon={IconRefreshAlert} {...size} />;

export const NoteBadge = ({ tone, label, meaning, icon = IconAlertTriangle }: StateWords & { icon?: Icon }) => (
  <StateBadge words={{ tone, label, meaning }} icon={icon} />
);

/** Tags that people assigned stand out from those that the device says of itself. */
export function Tags({ reported, assigned, limit = Infinity }: TagsProps) {
  const all = [
    ...assigned.map((tag) => ({ tag, isAssigned: true })),
    ...reported.filter((tag) => !assigned.includes(tag)).map((tag) => ({ tag, isAssigned: false })),
  ];
  if (all.length === 0) return <span className={classes['more']}>None</span>;
  const hidden = all.slice(limit);
  return (
    <span className={classes['tags']}>
      {all.slice(0, limit).map(({ tag, isAssigned }) => (
        <span
          key={tag}
          className={classes['tag']}
          data-assigned={isAssigned}
          title={`${tag}: ${isAssigned ? 'assigned by people' : 'reported by the device'}`}
        >
          {tag}
        </span>
      ))}
      {hidden.length > 0 && (
        <span className={classes['more']} title={hidden.map(({ tag }) => tag).join(', ')}>
          +{hidden.length}
        </span>
      )}
    </span>
  );
}

interface TagsProps {
  readonly reported: readonly string[];
  readonly assigned: readonly string[];
  readonly limit?: number;
}
