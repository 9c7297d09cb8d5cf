// Whether the installation is ready: the parts and how they hang together, and each check with what to do about it.
import type { Ready } from '#contracts/http/health.ts';
import { useQuery } from '@tanstack/react-query';
import { createLazyRoute } from '@tanstack/react-router';
import { useBarrier, useServices } from '../data/services.tsx';
import { HealthBadge } from '../parts/badges.tsx';
import { Freshness } from '../parts/freshness.tsx';
import { Loading, Page, Panel } from '../parts/page.tsx';
import { ProblemAlert } from '../parts/problem.tsx';
import { partWords, wordsOfCheck, type PartName } from '../words/health.ts';
import classes from './health.module.css';

export const healthRoute = createLazyRoute('/signed-in/health')({ component: Health });

const verdicts = {
  ok: 'Everything works.',
  degraded: 'It works in part: heartbeats are answered, and what cannot be done now is caught up with later.',
  failed: 'It is not ready. What needs the failed parts is refused until they are back.',
} as const;

type Status = Ready['status'];

function Health() {
  const { queries } = useServices();
  const ready = useQuery(queries.ready());
  const live = useQuery(queries.live());
  // Only who may know is told why, and only what is not well has a reason.
  const mayKnow = useBarrier('health.read') === null;
  const isUnwell = ready.data !== undefined && ready.data.status !== 'ok';
  const why = useQuery(queries.reasons(mayKnow && isUnwell));
  return (
    <Page
      title="Health"
      description={live.data === undefined ? undefined : `Version ${live.data.version}`}
      actions={<Freshness query={ready} />}
    >
      {ready.isPending && (
        <Panel title="Checks" flush>
          <Loading rows={4} label="Reading the checks" />
        </Panel>
      )}
      {ready.error !== null && <ProblemAlert error={ready.error} onRetry={() => void ready.refetch()} />}
      {ready.data !== undefined && (
        <>
          <p className={classes['verdict']} role="status">
            <HealthBadge status={ready.data.status} large />
            <span>{verdicts[ready.data.status]}</span>
          </p>
          <Panel title="Parts">
            <Picture checks={ready.data.checks} />
          </Panel>
          <Panel title="Checks" flush>
            <ul className={classes['checks']}>
              {Object.entries(ready.data.checks).map(([name, check]) => (
                <li key={name}>
                  <strong>{wordsOfCheck(name).label}</strong>
                  <HealthBadge status={check.status} />
                  <span>
                    {sentence(check.detail)}
                    {check.status !== 'ok' && why.data?.reasons[name] !== undefined && (
                      <code>{why.data.reasons[name]}</code>
                    )}
                    {check.status !== 'ok' && <em>{wordsOfCheck(name).advice}</em>}
                  </span>
                </li>
              ))}
            </ul>
          </Panel>
        </>
      )}
    </Page>
  );
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

const worstFirst: readonly Status[] = ['failed', 'degraded', 'ok'];
const partNames: readonly PartName[] = ['api', 'database', 'temporal', 'worker', 'sealer'];

/** A part is as well as the worst of its checks; one that nothing is known of has none. */
function statusOf(part: PartName, checks: Ready['checks']): Status | undefined {
  const statuses = Object.entries(checks)
    .filter(([name]) => wordsOfCheck(name).part === part)
    .map(([, { status }]) => status);
  if (part === 'api' && statuses.length === 0) return 'ok';
  return worstFirst.find((status) => statuses.includes(status));
}

/** Who talks to whom, with the words of the arrow. */
const arrows: readonly { from: PartName; to: PartName; says: string }[] = [
  { from: 'api', to: 'database', says: 'heartbeats and reads' },
  { from: 'api', to: 'temporal', says: 'news and decisions' },
  { from: 'temporal', to: 'worker', says: 'work' },
  { from: 'worker', to: 'database', says: 'commits' },
  { from: 'sealer', to: 'database', says: 'places in the chain' },
];

function Picture({ checks }: { readonly checks: Ready['checks'] }) {
  return (
    <div className={classes['picture']}>
      <ul aria-label="Parts of the installation">
        {partNames.map((part) => {
          const status = statusOf(part, checks);
          const out = arrows.filter(({ from }) => from === part);
          return (
            <li key={part} data-part={part} data-status={status ?? 'unknown'}>
              <div>
                <strong>{partWords[part].label}</strong>
                {status !== undefined && <HealthBadge status={status} plain />}
              </div>
              <small>{partWords[part].does}</small>
              {out.map(({ to, says }) => (
                <span key={to} className={classes['arrow']} data-to={to}>
                  <span aria-hidden>→ </span>
                  <span className={classes['unseen']}>gives </span>
                  {partWords[to].label}: {says}
                </span>
              ))}
            </li>
          );
        })}
      </ul>
      <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden className={classes['lines']}>
        <path d="M15 25 H85" />
        <path d="M15 25 V75" />
        <path d="M15 75 H50" />
        <path d="M50 75 C50 40 62 25 85 25" />
        <path d="M85 75 V25" />
      </svg>
    </div>
  );
}
