// How many certificates end when, as a picture above the list: each bar is the filter for what it counts.
import type { CertificateListQuery, CertificatePlan } from '#contracts/http/certificates.ts';
import { planPeriods, type PlanPeriod } from '#contracts/states.ts';
import { Button, VisuallyHidden } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useServices } from '../../data/services.tsx';
import { Loading, Panel } from '../../parts/page.tsx';
import { ProblemAlert } from '../../parts/problem.tsx';
import tones from '../../parts/tones.module.css';
import type { CertificatesSearch } from '../../search.ts';
import { plannedPeriods, type PlannedPeriod } from '../../words/plan.ts';
import classes from './expiry-plan.module.css';

interface ExpiryPlanProps {
  readonly search: CertificatesSearch;
  readonly onChange: (by: PlanPeriod) => void;
}

const byWords: Record<PlanPeriod, string> = { week: 'Weeks', month: 'Months' };

export function ExpiryPlan({ search, onChange }: ExpiryPlanProps) {
  const by = search.plan ?? 'week';
  const { queries } = useServices();
  const plan = useQuery(queries.certificatePlan(by));
  return (
    <Panel
      title="When they end"
      actions={
        <div className={classes['periods']} role="group" aria-label="Periods of the plan" data-print="hide">
          {planPeriods.map((period) => (
            <Button
              key={period}
              size="compact-sm"
              variant={period === by ? 'light' : 'subtle'}
              color={period === by ? 'brand' : 'gray'}
              aria-pressed={period === by}
              onClick={() => onChange(period)}
            >
              {byWords[period]}
            </Button>
          ))}
        </div>
      }
    >
      {plan.error !== null && plan.data === undefined && (
        <ProblemAlert error={plan.error} title="The plan was not counted" onRetry={() => void plan.refetch()} />
      )}
      {plan.error === null && plan.data === undefined && <Loading rows={4} label="Reading the plan" />}
      {plan.data !== undefined && <Chart plan={plan.data} search={search} />}
    </Panel>
  );
}

interface Flag {
  readonly label: string;
  readonly count: number;
  readonly tone: 'bad' | 'watch' | 'info';
  readonly filter: CertificateListQuery;
}

function flagsOf({ expired, expiring_soon, rotation }: CertificatePlan): readonly Flag[] {
  return [
    { label: 'Expired', count: expired, tone: 'bad', filter: { expired: true } },
    { label: 'Rotation required', count: rotation.required, tone: 'bad', filter: { rotation: 'required' } },
    { label: 'Rotation recommended', count: rotation.recommended, tone: 'watch', filter: { rotation: 'recommended' } },
    { label: 'Expiring soon', count: expiring_soon, tone: 'watch', filter: { expiring_soon: true } },
  ];
}

function Chart({ plan, search }: { readonly plan: CertificatePlan; readonly search: CertificatesSearch }) {
  const periods = plannedPeriods(plan);
  // What ends far away is most of a fleet as a rule, and would make all the rest look like nothing.
  const near = Math.max(...periods.slice(0, -1).map(({ certificates }) => certificates));
  const most = near > 0 ? near : Math.max(1, ...periods.map(({ certificates }) => certificates));
  return (
    <figure className={classes['figure']}>
      <ul className={classes['flags']} aria-label="Pinned certificates by urgency">
        {flagsOf(plan).map(({ label, count, tone, filter }) => (
          <li key={label}>
            <Link
              to="/certificates"
              search={{ ...viewOf(search), ...filter, role: 'pinned' }}
              className={`${classes['flag']} ${tones[count > 0 ? tone : 'quiet']}`}
            >
              <strong>{count.toLocaleString()}</strong> {label}
            </Link>
          </li>
        ))}
      </ul>
      <ol className={classes['bars']} aria-label={`Pinned certificates by the ${plan.by} in which they end`}>
        {periods.map((period) => (
          <li key={period.label + period.from} data-empty={period.certificates === 0}>
            <Bar period={period} most={most} search={search} />
          </li>
        ))}
      </ol>
      <figcaption className={classes['legend']}>
        <Swatch kind="required" label="Rotation required" />
        <Swatch kind="recommended" label="Rotation recommended" />
        <Swatch kind="none" label="Not needed yet" />
        <span className={classes['zone']}>{byNote[plan.by]}</span>
      </figcaption>
    </figure>
  );
}

const byNote: Record<PlanPeriod, string> = {
  week: 'Weeks begin on Monday, in UTC.',
  month: 'Months are those of UTC.',
};

interface BarProps {
  readonly period: PlannedPeriod;
  readonly most: number;
  readonly search: CertificatesSearch;
}

function Bar({ period, most, search }: BarProps) {
  const { certificates, rotation, label, sentence, filter } = period;
  const picture = (
    <>
      <VisuallyHidden>{sentence}</VisuallyHidden>
      <span className={classes['count']} aria-hidden>
        {compact.format(certificates)}
      </span>
      <span className={classes['track']} aria-hidden>
        <span
          className={classes['bar']}
          data-cut={certificates > most}
          style={{ '--share': Math.min(1, certificates / most) } as React.CSSProperties}
        >
          {(['none', 'recommended', 'required'] as const).map((advice) =>
            rotation[advice] === 0 ? null : (
              <span key={advice} className={classes[advice]} style={{ flexGrow: rotation[advice] / certificates }} />
            ),
          )}
        </span>
      </span>
      <span className={classes['label']} aria-hidden>
        {label}
      </span>
    </>
  );
  if (certificates === 0) return <span className={classes['period']}>{picture}</span>;
  const isChosen = barFilters.every((name) => search[name] === filter[name]);
  return (
    <Link
      to="/certificates"
      search={{ ...viewOf(search), ...(isChosen ? {} : filter) }}
      className={classes['period']}
      // The link of the chosen one leads to the list without it, which the router would call where we are.
      activeOptions={{ exact: true }}
      aria-current={isChosen ? 'true' : undefined}
      title={sentence}
    >
      {picture}
    </Link>
  );
}

/** What a bar sets or clears. */
const barFilters = [
  'role',
  'expired',
  'not_after_from',
  'not_after_before',
  'rotation',
  'expiring_soon',
] as const satisfies readonly (keyof CertificatesSearch)[];

const viewOf = ({ plan }: CertificatesSearch): CertificatesSearch => (plan === undefined ? {} : { plan });

const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });

function Swatch({ kind, label }: { readonly kind: 'none' | 'recommended' | 'required'; readonly label: string }) {
  return (
    <span className={classes['key']}>
      <span className={`${classes['swatch']} ${classes[kind]}`} aria-hidden />
      {label}
    </span>
  );
}
