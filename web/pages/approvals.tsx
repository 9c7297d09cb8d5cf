// The approvals queue: what exactly is asked, by whom, who has voted, until when; and the vote itself.
import type { Approval } from '#contracts/http/approvals.ts';
import { approvalKinds, approvalStates } from '#contracts/states.ts';
import { Button, Kbd, NativeSelect, Stack } from '@mantine/core';
import { IconCircleCheck, IconFilterOff } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { createLazyRoute, Link, useNavigate } from '@tanstack/react-router';
import { useHotkeys } from '@mantine/hooks';
import { useRef, useState } from 'react';
import { useHeldRows } from '../data/held.ts';
import { useBarrier, useServices } from '../data/services.tsx';
import { ApprovalBadge } from '../parts/badges.tsx';
import { Freshness } from '../parts/freshness.tsx';
import { Moment } from '../parts/moment.tsx';
import { Loading, Nothing, Page, Panel } from '../parts/page.tsx';
import { Pager } from '../parts/pager.tsx';
import { ProblemAlert } from '../parts/problem.tsx';
import { Barrier } from '../parts/barrier.tsx';
import { ReviewForm, ReviewSubject } from '../parts/review.tsx';
import { VoteCount, Votes } from '../parts/votes.tsx';
import { parseApprovalsSearch, refined, type ApprovalsSearch } from '../search.ts';
import { counted } from '../words/names.ts';
import { approvalWords, kindWords } from '../words/states.ts';
import classes from './approvals.module.css';
import { LinkButton } from '../parts/link-button.tsx';

export const approvalsRoute = createLazyRoute('/signed-in/approvals')({ component: Approvals });

const pageSize = 20;

function Approvals() {
  const wanted = approvalsRoute.useSearch({ select: parseApprovalsSearch });
  const { state = 'open', ...search } = wanted;
  const navigate = useNavigate({ from: '/approvals' });
  const { queries } = useServices();
  const barrier = useBarrier('approval.read');
  const query = { limit: pageSize, ...search, ...(state === 'all' ? {} : { state }) };
  const approvals = useQuery({ ...queries.approvals(query), enabled: barrier === null });
  const { items, changes, pointer, onVoted } = useStillQueue(
    approvals.data?.items,
    `${JSON.stringify(wanted)} ${approvals.isPlaceholderData}`,
  );
  const list = useRef<HTMLDivElement>(null);
  useHotkeys([
    ['j', () => focusReview(list.current, 1)],
    ['k', () => focusReview(list.current, -1)],
  ]);

  const change = (part: { [Name in keyof ApprovalsSearch]?: ApprovalsSearch[Name] | undefined }) =>
    void navigate({ search: refined(wanted, part) });

  return (
    <Page
      title="Approvals"
      description="What waits for people to decide, and what they decided. Each vote is bound to the digest of what was seen."
      actions={<Freshness query={approvals} held={changes.count > 0} changes={changes} />}
    >
      {barrier !== null && <Barrier text={barrier} />}
      {barrier === null && (
        <>
          <div className={classes['filters']} role="search" aria-label="Filter the approvals" data-print="hide">
            <NativeSelect
              size="xs"
              aria-label="State"
              value={state}
              onChange={({ currentTarget: { value } }) =>
                change({
                  state:
                    value === 'open' ? undefined : value === 'all' ? 'all' : approvalStates.find((s) => s === value),
                })
              }
              data={[
                ...approvalStates.map((value) => ({ value, label: approvalWords[value].label })),
                { value: 'all', label: 'All states' },
              ]}
            />
            <NativeSelect
              size="xs"
              aria-label="Kind"
              value={search.kind ?? ''}
              onChange={({ currentTarget: { value } }) =>
                change({ kind: approvalKinds.find((kind) => kind === value) })
              }
              data={[
                { value: '', label: 'All kinds' },
                ...approvalKinds.map((value) => ({ value, label: kindWords[value].label })),
              ]}
            />
            <span className={classes['keys']}>
              <Kbd size="xs">J</Kbd> <Kbd size="xs">K</Kbd> next and previous
            </span>
            {search.subject_id !== undefined && (
              <Button size="compact-sm" variant="light" onClick={() => change({ subject_id: undefined })}>
                Only {search.subject_id}: show all
              </Button>
            )}
          </div>
          {approvals.error !== null && items === undefined && (
            <ProblemAlert error={approvals.error} onRetry={() => void approvals.refetch()} />
          )}
          {approvals.error === null && items === undefined && (
            <Panel title="Reviews" flush>
              <Loading label="Reading the approvals" />
            </Panel>
          )}
          {items !== undefined && items.length === 0 && (
            <Panel title="Reviews" flush>
              {state === 'open' ? <EmptyQueue /> : <NoMatch onClear={() => void navigate({ search: {} })} />}
            </Panel>
          )}
          {items !== undefined && items.length > 0 && (
            <Stack gap="md" ref={list} {...pointer}>
              {items.map((approval) =>
                approval.closed_at === null ? (
                  <OpenApproval key={approval.id} approval={approval} onVoted={() => onVoted(approval.id)} />
                ) : (
                  <ClosedApproval key={approval.id} approval={approval} />
                ),
              )}
              <Pager
                shown={`${counted(items.length, 'review')} on this page`}
                next={approvals.data?.next_cursor ?? null}
                isFirst={search.cursor === undefined}
                onNext={(cursor) => void navigate({ search: { ...wanted, cursor } })}
                onFirst={() => change({})}
              />
            </Stack>
          )}
        </>
      )}
    </Page>
  );
}

