// The frame of a page's content: its heading, its panels, and what stands there when there is nothing.
import { EmptyState, Group, Skeleton, Stack, Text, Title } from '@mantine/core';
import { useDocumentTitle } from '@mantine/hooks';
import type { Icon } from '@tabler/icons-react';
import { useId, type ReactNode } from 'react';
import classes from './page.module.css';

interface PageProps {
  /** Of the browser's tab, and the heading unless `heading` is given. */
  readonly title: string;
  readonly heading?: ReactNode;
  readonly above?: ReactNode;
  readonly description?: ReactNode;
  readonly actions?: ReactNode;
  readonly children: ReactNode;
}

export function Page({ title, heading = title, above, description, actions, children }: PageProps) {
  useDocumentTitle(`${title} · Sentinel`);
  return (
    <Stack gap="lg">
      <div>
        {above}
        <Group justify="space-between" align="flex-start" gap="sm" className={classes['head'] ?? ''}>
          <div className={classes['heading']}>
            <Title order={1}>{heading}</Title>
            {description !== undefined && <div className={classes['description']}>{description}</div>}
          </div>
          {actions !== undefined && (
            <Group gap="xs" data-print="hide">
              {actions}
            </Group>
          )}
        </Group>
      </div>
      {children}
    </Stack>
  );
}

interface PanelProps {
  readonly title: string;
  /** A badge or count beside the title. */
  readonly aside?: ReactNode;
  readonly actions?: ReactNode;
  /** Content that brings its own padding, such as a table. */
  readonly flush?: boolean;
  readonly tone?: 'watch';
  readonly children: ReactNode;
}

export function Panel({ title, aside, actions, flush = false, tone, children }: PanelProps) {
  const id = useId();
  return (
    <section className={classes['panel']} data-tone={tone} aria-labelledby={id}>
      <div className={classes['panelHead']}>
        <Group gap="xs">
          <Title order={2} id={id}>
            {title}
          </Title>
          {aside}
        </Group>
        {actions}
      </div>
      <div className={flush ? undefined : classes['panelBody']}>{children}</div>
    </section>
  );
}

interface NothingProps {
  readonly icon: Icon;
  readonly title: string;
  /** What it means, and what to do next. */
  readonly children: ReactNode;
  readonly actions?: ReactNode;
}

export function Nothing({ icon: NothingIcon, title, children, actions }: NothingProps) {
  return (
    <EmptyState className={classes['nothing'] ?? ''} size="sm">
      <EmptyState.Indicator>
        <NothingIcon size={26} stroke={1.5} aria-hidden />
      </EmptyState.Indicator>
      <p className={classes['nothingTitle']}>{title}</p>
      <div className={classes['nothingText']}>{children}</div>
      {actions !== undefined && (
        <Group justify="center" mt="xs">
          {actions}
        </Group>
      )}
    </EmptyState>
  );
}

/** Placeholder of a list that is being read for the first time. */
export function Loading({ rows = 6, label }: { readonly rows?: number; readonly label: string }) {
  return (
    <Stack gap="sm" p="md" role="status" aria-label={label}>
      {Array.from({ length: rows }, (_, index) => (
        <Skeleton key={index} height={18} width={`${92 - ((index * 13) % 35)}%`} radius="sm" />
      ))}
    </Stack>
  );
}

/** Small print. */
export function Note({ children }: { readonly children: ReactNode }) {
  return (
    <Text size="sm" className={classes['note'] ?? ''}>
      {children}
    </Text>
  );
}
