// Everything that happened to a device in one list, the newest first, with what it is doing now at its end.
import type { AuditEvent } from '#contracts/http/audit.ts';
import type { HistoryEntry } from '#contracts/http/devices.ts';
import type { TimelineEntry } from '#contracts/http/timeline.ts';
import { timelineKinds, type TimelineKind } from '#contracts/states.ts';
import { Button } from '@mantine/core';
import {
  IconArrowsExchange,
  IconBan,
  IconCheck,
  IconClock,
  IconDevices,
  IconFileText,
  IconHeartbeat,
  IconHistoryOff,
  IconRotateClockwise,
  IconVolumeOff,
  type Icon,
} from '@tabler/icons-react';
import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useHeld } from '../../data/held.ts';
import { useBarrier, useServices } from '../../data/services.tsx';
import { Barrier } from '../../parts/barrier.tsx';
import { CopyText } from '../../parts/copy.tsx';
import { Fact, Facts, ObjectFacts } from '../../parts/facts.tsx';
import { Freshness } from '../../parts/freshness.tsx';
import { FullMoment, Moment } from '../../parts/moment.tsx';
import { Loading, Nothing, Panel } from '../../parts/page.tsx';
import { ProblemAlert } from '../../parts/problem.tsx';
import tones from '../../parts/tones.module.css';
import { timelineKey, timelineWords } from '../../words/timeline.ts';
import classes from './device-timeline.module.css';
import { Presence } from './presence.tsx';

const kindLabels: Record<TimelineKind, string> = {
  transition: 'Decisions',
  audit: 'Audit',
  heartbeat: 'Heartbeats',
};

interface DeviceTimelineProps {
  readonly deviceId: string;
  readonly kind: TimelineKind | undefined;
  readonly onKind: (kind: TimelineKind | undefined) => void;
}

export function DeviceTimeline({ deviceId, kind, onKind }: DeviceTimelineProps) {
  const { queries } = useServices();
  const barrier = useBarrier('audit.read');
  const isBarred = kind === 'audit' && barrier !== null;
  const timeline = useInfiniteQuery({ ...queries.timeline(deviceId, kind), enabled: !isBarred });
  const held = useHeld(timeline.data, `${kind} ${timeline.data?.pages.length}`);
  const pages = held.shown?.pages ?? [];
  const entries = pages.flatMap((page) => page.items);
  const presence = timeline.data?.pages[0]?.presence;
  return (
    <Panel
      title="Timeline"
      flush
      aside={held.waiting && <span className={classes['held']}>Held while you point at it</span>}
      actions={<Freshness query={timeline} />}
    >
      {presence !== undefined && <Presence presence={presence} />}
      <div className={classes['kinds']} role="group" aria-label="What is shown" data-print="hide">
        {[undefined, ...timelineKinds.toSorted((a, b) => kindLabels[b].localeCompare(kindLabels[a])).toReversed()].map(
          (name) => (
            <Button
              key={name ?? 'all'}
              size="compact-sm"
              variant={name === kind ? 'light' : 'subtle'}
              color={name === kind ? 'brand' : 'gray'}
              aria-pressed={name === kind}
              onClick={() => onKind(name)}
            >
              {name === undefined ? 'Everything' : kindLabels[name]}
            </Button>
          ),
        )}
        {barrier === null && (
          <Link to="/audit" search={{ subject_kind: 'device', subject_id: deviceId }} className={classes['trail']}>
            In the audit trail
          </Link>
        )}
      </div>
      {isBarred && <Barrier text={barrier} />}
      {timeline.isPending && !isBarred && <Loading rows={5} label="Reading the timeline" />}
      {timeline.error !== null && entries.length === 0 && (
        <ProblemAlert error={timeline.error} onRetry={() => void timeline.refetch()} />
      )}
      {timeline.isSuccess && entries.length === 0 && (
        <Nothing icon={IconHistoryOff} title="Nothing of this kind has happened">
          Decisions, audit events and silences of this device are written here. Steady heartbeats are not: they show in
          the strip above.
        </Nothing>
      )}
      {entries.length > 0 && (
        <ol className={classes['entries']} aria-label="What happened, newest first" {...held.pointer}>
          {entries.map((entry) => (
            <Entry key={timelineKey(entry)} entry={entry} />
          ))}
        </ol>
      )}
      {timeline.hasNextPage && (
        <div className={classes['older']}>
          <Button
            variant="default"
            size="compact-md"
            loading={timeline.isFetchingNextPage}
            onClick={() => void timeline.fetchNextPage()}
          >
            Older
          </Button>
        </div>
      )}
    </Panel>
  );
}

function Entry({ entry }: { readonly entry: TimelineEntry }) {
  const { title, text, tone } = timelineWords(entry);
  const EntryIcon = iconOf(entry);
  const { transition, audit } = entry;
  const by = transition?.by ?? audit?.actor;
  return (
    <li className={`${classes['entry']} ${tones[tone]}`}>
      <span className={classes['icon']}>
        <EntryIcon size={15} aria-hidden />
      </span>
      <div>
        <p>
          <strong>{title}</strong> {text !== '' && <span className={classes['text']}>{text}</span>}
        </p>
        <p className={classes['small']}>
          {kindLabels[entry.kind]}
          {by !== undefined && ` · by ${by.kind === 'user' ? by.id : `${by.kind} ${by.id}`}`}
        </p>
        {transition !== null && <TransitionDetails transition={transition} />}
        {audit !== null && <AuditDetails event={audit} />}
      </div>
      <span className={classes['when']}>
        <Moment at={entry.at} />
        <small>
          <FullMoment at={entry.at} />
        </small>
      </span>
    </li>
  );
}

function TransitionDetails({ transition: { revision, epoch, event, details } }: { readonly transition: HistoryEntry }) {
  return (
    <details>
      <summary>Details</summary>
      <div>
        <Facts>
          <Fact name="Event">
            <code>{event}</code>
          </Fact>
          <Fact name="Revision">
            {revision}, epoch {epoch}
          </Fact>
        </Facts>
        {Object.keys(details).length > 0 && <ObjectFacts value={details} />}
      </div>
    </details>
  );
}

function AuditDetails({ event: { sequence, action, details, request_id, hash } }: { readonly event: AuditEvent }) {
  return (
    <details>
      <summary>Details</summary>
      <div>
        {Object.keys(details).length > 0 && <ObjectFacts value={details} />}
        <Facts>
          <Fact name="Action">
            <code>{action}</code>
          </Fact>
          <Fact name="Number">{sequence}</Fact>
          {request_id !== null && (
            <Fact name="Request">
              <CopyText text={request_id} what="the request id" />
            </Fact>
          )}
          <Fact name="Hash">
            <CopyText text={hash} what="the hash" />
          </Fact>
        </Facts>
      </div>
    </details>
  );
}

const icons: readonly (readonly [RegExp, Icon])[] = [
  [/revoke|reject|retire|fail|refused/, IconBan],
  [/approv|verif/, IconCheck],
  [/reset/, IconRotateClockwise],
  [/rotat|certificate/, IconArrowsExchange],
  [/expir|deadline|lapse/, IconClock],
  [/pending|contact|started/, IconDevices],
];

/** What it became says more than what it was called. */
function iconOf({ transition, audit, silence }: TimelineEntry): Icon {
  if (transition === null && audit === null) return silence === null ? IconHeartbeat : IconVolumeOff;
  const changed = transition !== null && transition.from_state !== transition.to_state;
  const what = changed ? transition.to_state : (transition?.event ?? `${audit?.action} ${audit?.outcome}`);
  return icons.find(([form]) => form.test(what))?.[1] ?? IconFileText;
}
