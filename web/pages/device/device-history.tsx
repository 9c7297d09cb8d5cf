// Every transition of a device, newest first, from the permanent history.
import type { HistoryEntry } from '#contracts/http/devices.ts';
import { Button, Timeline } from '@mantine/core';
import {
  IconArrowsExchange,
  IconBan,
  IconCheck,
  IconCircleDot,
  IconClock,
  IconDevices,
  IconRotateClockwise,
  type Icon,
} from '@tabler/icons-react';
import { useInfiniteQuery } from '@tanstack/react-query';
import { useServices } from '../../data/services.tsx';
import { ObjectFacts } from '../../parts/facts.tsx';
import { FullMoment, Moment } from '../../parts/moment.tsx';
import { Loading, Nothing, Panel } from '../../parts/page.tsx';
import { ProblemAlert } from '../../parts/problem.tsx';
import { plainName } from '../../words/names.ts';
import classes from './device-history.module.css';

export function DeviceHistory({ deviceId }: { readonly deviceId: string }) {
  const { queries } = useServices();
  const history = useInfiniteQuery(queries.history(deviceId));
  const entries = history.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <Panel title="History">
      {history.isPending && <Loading rows={5} label="Reading the history" />}
      {history.error !== null && <ProblemAlert error={history.error} onRetry={() => void history.refetch()} />}
      {history.isSuccess && entries.length === 0 && (
        <Nothing icon={IconClock} title="Nothing has happened yet">
          The first transition is written when the device is heard for the first time.
        </Nothing>
      )}
      {entries.length > 0 && (
        <Timeline bulletSize={26} lineWidth={2} className={classes['timeline'] ?? ''}>
          {entries.map((entry) => {
            const EntryIcon = iconOf(entry.event);
            return (
              <Timeline.Item
                key={`${entry.epoch} ${entry.revision}`}
                bullet={<EntryIcon size={14} aria-hidden />}
                title={plainName(entry.event)}
              >
                <Entry entry={entry} />
              </Timeline.Item>
            );
          })}
        </Timeline>
      )}
      {history.hasNextPage && (
        <Button
          variant="default"
          size="compact-md"
          mt="md"
          loading={history.isFetchingNextPage}
          onClick={() => void history.fetchNextPage()}
        >
          Older
        </Button>
      )}
    </Panel>
  );
}

function Entry({ entry }: { readonly entry: HistoryEntry }) {
  return (
    <div className={classes['entry']}>
      <p>
        {entry.from_state === null || entry.from_state === entry.to_state ? (
          <strong>{plainName(entry.to_state)}</strong>
        ) : (
          <strong>
            {plainName(entry.from_state)} → {plainName(entry.to_state)}
          </strong>
        )}{' '}
        by {entry.by.kind === 'user' ? entry.by.id : `${entry.by.kind} ${entry.by.id}`}, <Moment at={entry.at} />
      </p>
      <small>
        <FullMoment at={entry.at} /> · revision {entry.revision}, epoch {entry.epoch}
      </small>
      {Object.keys(entry.details).length > 0 && (
        <details>
          <summary>Details</summary>
          <ObjectFacts value={entry.details} />
        </details>
      )}
    </div>
  );
}

const icons: readonly (readonly [RegExp, Icon])[] = [
  [/revoke|reject|retire|fail/, IconBan],
  [/approv|verif/, IconCheck],
  [/reset/, IconRotateClockwise],
  [/rotat|certificate/, IconArrowsExchange],
  [/expir|deadline|lapse/, IconClock],
  [/contact|enrol|created|opened/, IconDevices],
];

function iconOf(event: string): Icon {
  return icons.find(([form]) => form.test(event))?.[1] ?? IconCircleDot;
}
