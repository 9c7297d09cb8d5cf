// Audit events as rows; each opens to show its details and its place in the chain.
import type { AuditEvent } from '#contracts/http/audit.ts';
import { ActionIcon } from '@mantine/core';
import { IconChevronDown, IconChevronRight } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { createContext, use, useState } from 'react';
import type { Held } from '../data/held.ts';
import { actionTitle } from '../words/actions.ts';
import classes from './audit-table.module.css';
import { OutcomeBadge } from './badges.tsx';
import { CopyText } from './copy.tsx';
import { DataTable, type Column } from './data-table.tsx';
import { Fact, Facts, ObjectFacts } from './facts.tsx';
import { FullMoment, Moment } from './moment.tsx';

interface Expansion {
  readonly open: ReadonlySet<number>;
  toggle(event: AuditEvent): void;
}

/** Cells find it here and not in a closure: new cell functions would be new components, and lose the focus. */
const ExpansionContext = createContext<Expansion>({ open: new Set(), toggle: () => {} });

const columns: Column<AuditEvent>[] = [
  {
    id: 'sequence',
    header: 'Number',
    cell: ({ row }) => (
      <span className={classes['number']}>
        <Expander event={row.original} />
        {row.original.sequence}
      </span>
    ),
  },
  { id: 'time', header: 'Time', cell: ({ row }) => <FullMoment at={row.original.occurred_at} /> },
  { id: 'action', header: 'Action', cell: ({ row }) => <Action event={row.original} /> },
  { id: 'actor', header: 'By', cell: ({ row }) => <Actor event={row.original} /> },
  { id: 'subject', header: 'On', cell: ({ row }) => <SubjectLink subject={row.original.subject} /> },
  { id: 'outcome', header: 'Outcome', cell: ({ row }) => <OutcomeBadge outcome={row.original.outcome} plain /> },
];

interface AuditTableProps {
  readonly events: AuditEvent[];
  readonly caption: string;
  readonly pointer: Held<unknown>['pointer'];
}

export function AuditTable({ events, caption, pointer }: AuditTableProps) {
  const [open, setOpen] = useState<ReadonlySet<number>>(new Set());
  const toggle = (event: AuditEvent) =>
    setOpen((before) => {
      const after = new Set(before);
      if (!after.delete(event.sequence)) after.add(event.sequence);
      return after;
    });
  return (
    <ExpansionContext value={{ open, toggle }}>
      <DataTable
        caption={caption}
        columns={columns}
        rows={events}
        rowKey={(event) => String(event.sequence)}
        onOpen={toggle}
        pointer={pointer}
        below={(event) => (open.has(event.sequence) ? <Details event={event} /> : undefined)}
        card={(event) => (
          <div className={classes['card']}>
            <div>
              <Expander event={event} />
              <Action event={event} />
            </div>
            <OutcomeBadge outcome={event.outcome} plain />
            <div className={classes['line']}>
              <Actor event={event} /> on <SubjectLink subject={event.subject} />, <Moment at={event.occurred_at} />
            </div>
          </div>
        )}
      />
    </ExpansionContext>
  );
}

function Expander({ event }: { readonly event: AuditEvent }) {
  const { open, toggle } = use(ExpansionContext);
  const isOpen = open.has(event.sequence);
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      size="sm"
      aria-expanded={isOpen}
      aria-label={`Details of event ${event.sequence}`}
      onClick={() => toggle(event)}
    >
      {isOpen ? <IconChevronDown size={15} /> : <IconChevronRight size={15} />}
    </ActionIcon>
  );
}

function Action({ event }: { readonly event: AuditEvent }) {
  return (
    <span className={classes['action']} title={`${event.category}: ${event.action}`}>
      {actionTitle(event.action)}
      <small>{event.category}</small>
    </span>
  );
}

function Actor({ event: { actor } }: { readonly event: AuditEvent }) {
  return (
    <span className={classes['who']} title={actor.ip === null ? undefined : `From ${actor.ip}`}>
      {actor.id}
      {actor.kind !== 'user' && <small>{actor.kind}</small>}
    </span>
  );
}

/** A link where the console has a page for it. */
function SubjectLink({ subject }: { readonly subject: AuditEvent['subject'] }) {
  switch (subject.kind) {
    case 'device':
      return (
        <Link to="/devices/$deviceId" params={{ deviceId: subject.id }} className={classes['link']}>
          {subject.id}
        </Link>
      );
    case 'approval':
      return (
        <Link to="/approvals/$id" params={{ id: subject.id }} className={classes['link']} title={subject.id}>
          approval {subject.id.slice(0, 8)}
        </Link>
      );
    default:
      return (
        <span className={classes['who']} title={subject.id}>
          {subject.id.length > 24 ? `${subject.id.slice(0, 16)}…` : subject.id}
          <small>{subject.kind}</small>
        </span>
      );
  }
}

function Details({ event }: { readonly event: AuditEvent }) {
  return (
    <div className={classes['details']}>
      <div>
        <h3>Details</h3>
        {Object.keys(event.details).length === 0 ? <p>None were recorded.</p> : <ObjectFacts value={event.details} />}
      </div>
      <div>
        <h3>Record</h3>
        <Facts>
          <Fact name="Action">
            <code>{event.action}</code>
          </Fact>
          {event.actor.ip !== null && <Fact name="From">{event.actor.ip}</Fact>}
          {event.request_id !== null && (
            <Fact name="Request">
              <CopyText text={event.request_id} what="the request id" />
            </Fact>
          )}
          <Fact name="Hash">
            <CopyText text={event.hash} what="the hash" />
          </Fact>
          <Fact name="Previous hash">
            <CopyText text={event.previous_hash} what="the previous hash" />
          </Fact>
        </Facts>
      </div>
    </div>
  );
}
