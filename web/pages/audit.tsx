// The audit trail: filtered by who, what, on what and when; and the check that nobody has changed it.
import type { AuditListQuery } from '#contracts/http/audit.ts';
import { Button } from '@mantine/core';
import { IconFilterOff } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { createLazyRoute, useNavigate } from '@tanstack/react-router';
import { useHeld } from '../data/held.ts';
import { useBarrier, useServices } from '../data/services.tsx';
import { AuditTable } from '../parts/audit-table.tsx';
import { Freshness } from '../parts/freshness.tsx';
import { Loading, Nothing, Page, Panel } from '../parts/page.tsx';
import { Pager } from '../parts/pager.tsx';
import { ProblemAlert } from '../parts/problem.tsx';
import { Barrier } from '../parts/barrier.tsx';
import { parseAuditSearch, refined } from '../search.ts';
import { counted } from '../words/names.ts';
import { AuditFilters } from './audit/audit-filters.tsx';
import { ExportMenu } from './audit/export-menu.tsx';
import { IntegrityPanel } from './audit/integrity-panel.tsx';

import classes from './audit.module.css';

export const auditRoute = createLazyRoute('/signed-in/audit')({ component: Audit });

function Audit() {
  const search = auditRoute.useSearch({ select: parseAuditSearch });
  const navigate = useNavigate({ from: '/audit' });
  const { queries } = useServices();
  const barrier = useBarrier('audit.read');
  const events = useQuery({
    ...queries.audit({ limit: 50, order: 'newest', ...search }),
    enabled: barrier === null,
  });
  const held = useHeld(events.data, `${JSON.stringify(search)} ${events.isPlaceholderData}`);
  const items = held.shown?.items;
  const change = (part: { [Name in keyof AuditListQuery]?: AuditListQuery[Name] | undefined }) =>
    void navigate({ search: refined(search, part), replace: true });

  return (
    <Page
      title="Audit trail"
      description="Who did what to what, and what was refused. Each record is linked to the one before it."
      actions={<Freshness query={events} held={held.waiting} />}
    >
      {barrier !== null && <Barrier text={barrier} />}
      <IntegrityPanel />
      {barrier === null && (
        <Panel
          title="Events"
          flush
          actions={
            <div className={classes['actions']}>
              <AuditFilters search={search} onChange={change} />
              <ExportMenu search={search} />
            </div>
          }
        >
          {events.error !== null && items === undefined && (
            <ProblemAlert error={events.error} onRetry={() => void events.refetch()} />
          )}
          {events.error === null && items === undefined && <Loading rows={8} label="Reading the audit trail" />}
          {items !== undefined && items.length === 0 && (
            <Nothing
              icon={IconFilterOff}
              title="No event matches"
              actions={
                <Button variant="default" size="compact-md" onClick={() => void navigate({ search: {} })}>
                  Clear the filters
                </Button>
              }
            >
              Actions, people and subjects have to be given in full, as they are written in the trail.
            </Nothing>
          )}
          {items !== undefined && items.length > 0 && (
            <>
              <AuditTable events={items} caption="Audit events" pointer={held.pointer} />
              <Pager
                shown={`${counted(items.length, 'event')} on this page`}
                next={held.shown?.next_cursor ?? null}
                isFirst={search.cursor === undefined}
                onNext={(cursor) => void navigate({ search: { ...search, cursor } })}
                onFirst={() => change({})}
              />
            </>
          )}
        </Panel>
      )}
    </Page>
  );
}
