// How old what is shown is, with a button to read it again.
import { ActionIcon, Button, Tooltip } from '@mantine/core';
import { IconRefresh } from '@tabler/icons-react';
import type { UseQueryResult } from '@tanstack/react-query';
import { counted } from '../words/names.ts';
import { spanText } from '../words/time.ts';
import { useTickingText } from './moment.tsx';
import classes from './freshness.module.css';

type Shown = Pick<UseQueryResult, 'dataUpdatedAt' | 'isFetching' | 'refetch'>;

interface FreshnessProps {
  readonly query: Shown;
  readonly held?: boolean;
  /** Rows that would come, go or move, and what takes them in. */
  readonly changes?: { readonly count: number; readonly apply: () => void };
}

export function Freshness({ query, held = false, changes }: FreshnessProps) {
  // The cache stamps with the local clock, so that is what to compare with.
  const age = useTickingText(() => spanText(query.dataUpdatedAt - Date.now()));
  return (
    <span className={classes['freshness']}>
      {changes !== undefined && changes.count > 0 && (
        <Button size="compact-xs" variant="light" onClick={changes.apply}>
          {counted(changes.count, 'change')}
        </Button>
      )}
      <span aria-live="off">
        {held ? 'Held while you point at the table' : query.dataUpdatedAt === 0 ? 'Reading…' : `Updated ${age} ago`}
      </span>
      <Tooltip label="Read again">
        <ActionIcon
          variant="subtle"
          color="gray"
          aria-label="Read again"
          data-busy={query.isFetching}
          className={classes['again'] ?? ''}
          onClick={() => void query.refetch()}
        >
          <IconRefresh size={16} />
        </ActionIcon>
      </Tooltip>
    </span>
  );
}