interface OpenApprovalProps {
  readonly approval: Approval;
  readonly onVoted: () => void;
}

function OpenApproval({ approval, onVoted }: OpenApprovalProps) {
  return (
    <div data-review={approval.id} tabIndex={-1} className={classes['review']}>
      <Panel
        title={kindWords[approval.kind].label}
        aside={
          <>
            <SubjectLink approval={approval} />
            <ApprovalBadge state={approval.state} />
          </>
        }
        actions={
          <span className={classes['facts']}>
            <VoteCount approval={approval} />
            <span>
              Expires <Moment at={approval.expires_at} />
            </span>
            <Link to="/approvals/$id" params={{ id: approval.id }}>
              Details
            </Link>
          </span>
        }
      >
        <div className={classes['columns']}>
          <ReviewSubject approval={approval} />
          <Stack gap="md">
            <Votes approval={approval} />
            <ReviewForm approval={approval} via="approval" onDone={onVoted} />
          </Stack>
        </div>
      </Panel>
    </div>
  );
}

function ClosedApproval({ approval }: { readonly approval: Approval }) {
  return (
    <div className={classes['closed']}>
      <span>
        <Link to="/approvals/$id" params={{ id: approval.id }}>
          {kindWords[approval.kind].label}
        </Link>{' '}
        of <SubjectLink approval={approval} />
      </span>
      <ApprovalBadge state={approval.state} />
      <span>{approval.votes.map((vote) => vote.by).join(', ') || 'Nobody voted'}</span>
      <Moment at={approval.closed_at} />
    </div>
  );
}

function SubjectLink({ approval: { subject } }: { readonly approval: Approval }) {
  if (subject.kind !== 'device') return <span>{subject.id}</span>;
  return (
    <Link to="/devices/$deviceId" params={{ deviceId: subject.id }} className={classes['subject']}>
      {subject.id}
    </Link>
  );
}

/** The queue without jumps: while somebody is in it nothing comes or goes but what this person has decided. */
function useStillQueue(current: Approval[] | undefined, key: string) {
  const [voted, setVoted] = useState<ReadonlySet<string>>(new Set());
  const held = useHeldRows(current, key, ({ id }) => id);
  const isDecided = (id: string): boolean => voted.has(id) && current?.every((approval) => approval.id !== id) === true;
  return {
    items: held.rows?.filter(({ id }) => !isDecided(id)),
    changes: { count: held.changes, apply: held.apply },
    pointer: held.pointer,
    onVoted: (id: string) => setVoted((before) => new Set([...before, id])),
  };
}

/** Goes to the next review, or back; from anywhere else to the first. */
function focusReview(list: HTMLElement | null, step: 1 | -1): void {
  const reviews = [...(list?.querySelectorAll<HTMLElement>('[data-review]') ?? [])];
  const present = reviews.findIndex((review) => review.contains(document.activeElement));
  const next = reviews[present === -1 ? 0 : Math.min(Math.max(present + step, 0), reviews.length - 1)];
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: 'start', behavior: 'instant' });
}

function EmptyQueue() {
  return (
    <Nothing
      icon={IconCircleCheck}
      title="The queue is empty"
      actions={
        <LinkButton to="/dashboard" variant="default" size="compact-md">
          See the fleet
        </LinkButton>
      }
    >
      Nothing waits for a decision. A new device, or a device with a new certificate, appears here with its first
      heartbeat.
    </Nothing>
  );
}

function NoMatch({ onClear }: { readonly onClear: () => void }) {
  return (
    <Nothing
      icon={IconFilterOff}
      title="No review matches"
      actions={
        <Button variant="default" size="compact-md" onClick={onClear}>
          Show what waits
        </Button>
      }
    >
      There is none of this kind in this state.
    </Nothing>
  );
}
