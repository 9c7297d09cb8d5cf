// Whether the installation is ready: each check with what it found.
import { useQuery } from '@tanstack/react-query';
import { createLazyRoute } from '@tanstack/react-router';
import { useServices } from '../data/services.tsx';
import { HealthBadge } from '../parts/badges.tsx';
import { Freshness } from '../parts/freshness.tsx';
import { Loading, Page, Panel } from '../parts/page.tsx';
import { ProblemAlert } from '../parts/problem.tsx';
import { plainName } from '../words/names.ts';
import classes from './health.module.css';

export const healthRoute = createLazyRoute('/signed-in/health')({ component: Health });

const verdicts = {
  ok: 'Everything works.',
  degraded: 'It works in part: heartbeats are answered, and what cannot be done now is caught up with later.',
  failed: 'It is not ready. What needs the failed parts is refused until they are back.',
} as const;

function Health() {
  const { queries } = useServices();
  const ready = useQuery(queries.ready());
  const live = useQuery(queries.live());
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
          <Panel title="Checks" flush>
            <ul className={classes['checks']}>
              {Object.entries(ready.data.checks).map(([name, check]) => (
                <li key={name}>
                  <strong>{plainName(name)}</strong>
                  <HealthBadge status={check.status} />
                  <span>{check.detail}</span>
                </li>
              ))}
            </ul>
          </Panel>
        </>
      )}
    </Page>
  );
}
