// One review: what exactly is up for approval, who has voted, and the form to vote with.
import type { Approval } from '#contracts/http/approvals.ts';
import type { Device } from '#contracts/http/devices.ts';
import type { ReviewBody } from '#contracts/http/common.ts';
import { Button, Group, Stack, Textarea } from '@mantine/core';
import { IconCheck, IconX } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useBarrier, useMe, useServices } from '../data/services.tsx';
import { reviewBarrier } from '../words/review.ts';
import { kindWords } from '../words/states.ts';
import { Barrier } from './barrier.tsx';
import { Comparison } from './comparison.tsx';
import { CopyText } from './copy.tsx';
import { Fact, Facts, isObject, ObjectFacts } from './facts.tsx';
import { HardwareClaim } from './hardware-claim.tsx';
import { FullMoment, Moment, useNowMs } from './moment.tsx';
import { ProblemAlert } from './problem.tsx';
import { say } from './say.ts';
import classes from './review.module.css';

/** Exactly what a vote is for, and the digest that binds the vote to it. */
export function ReviewSubject({ approval }: { readonly approval: Approval }) {
  const pinned = usePinned(approval);
  const { certificate, attestation } = approval.content;
  const isCompared = pinned !== null && isObject(certificate);
  const claim = isObject(attestation) ? attestation : null;
  const rest = Object.entries(approval.content).filter(
    ([name]) => !(name === 'certificate' && isCompared) && !(name === 'attestation' && claim !== null),
  );
  return (
    <Stack gap="sm">
      <p className={classes['asks']}>{kindWords[approval.kind].asks}</p>
      {claim !== null && <HardwareClaim approval={approval} claim={claim} />}
      {isCompared && (
        <Comparison
          of="Certificate"
          caption="The certificate that is pinned now, and the one that would replace it"
          now="Pinned now"
          before={pinned}
          after={certificate}
        />
      )}
      <div className={classes['content']}>
        <ObjectFacts value={Object.fromEntries(rest)} />
      </div>
      <Facts>
        <Fact name={isCompared || claim !== null ? 'Digest of all asked for' : 'Digest of the above'}>
          <CopyText text={approval.digest} what="the digest" />
        </Fact>
        <Fact name="Requested by">
          {approval.requested_by.kind} {approval.requested_by.id}
        </Fact>
        <Fact name="Opened">
          <FullMoment at={approval.opened_at} />
        </Fact>
        {approval.closed_at === null ? (
          <Fact name="Expires">
            <FullMoment at={approval.expires_at} /> (<Moment at={approval.expires_at} />)
          </Fact>
        ) : (
          <Fact name="Closed">
            <FullMoment at={approval.closed_at} />
          </Fact>
        )}
      </Facts>
    </Stack>
  );
}

/** What an approval of a rotation would take away: the certificate that is pinned now. */
function usePinned({ kind, closed_at, subject }: Approval): Device['certificate'] {
  const { queries } = useServices();
  const isAsked = kind === 'rotation' && closed_at === null;
  const mayRead = useBarrier('device.read') === null;
  const device = useQuery({ ...queries.device(subject.id), enabled: isAsked && mayRead });
  return isAsked ? (device.data?.certificate ?? null) : null;
}

interface ReviewFormProps {
  readonly approval: Approval;
  /** The route that the vote goes to: that of the device, or that of the approval. */
  readonly via: 'device' | 'approval';
  readonly onDone?: () => void;
}

export function ReviewForm({ approval, via, onDone }: ReviewFormProps) {
  const { client } = useServices();
  const me = useMe();
  const cache = useQueryClient();
  const [reason, setReason] = useState('');
  // The digest of what was on the screen: a vote is never for something that changed under the pointer.
  const [seen, setSeen] = useState(approval.digest);
  const barrier = reviewBarrier(approval, me, useNowMs());

  const vote = useMutation({
    mutationFn: async (decision: ReviewBody['decision']) => {
      const body: ReviewBody = {
        decision,
        digest: seen,
        ...(reason.trim() === '' ? {} : { reason: reason.trim() }),
      };
      if (via === 'device') await client.devices.identityReview(approval.subject.id, body);
      else await client.approvals.review(approval.id, body);
      return decision;
    },
    onSuccess: (decision) => {
      say({
        title: decision === 'approve' ? 'Your approval is recorded' : 'Your rejection is recorded',
        message: `${kindWords[approval.kind].label} of ${approval.subject.id}`,
      });
      onDone?.();
    },
    // After a refusal too: somebody else may have been faster.
    onSettled: () =>
      Promise.all([
        cache.invalidateQueries({ queryKey: ['approvals'] }),
        cache.invalidateQueries({ queryKey: ['devices'] }),
        cache.invalidateQueries({ queryKey: ['audit'] }),
      ]),
  });

  return (
    <Stack gap="sm">
      {vote.error !== null && <ProblemAlert error={vote.error} title="Your vote was not recorded" />}
      {barrier !== null && <Barrier text={barrier} />}
      {barrier === null && seen !== approval.digest && (
        <div className={classes['changed']} role="alert">
          <p>What is up for approval has changed since you opened this. Read it again before you vote.</p>
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => {
              vote.reset();
              setSeen(approval.digest);
            }}
          >
            I have read it again
          </Button>
        </div>
      )}
      {barrier === null && seen === approval.digest && (
        <>
          <Textarea
            label="Reason"
            description="Kept in the audit trail. Optional."
            placeholder="Serial number checked against the delivery note"
            autosize
            minRows={2}
            maxRows={6}
            maxLength={500}
            value={reason}
            onChange={(event) => setReason(event.currentTarget.value)}
          />
          <Group gap="xs">
            <Button
              leftSection={<IconCheck size={16} aria-hidden />}
              loading={vote.isPending && vote.variables === 'approve'}
              disabled={vote.isPending}
              onClick={() => vote.mutate('approve')}
            >
              Approve
            </Button>
            <Button
              variant="outline"
              color="red"
              className={classes['reject'] ?? ''}
              leftSection={<IconX size={16} aria-hidden />}
              loading={vote.isPending && vote.variables === 'reject'}
              disabled={vote.isPending}
              onClick={() => vote.mutate('reject')}
            >
              Reject
            </Button>
          </Group>
        </>
      )}
    </Stack>
  );
}
