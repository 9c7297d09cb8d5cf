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
import { eventTitle, stateChange } from '../../words/history.ts';
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
            const EntryIcon = iconOf(entry);
            return (
              <Timeline.Item
                key={`${entry.epoch} ${entry.revision}`}
                bullet={<EntryIcon size={14} aria-hidden />}
                title={eventTitle(entry)}
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
        <strong>{stateChange(entry)}</strong> by{' '}
        {entry.by.kind === 'user' ? entry.by.id : `${entry.by.kind} ${entry.by.id}`}, <Moment at={entry.at} />
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
  [/pending|contact|started/, IconDevices],
];

/** What it became says more than what it was called. */
function iconOf({ event, from_state, to_state }: HistoryEntry): Icon {
  const what = from_state === to_state ? event : to_state;
  return icons.find(([form]) => form.test(what))?.[1] ?? IconCircleDot;
}
