// How many devices have each tier; each count is the filter for it.
import type { DeviceCounts } from '#contracts/http/devices.ts';
import { trustTiers, type TrustTier } from '#contracts/states.ts';
import { tierIcons } from '../../parts/badges.tsx';
import tones from '../../parts/tones.module.css';
import { tierWords } from '../../words/states.ts';
import classes from './tier-counts.module.css';

interface TierCountsProps {
  /** Undefined while they are not known; the filters work without. */
  readonly counts: DeviceCounts['trust_tier'] | undefined;
  readonly chosen: TrustTier | undefined;
  readonly onChoose: (tier: TrustTier | undefined) => void;
}

export function TierCounts({ counts, chosen, onChoose }: TierCountsProps) {
  const all = counts && Object.values(counts).reduce((sum, count) => sum + count, 0);
  return (
    <div className={classes['counts']} role="group" aria-label="Filter by trust tier" data-print="hide">
      <button type="button" aria-pressed={chosen === undefined} onClick={() => onChoose(undefined)}>
        All <Count count={all} />
      </button>
      {trustTiers.toReversed().map((tier) => {
        const TierIcon = tierIcons[tier];
        return (
          <button
            key={tier}
            type="button"
            aria-pressed={chosen === tier}
            title={tierWords[tier].meaning}
            onClick={() => onChoose(chosen === tier ? undefined : tier)}
          >
            <TierIcon size={16} aria-hidden className={`${classes['icon']} ${tones[tierWords[tier].tone]}`} />
            {tierWords[tier].label} <Count count={counts?.[tier]} />
          </button>
        );
      })}
    </div>
  );
}

const Count = ({ count }: { readonly count: number | undefined }) => (
  <strong>{count === undefined ? <span aria-label="not counted">–</span> : count.toLocaleString()}</strong>
);
