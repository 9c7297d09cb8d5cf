// One review in full, for a link that is passed on.
import { Stack } from '@mantine/core';
import { IconMapQuestion } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { createLazyRoute, Link } from '@tanstack/react-router';
import { isMissing } from '../data/queries.ts';
import { useBarrier, useServices } from '../data/services.tsx';
import { ApprovalBadge } from '../parts/badges.tsx';
import { Command } from '../parts/copy.tsx';
import { Freshness } from '../parts/freshness.tsx';
import { Json } from '../parts/json.tsx';
import { Loading, Nothing, Page, Panel } from '../parts/page.tsx';
import { ProblemAlert } from '../parts/problem.tsx';
import { Barrier } from '../parts/barrier.tsx';
import { ReviewForm, ReviewSubject } from '../parts/review.tsx';
import { VoteCount, Votes } from '../parts/votes.tsx';
import { WorkflowLink } from '../parts/workflow-link.tsx';
import { kindWords } from '../words/states.ts';
import classes from './device.module.css';

export const approvalRoute = createLazyRoute('/signed-in/approvals/$id')({ component: ApprovalPage });

function ApprovalPage() {
  const { id } = approvalRoute.useParams();
  const { queries } = useServices();
  const barrier = useBarrier('approval.read');
  const query = useQuery({ ...queries.approval(id), enabled: barrier === null });
  const approval = query.data;
  const above = (
    <nav className={classes['crumbs']} aria-label="Breadcrumb" data-print="hide">
      <Link to="/approvals">Approvals</Link>
      <span aria-hidden>/</span>
      <span aria-current="page">{id}</span>
    </nav>
  );
  if (approval === undefined) {
    return (
      <Page title="Review" above={above}>
        {barrier !== null && <Barrier text={barrier} />}
        {barrier === null && query.error === null && (
          <Panel title="Review" flush>
            <Loading label="Reading the review" />
          </Panel>
        )}
        {query.error !== null && isMissing(query.error) && (
          <Panel title="Review" flush>
            <Nothing icon={IconMapQuestion} title="There is no such review in this project">
              The link may be cut short, or belong to another project.
            </Nothing>
          </Panel>
        )}
        {query.error !== null && !isMissing(query.error) && (
          <ProblemAlert error={query.error} onRetry={() => void query.refetch()} />
        )}
      </Page>
    );
  }
  const title = `${kindWords[approval.kind].label} of ${approval.subject.id}`;
  return (
    <Page
      title={title}
      above={above}
      heading={
        <span className={classes['heading']}>
          {title}
          <ApprovalBadge state={approval.state} large />
        </span>
      }
      actions={
        <>
          <Freshness query={query} />
          <WorkflowLink workflow={approval.workflow} />
        </>
      }
    >
      <div className={classes['columns']}>
        <div>
          <Panel title="What is up for approval">
            <ReviewSubject approval={approval} />
          </Panel>
        </div>
        <div>
          <Panel title="Votes" actions={<VoteCount approval={approval} />}>
            <Stack gap="md">
              {(approval.votes.length > 0 || approval.state === 'open') && <Votes approval={approval} />}
              <ReviewForm approval={approval} via="approval" />
            </Stack>
          </Panel>
          {approval.subject.kind === 'device' && (
            <Panel title="See also">
              <Stack gap="xs">
                <Link
                  to="/devices/$deviceId"
                  params={{ deviceId: approval.subject.id }}
                  className={classes['also'] ?? ''}
                >
                  The device {approval.subject.id}
                </Link>
                <Link
                  to="/audit"
                  search={{ subject_kind: 'approval', subject_id: approval.id }}
                  className={classes['also'] ?? ''}
                >
                  Audit events about this review
                </Link>
                <Command line={`npx --no-install sentinel approval show ${approval.id}`} />
              </Stack>
            </Panel>
          )}
        </div>
      </div>
      <Panel title="The review as the API sends it">
        <Json value={approval} label="Review as JSON" />
      </Panel>
    </Page>
  );
}
