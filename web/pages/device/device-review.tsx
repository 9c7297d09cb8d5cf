// The review that a device waits for, with the form to decide it.
import { Stack } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useBarrier, useServices } from '../../data/services.tsx';
import { ApprovalBadge } from '../../parts/badges.tsx';
import { Loading, Panel } from '../../parts/page.tsx';
import { ProblemAlert } from '../../parts/problem.tsx';
import { Barrier } from '../../parts/barrier.tsx';
import { ReviewForm, ReviewSubject } from '../../parts/review.tsx';
import { VoteCount, Votes } from '../../parts/votes.tsx';
import classes from './device-review.module.css';

export function DeviceReview({ id }: { readonly id: string }) {
  const { queries } = useServices();
  const barrier = useBarrier('approval.read');
  const { data: approval, error, refetch } = useQuery({ ...queries.approval(id), enabled: barrier === null });
  return (
    <Panel
      title="Pending review"
      tone="watch"
      aside={approval && <ApprovalBadge state={approval.state} />}
      actions={
        approval && (
          <span className={classes['actions']}>
            <VoteCount approval={approval} />
            <Link to="/approvals/$id" params={{ id }}>
              Details
            </Link>
          </span>
        )
      }
    >
      {barrier !== null && <Barrier text={barrier} />}
      {barrier === null && approval === undefined && error === null && <Loading rows={5} label="Reading the review" />}
      {approval === undefined && error !== null && <ProblemAlert error={error} onRetry={() => void refetch()} />}
      {approval !== undefined && (
        <Stack gap="md">
          <ReviewSubject approval={approval} />
          <Votes approval={approval} />
          <ReviewForm approval={approval} via="device" />
        </Stack>
      )}
    </Panel>
  );
}
