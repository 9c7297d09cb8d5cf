// What waits for a decision, with the dialog to decide it in.
import type { Approval } from '#contracts/http/approvals.ts';
import { Button } from '@mantine/core';
import { IconCircleCheck } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { lazy, Suspense, useState } from 'react';
import { useBarrier, useServices } from '../data/services.tsx';
import { kindWords } from '../words/states.ts';
import { Moment } from './moment.tsx';
import { Loading, Nothing, Panel } from './page.tsx';
import { ProblemAlert } from './problem.tsx';
import { VoteCount } from './votes.tsx';
import classes from './waiting.module.css';

/** Most visits decide nothing. */
const ReviewDialog = lazy(() => import('./review-dialog.tsx').then((file) => ({ default: file.ReviewDialog })));

const shown = 4;

/** @param quiet Shows nothing while nothing waits. */
export function WaitingPanel({ quiet = false }: { readonly quiet?: boolean }) {
  const { queries } = useServices();
  const mayRead = useBarrier('approval.read') === null;
  const waiting = useQuery({ ...queries.waiting(), enabled: mayRead });
  const [reviewed, setReviewed] = useState<{ id: string; isOpen: boolean } | null>(null);
  const approvals = waiting.data?.items ?? [];
  const dialog = reviewed !== null && (
    <Suspense>
      <ReviewDialog
        id={reviewed.id}
        opened={reviewed.isOpen}
        onClose={() => setReviewed({ ...reviewed, isOpen: false })}
      />
    </Suspense>
  );
  if (!mayRead) return null;
  if (quiet && approvals.length === 0) return dialog || null;
  return (
    <Panel
      title="Waiting for a decision"
      flush
      {...(approvals.length > 0 ? { tone: 'watch' as const } : {})}
      actions={
        <Link to="/approvals" className={classes['all']}>
          {approvals.length > shown ? `All ${approvals.length}${waiting.data?.next_cursor ? '+' : ''}` : 'Queue'}
        </Link>
      }
    >
      {waiting.data === undefined && waiting.error === null && <Loading rows={3} label="Reading what waits" />}
      {waiting.data === undefined && waiting.error !== null && (
        <ProblemAlert error={waiting.error} onRetry={() => void waiting.refetch()} />
      )}
      {waiting.data !== undefined && approvals.length === 0 && (
        <Nothing icon={IconCircleCheck} title="The queue is empty">
          A new device, or a device with a new certificate, appears here with its first heartbeat.
        </Nothing>
      )}
      {approvals.length > 0 && (
        <ul className={classes['list']}>
          {approvals.slice(0, shown).map((approval) => (
            <Row
              key={approval.id}
              approval={approval}
              onReview={() => setReviewed({ id: approval.id, isOpen: true })}
            />
          ))}
        </ul>
      )}
      {dialog}
    </Panel>
  );
}

function Row({ approval, onReview }: { readonly approval: Approval; readonly onReview: () => void }) {
  return (
    <li className={classes['row']}>
      <div>
        <Link to="/devices/$deviceId" params={{ deviceId: approval.subject.id }} className={classes['subject']}>
          {approval.subject.id}
        </Link>
        <div className={classes['facts']}>
          {kindWords[approval.kind].label}, expires <Moment at={approval.expires_at} />
        </div>
      </div>
      <VoteCount approval={approval} />
      <Button size="compact-sm" variant="default" onClick={onReview} aria-label={`Review ${approval.subject.id}`}>
        Review
      </Button>
    </li>
  );
}
