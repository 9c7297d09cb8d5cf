// Steps through a list by cursors: the address says the page, the browser's own history remembers the way back.
import { Button, Group, Text } from '@mantine/core';
import { IconChevronLeft, IconChevronRight } from '@tabler/icons-react';
import classes from './pager.module.css';

interface PagerProps {
  /** What is on this page, in words. */
  readonly shown: string;
  readonly next: string | null;
  readonly isFirst: boolean;
  readonly onNext: (cursor: string) => void;
  readonly onFirst: () => void;
}

export function Pager({ shown, next, isFirst, onNext, onFirst }: PagerProps) {
  return (
    <nav className={classes['pager']} aria-label="Pages" data-print="hide">
      <Text size="sm" className={classes['shown'] ?? ''}>
        {shown}
      </Text>
      {(!isFirst || next !== null) && (
        <Group gap="xs">
          <Button
            size="compact-sm"
            variant="default"
            disabled={isFirst}
            leftSection={<IconChevronLeft size={14} aria-hidden />}
            onClick={onFirst}
          >
            First page
          </Button>
          <Button
            size="compact-sm"
            variant="default"
            disabled={next === null}
            rightSection={<IconChevronRight size={14} aria-hidden />}
            onClick={() => next !== null && onNext(next)}
          >
            Next page
          </Button>
        </Group>
      )}
    </nav>
  );
}
