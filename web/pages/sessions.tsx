// The own sessions, and for those who may end them those of others; each can be ended at once.
import type { Session } from '#contracts/http/admin.ts';
import { Button } from '@mantine/core';
import { IconCircleCheck, IconCircleX, IconKey } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient, type UseQueryResult } from '@tanstack/react-query';
import { createLazyRoute } from '@tanstack/react-router';
import { useBarrier, useMe, useServices } from '../data/services.tsx';
import { NoteBadge } from '../parts/badges.tsx';
import { DataTable, type Column } from '../parts/data-table.tsx';
import { Freshness } from '../parts/freshness.tsx';
import { FullMoment, Moment, useNowMs } from '../parts/moment.tsx';
import { Loading, Nothing, Page, Panel } from '../parts/page.tsx';
import { ProblemAlert } from '../parts/problem.tsx';
import { say } from '../parts/say.ts';
import classes from './sessions.module.css';

export const sessionsRoute = createLazyRoute('/signed-in/sessions')({ component: Sessions });

const columns: Column<Session>[] = [
  { id: 'where', header: 'Where', cell: ({ row }) => <Where session={row.original} /> },
  { id: 'state', header: 'State', cell: ({ row }) => <State session={row.original} /> },
  { id: 'created', header: 'Signed in', cell: ({ row }) => <FullMoment at={row.original.created_at} /> },
  { id: 'used', header: 'Last used', cell: ({ row }) => <Moment at={row.original.last_used_at} /> },
  { id: 'expires', header: 'Ends', cell: ({ row }) => <Ends session={row.original} /> },
  {
    id: 'end',
    header: () => <span className={classes['unseen']}>End</span>,
    cell: ({ row }) => <End session={row.original} />,
  },
];

function Sessions() {
  const { queries } = useServices();
  const me = useMe();
  const mayEndAny = useBarrier('session.revoke_any') === null;
  const own = useQuery(queries.sessions('me'));
  const all = useQuery({ ...queries.sessions('everybody'), enabled: mayEndAny });
  const others = all.data?.items.filter(({ username, ended_at }) => username !== me.username && ended_at === null);
  return (
    <Page
      title="Sessions"
      description="Where you are signed in. A session that is ended is refused with its next request."
      actions={<Freshness query={own} />}
    >
      <Panel title="Your sessions" flush>
        <List caption="Your sessions" columns={columns} query={own} sessions={own.data?.items} />
      </Panel>
      {mayEndAny && (
        <Panel
          title="Sessions of others"
          flush
          aside={others !== undefined && others.length > 0 && <span>{others.length.toLocaleString()}</span>}
        >
          <List caption="Sessions of others" columns={columnsOfOthers} query={all} sessions={others} />
          {all.data !== undefined && all.data.next_cursor !== null && (
            <p className={classes['more']}>The newest hundred sessions were looked at; there are older ones.</p>
          )}
        </Panel>
      )}
    </Page>
  );
}

const who: Column<Session> = { id: 'who', header: 'Who', cell: ({ row }) => <strong>{row.original.username}</strong> };

const columnsOfOthers = [who, ...columns];

interface ListProps {
  readonly caption: string;
  readonly columns: Column<Session>[];
  readonly query: Pick<UseQueryResult, 'isPending' | 'error' | 'refetch'>;
  readonly sessions: Session[] | undefined;
}

function List({ caption, columns: shown, query, sessions }: ListProps) {
  if (sessions === undefined) {
    return query.error === null ? (
      <Loading rows={3} label={`Reading ${caption.toLowerCase()}`} />
    ) : (
      <ProblemAlert error={query.error} onRetry={() => void query.refetch()} />
    );
  }
  if (sessions.length === 0) {
    return (
      <Nothing icon={IconKey} title={shown.includes(who) ? 'Nobody else is signed in' : 'No sessions'}>
        A session appears here when somebody signs in, in a browser or on the command line.
      </Nothing>
    );
  }
  return (
    <DataTable
      caption={caption}
      columns={shown}
      rows={sessions}
      rowKey={(session) => session.id}
      card={(session) => (
        <div className={classes['card']}>
          <Where session={session} />
          <State session={session} />
          <span>
            {shown.includes(who) && `${session.username}, `}used <Moment at={session.last_used_at} />, ends{' '}
            <Ends session={session} />
          </span>
          <End session={session} />
        </div>
      )}
    />
  );
}

function Where({ session }: { readonly session: Session }) {
  return (
    <span className={classes['where']}>
      <strong>{session.ip ?? 'Unknown address'}</strong>
      <small title={session.user_agent ?? undefined}>{clientName(session.user_agent)}</small>
    </span>
  );
}

function State({ session }: { readonly session: Session }) {
  const isOver = useNowMs() >= Date.parse(session.expires_at);
  if (session.current) {
    return <NoteBadge icon={IconCircleCheck} tone="info" label="This one" meaning="The session you are using now." />;
  }
  if (session.ended_at !== null || isOver) {
    return <NoteBadge icon={IconCircleX} tone="quiet" label="Ended" meaning="It is refused." />;
  }
  return <NoteBadge icon={IconCircleCheck} tone="good" label="Active" meaning="It can be used." />;
}

const Ends = ({ session }: { readonly session: Session }) => <Moment at={session.ended_at ?? session.expires_at} />;

function End({ session }: { readonly session: Session }) {
  const { client } = useServices();
  const cache = useQueryClient();
  const isOver = useNowMs() >= Date.parse(session.expires_at);
  const end = useMutation({
    mutationFn: () => client.admin.revokeSession(session.id),
    onSuccess: () => say({ title: 'The session is ended', message: session.ip ?? session.id }),
    onError: (error) => say({ tone: 'bad', title: 'The session was not ended', message: error.message }),
    onSettled: () => cache.invalidateQueries({ queryKey: ['sessions'] }),
  });
  if (session.current) return <small className={classes['faint']}>Sign out to end it</small>;
  if (session.ended_at !== null || isOver) return null;
  return (
    <Button
      size="compact-sm"
      variant="default"
      loading={end.isPending}
      aria-label={`End the session of ${session.username} from ${session.ip ?? 'an unknown address'}`}
      onClick={() => end.mutate()}
    >
      End
    </Button>
  );
}

const known = [
  [/sentinel/i, 'Sentinel command line'],
  [/Edg\//, 'Edge'],
  [/Firefox\//, 'Firefox'],
  [/Chrome\//, 'Chrome'],
  [/Safari\//, 'Safari'],
  [/curl\//, 'curl'],
] as const;
const systems = [
  [/Windows/, 'Windows'],
  [/Android/, 'Android'],
  [/iPhone|iPad/, 'iOS'],
  [/Mac OS/, 'macOS'],
  [/Linux/, 'Linux'],
] as const;

/** A guess for people; the full text is in the tooltip. */
function clientName(userAgent: string | null): string {
  if (userAgent === null) return 'Unknown client';
  const browser = known.find(([form]) => form.test(userAgent))?.[1];
  const system = systems.find(([form]) => form.test(userAgent))?.[1];
  return [browser ?? userAgent.slice(0, 40), system].filter((word) => word !== undefined).join(' on ');
}
