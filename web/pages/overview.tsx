// Where things stand: the fleet in numbers, what waits, what needs attention, and the next step.
import type { ApprovalList } from '#contracts/http/approvals.ts';
import type { DeviceCounts } from '#contracts/http/devices.ts';
import { livenessStates, trustTiers } from '#contracts/states.ts';
import { Group } from '@mantine/core';
import { IconArrowRight, IconCircleCheck, IconDevices } from '@tabler/icons-react';
import { useQuery, type UseQueryResult } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useBarrier, useMe, useServices } from '../data/services.tsx';
import { tierIcons } from '../parts/badges.tsx';
import { Command } from '../parts/copy.tsx';
import { Freshness } from '../parts/freshness.tsx';
import { Moment } from '../parts/moment.tsx';
import { Loading, Nothing, Page, Panel } from '../parts/page.tsx';
import { ProblemAlert } from '../parts/problem.tsx';
import tones from '../parts/tones.module.css';
import { WaitingPanel } from '../parts/waiting.tsx';
import { actionTitle } from '../words/actions.ts';
import { counted } from '../words/names.ts';
import { livenessWords, tierWords } from '../words/states.ts';
import { attentionFor, working, type Attention } from '../words/attention.ts';
import classes from './overview.module.css';
import { LinkButton } from '../parts/link-button.tsx';

export function Overview() {
  const me = useMe();
  const { queries } = useServices();
  const mayRead = useBarrier('device.read') === null;
  const fleet = useQuery({ ...queries.deviceCounts({}), enabled: mayRead });
  const approved = useQuery({ ...queries.deviceCounts(working), enabled: mayRead });
  const waiting = useQuery({ ...queries.waiting(), enabled: useBarrier('approval.read') === null });
  const attention = approved.data && attentionFor(approved.data);

  return (
    <Page
      title="Overview"
      description={`Signed in as ${me.username} (${me.roles.join(', ') || 'no role'}), project ${me.project}.`}
      actions={<Freshness query={fleet} />}
    >
      {fleet.data !== undefined && attention !== undefined && (
        <NextStep devices={fleet.data.matching} attention={attention} waiting={waiting.data} />
      )}
      {fleet.data === undefined && fleet.error !== null && (
        <ProblemAlert error={fleet.error} title="The fleet was not counted" onRetry={() => void fleet.refetch()} />
      )}
      {fleet.isLoading && (
        <Panel title="Fleet" flush>
          <Loading label="Reading the fleet" rows={3} />
        </Panel>
      )}
      {fleet.data !== undefined && fleet.data.matching > 0 && <Numbers counts={fleet.data} />}
      <div className={classes['columns']}>
        <div>
          <WaitingPanel />
          <AttentionPanel query={approved} attention={attention} />
        </div>
        <div>
          <LatestPanel />
        </div>
      </div>
    </Page>
  );
}

interface NextStepProps {
  readonly devices: number;
  readonly attention: readonly Attention[];
  readonly waiting: ApprovalList | undefined;
}

function NextStep({ devices, attention, waiting }: NextStepProps) {
  const barrier = useBarrier('identity.review');
  if (devices === 0) {
    return (
      <Panel title="Next step">
        <Nothing icon={IconDevices} title="No device has been heard yet">
          <p>Issue a certificate, start the agent with it, and approve its first heartbeat here.</p>
          <Command line="npx --no-install sentinel ca issue my-device --out my-device" />
        </Nothing>
      </Panel>
    );
  }
  const reviews = waiting?.items.length ?? 0;
  if (reviews > 0) {
    const count = `${reviews}${(waiting?.next_cursor ?? null) === null ? '' : ' and more'}`;
    return (
      <div className={classes['next']} data-tone="watch">
        <div>
          <strong>{reviews === 1 ? 'One review waits' : `${count} reviews wait`} for a decision</strong>
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
  const [first] = attention;
  if (first !== undefined) {
    return (
      <div className={classes['next']} data-tone={first.tone}>
        <div>
          <strong>
            {first.title}: {counted(first.devices, 'device')}
          </strong>
          <span>Nothing waits for a decision. {first.advice}</span>
        </div>
        <Link to="/dashboard" search={first.filter} className={classes['more']}>
          Show {first.devices === 1 ? 'it' : 'them'}
        </Link>
      </div>
    );
  }
  return (
    <div className={classes['next']} data-tone="good">
      <div>
        <strong>Nothing waits for you</strong>
        <span>No review is open, and every approved device is as it should be.</span>
      </div>
      <LinkButton to="/dashboard" variant="default">
        See the fleet
      </LinkButton>
    </div>
  );
}

function Numbers({ counts }: { readonly counts: DeviceCounts }) {
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
                <span className={classes['number']}>{counts.trust_tier[tier].toLocaleString()}</span>
                <span className={classes['meaning']}>{tierWords[tier].meaning}</span>
              </Link>
            </li>
          );
        })}
      </ul>
      <Group gap="xs" className={classes['liveness'] ?? ''}>
        <span>{counted(counts.matching, 'device')}:</span>
        {livenessStates.map((liveness) => (
          <Link key={liveness} to="/dashboard" search={{ liveness }} className={classes['live']}>
            {counts.liveness[liveness].toLocaleString()} {livenessWords[liveness].label.toLowerCase()}
          </Link>
        ))}
      </Group>
    </section>
  );
}

interface AttentionPanelProps {
  readonly query: Pick<UseQueryResult, 'error' | 'refetch'>;
  readonly attention: readonly Attention[] | undefined;
}

function AttentionPanel({ query, attention }: AttentionPanelProps) {
  return (
    <Panel title="Not as it should be" flush>
      {attention === undefined &&
        (query.error === null ? (
          <Loading rows={3} label="Reading what is wrong" />
        ) : (
          <ProblemAlert error={query.error} onRetry={() => void query.refetch()} />
        ))}
      {attention !== undefined && attention.length === 0 && (
        <Nothing icon={IconCircleCheck} title="Nothing">
          Every approved device reports on time with a valid certificate.
        </Nothing>
      )}
      {attention !== undefined && attention.length > 0 && (
        <ul className={classes['attention']}>
          {attention.map(({ title, advice, tone, devices, filter }) => (
            <li key={title}>
              <strong className={tones[tone]}>{devices.toLocaleString()}</strong>
              <span>
                <Link to="/dashboard" search={filter}>
                  {title}
                </Link>
                <small>{advice}</small>
              </span>
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
                {actionTitle(event.action)}
                {/* Some actions say it themselves. */}
                {event.outcome !== 'success' && !event.action.endsWith(event.outcome) && ` (${event.outcome})`}
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
