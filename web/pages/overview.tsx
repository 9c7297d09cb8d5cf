// Where things stand: the fleet in numbers, what waits, what needs attention, and the next step.
import { trustTiers } from '#contracts/states.ts';
import { Group } from '@mantine/core';
import { IconArrowRight, IconCircleCheck, IconDevices } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { summaryLimit } from '../data/queries.ts';
import { useBarrier, useMe, useServices } from '../data/services.tsx';
import { tierIcons, TierBadge } from '../parts/badges.tsx';
import { Command } from '../parts/copy.tsx';
import { Freshness } from '../parts/freshness.tsx';
import { Moment } from '../parts/moment.tsx';
import { Loading, Nothing, Page, Panel } from '../parts/page.tsx';
import { ProblemAlert } from '../parts/problem.tsx';
import tones from '../parts/tones.module.css';
import { WaitingPanel } from '../parts/waiting.tsx';
import { counted, plainName } from '../words/names.ts';
import { livenessWords, tierWords } from '../words/states.ts';
import { summarize, type FleetSummary } from '../words/summary.ts';
import classes from './overview.module.css';
import { LinkButton } from '../parts/link-button.tsx';

export function Overview() {
  const me = useMe();
  const { queries } = useServices();
  const fleet = useQuery(queries.deviceSummary());
  const waiting = useQuery({ ...queries.waiting(), enabled: useBarrier('approval.read') === null });

  if (fleet.data === undefined) {
    return (
      <Page title="Overview">
        {fleet.error === null ? (
          <Panel title="Fleet" flush>
            <Loading label="Reading the fleet" />
          </Panel>
        ) : (
          <ProblemAlert error={fleet.error} onRetry={() => void fleet.refetch()} />
        )}
      </Page>
    );
  }

  const summary = summarize(fleet.data.items);
  const isPart = fleet.data.next_cursor !== null;
  return (
    <Page
      title="Overview"
      description={`Signed in as ${me.username} (${me.roles.join(', ') || 'no role'}), project ${me.project}.`}
      actions={<Freshness query={fleet} />}
    >
      <NextStep summary={summary} waiting={waiting.data?.items.length ?? 0} />
      {summary.total > 0 && <Numbers summary={summary} isPart={isPart} />}
      <div className={classes['columns']}>
        <div>
          <WaitingPanel />
          <LatestPanel />
        </div>
        <div>
          <AttentionPanel summary={summary} />
        </div>
      </div>
    </Page>
  );
}

function NextStep({ summary, waiting }: { readonly summary: FleetSummary; readonly waiting: number }) {
  const barrier = useBarrier('identity.review');
  if (summary.total === 0) {
    return (
      <Panel title="Next step">
        <Nothing icon={IconDevices} title="No device has been heard yet">
          <p>Issue a certificate, start the agent with it, and approve its first heartbeat here.</p>
          <Command line="npx --no-install sentinel ca issue my-device --out my-device" />
        </Nothing>
      </Panel>
    );
  }
  if (waiting > 0) {
    return (
      <div className={classes['next']} data-tone="watch">
        <div>
          <strong>{waiting === 1 ? 'One review waits' : `${waiting} reviews wait`} for a decision</strong>
          <span>
            {barrier === null
              ? 'See exactly what is asked, then approve or reject.'
              : 'Somebody with the role approver, security or admin has to decide.'}
          </span>
        </div>
        <LinkButton to="/approvals" rightSection={<IconArrowRight size={16} aria-hidden />}>
          Open the queue
        </LinkButton>
      </div>
    );
  }
  if (summary.attention.length > 0) {
    return (
      <div className={classes['next']}>
        <div>
          <strong>{counted(summary.attention.length, 'device needs', 'devices need')} a look</strong>
          <span>Nothing waits for a decision. The devices below are not as they should be.</span>
        </div>
      </div>
    );
  }
  return (
    <div className={classes['next']} data-tone="good">
      <div>
        <strong>Nothing waits for you</strong>
        <span>No review is open, and every device is as it should be.</span>
      </div>
      <LinkButton to="/dashboard" variant="default">
        See the fleet
      </LinkButton>
    </div>
  );
}

function Numbers({ summary, isPart }: { readonly summary: FleetSummary; readonly isPart: boolean }) {
  return (
    <section aria-label="Fleet in numbers">
      <ul className={classes['tiers']}>
        {trustTiers.toReversed().map((tier) => {
          const TierIcon = tierIcons[tier];
          return (
            <li key={tier}>
              <Link to="/dashboard" search={{ trust_tier: tier }} className={classes['tier']}>
                <span className={`${classes['tierName']} ${tones[tierWords[tier].tone]}`}>
                  <TierIcon size={17} aria-hidden />
                  {tierWords[tier].label}
                </span>
                <span className={classes['number']}>{summary.tiers[tier].toLocaleString()}</span>
                <span className={classes['meaning']}>{tierWords[tier].meaning}</span>
              </Link>
            </li>
          );
        })}
      </ul>
      <Group gap="xs" className={classes['liveness'] ?? ''}>
        <span>{isPart ? `The first ${summaryLimit} devices:` : `${counted(summary.total, 'device')}:`}</span>
        {(['online', 'stale', 'offline'] as const).map((liveness) => (
          <Link key={liveness} to="/dashboard" search={{ liveness }} className={classes['live']}>
            {summary.liveness[liveness].toLocaleString()} {livenessWords[liveness].label.toLowerCase()}
          </Link>
        ))}
      </Group>
    </section>
  );
}

const shownAttention = 8;

function AttentionPanel({ summary }: { readonly summary: FleetSummary }) {
  const { attention } = summary;
  return (
    <Panel title="Needs attention" flush aside={attention.length > 0 && <span>{attention.length}</span>}>
      {attention.length === 0 ? (
        <Nothing icon={IconCircleCheck} title="Nothing">
          Every approved device reports on time with a valid certificate.
        </Nothing>
      ) : (
        <ul className={classes['list']}>
          {attention.slice(0, shownAttention).map(({ device, why }) => (
            <li key={device.device_id}>
              <Link to="/devices/$deviceId" params={{ deviceId: device.device_id }}>
                {device.device_id}
              </Link>
              <span>{why}</span>
              <TierBadge tier={device.trust_tier} plain />
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

function LatestPanel() {
  const { queries } = useServices();
  const mayRead = useBarrier('audit.read') === null;
  const latest = useQuery({ ...queries.audit({ limit: 7, order: 'newest' }), enabled: mayRead });
  if (!mayRead) return null;
  return (
    <Panel
      title="Latest events"
      flush
      actions={
        <Link to="/audit" className={classes['more']}>
          Audit trail
        </Link>
      }
    >
      {latest.data === undefined ? (
        latest.error === null ? (
          <Loading rows={4} label="Reading the latest events" />
        ) : (
          <ProblemAlert error={latest.error} onRetry={() => void latest.refetch()} />
        )
      ) : (
        <ul className={classes['list']}>
          {latest.data.items.map((event) => (
            <li key={event.sequence}>
              <span className={classes['what']}>
                {plainName(event.action)}
                {event.outcome !== 'success' && ` (${event.outcome})`}
              </span>
              <span>
                {event.subject.id.slice(0, 24)}
                {event.subject.id !== event.actor.id && ` by ${event.actor.id}`}
              </span>
              <Moment at={event.occurred_at} />
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
