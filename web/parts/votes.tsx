// Who has voted, and how many votes are missing.
import type { Approval } from '#contracts/http/approvals.ts';
import { IconCircleCheck, IconCircleDashed, IconCircleX } from '@tabler/icons-react';
import { approvals, missingVotes, whoMayVote } from '../words/review.ts';
import { FullMoment, Moment } from './moment.tsx';
import classes from './votes.module.css';

/** `1 of 2 approvals`, as marks and in words. */
export function VoteCount({ approval }: { readonly approval: Pick<Approval, 'votes' | 'required_approvals'> }) {
  const given = approvals(approval);
  return (
    <span className={classes['count']}>
      <span aria-hidden className={classes['marks']}>
        {Array.from({ length: approval.required_approvals }, (_, index) => (
          <span key={index} data-given={index < given} />
        ))}
      </span>
      {given} of {approval.required_approvals} {approval.required_approvals === 1 ? 'approval' : 'approvals'}
    </span>
  );
}

export function Votes({ approval }: { readonly approval: Approval }) {
  return (
    <ul className={classes['votes']} aria-label="Votes">
      {approval.votes.map((vote) => (
        <li key={`${vote.by} ${vote.at}`} data-decision={vote.decision}>
          {vote.decision === 'approve' ? (
            <IconCircleCheck size={17} aria-hidden />
          ) : (
            <IconCircleX size={17} aria-hidden />
          )}
          <span>
            <strong>{vote.by}</strong> {vote.decision === 'approve' ? 'approved' : 'rejected'} <Moment at={vote.at} />
            {vote.reason !== null && <q className={classes['reason']}>{vote.reason}</q>}
          </span>
        </li>
      ))}
      {approval.state === 'open' && (
        <li data-decision="none">
          <IconCircleDashed size={17} aria-hidden />
          <span>
            {missingVotes(approval)} One rejection ends it.
            <span className={classes['who']}>
              {whoMayVote(approval)} Until <FullMoment at={approval.expires_at} />, <Moment at={approval.expires_at} />.
            </span>
          </span>
        </li>
      )}
    </ul>
  );
}
