// /api/approvals: what waits for people, how it ended, and votes on it.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Approval, ApprovalList, ApprovalListQuery, ApprovalParams } from '#contracts/http/approvals.ts';
import { ReviewBody } from '#contracts/http/common.ts';
import { TrustError } from '#contracts/problems.ts';
import type { ApprovalFilter, ApprovalPosition, ApprovalRow } from '#store/approval.ts';
import type { Cursors } from './cursors.ts';
import { filterOf, readPage, type Page } from './pages.ts';
import { projectOf } from './projects.ts';
import { castVote, permissionOf, type VoteDeps } from './votes.ts';
import type { WorkflowLinks } from './workflow-links.ts';

export interface ApprovalsDeps extends VoteDeps {
  readonly listApprovals: (
    project: string,
    filter: ApprovalFilter,
    page: Page<ApprovalPosition>,
  ) => Promise<readonly ApprovalRow[]>;
  readonly cursors: Cursors;
  readonly links: WorkflowLinks;
}

export const approvalRoutes: FastifyPluginAsyncTypebox<ApprovalsDeps> = async (app, deps) => {
  const present = (row: ApprovalRow) => presentApproval(row, deps.links);

  app.get(
    '/api/approvals',
    {
      config: { access: 'approval.read' },
      schema: {
        operationId: 'listApprovals',
        tags: ['approvals'],
        summary: 'Approvals, newest first',
        querystring: ApprovalListQuery,
        response: { 200: ApprovalList },
      },
    },
    async (request) => {
      const project = projectOf(request);
      const filter = filterOf(request.query);
      const { rows, next_cursor } = await readPage(
        deps.cursors,
        ['approvals', project, filter],
        request.query,
        (page: Page<ApprovalPosition>) => deps.listApprovals(project, filter, page),
        ({ opened_at, id }) => ({ opened_at, id }),
      );
      return { items: rows.map(present), next_cursor };
    },
  );

  app.get(
    '/api/approvals/:id',
    {
      config: { access: 'approval.read' },
      schema: {
        operationId: 'getApproval',
        tags: ['approvals'],
        summary: 'One approval',
        params: ApprovalParams,
        response: { 200: Approval },
      },
    },
    async (request) => present(await requireApproval(projectOf(request), request.params.id)),
  );

  app.post(
    '/api/approvals/:id/review',
    {
      config: { access: 'approval.read' },
      schema: {
        operationId: 'reviewApproval',
        tags: ['approvals'],
        summary: 'Vote on an approval; which permission this takes, the approval says',
        params: ApprovalParams,
        body: ReviewBody,
        response: { 200: Approval },
      },
    },
    async (request) => {
      const { id } = request.params;
      await castVote(request, id, request.body, deps);
      return present(await requireApproval(projectOf(request), id));
    },
  );

  async function requireApproval(project: string, id: string): Promise<ApprovalRow> {
    const row = await deps.findApproval(project, id);
    if (row === null) throw new TrustError('resource.not_found', { detail: 'There is no such approval' });
    return row;
  }
};

export function presentApproval(row: ApprovalRow, links: WorkflowLinks): Approval {
  return {
    id: row.id,
    project: row.project_id,
    kind: row.kind,
    subject: { kind: row.subject_kind, id: row.subject_id },
    content: { ...row.subject },
    digest: row.digest,
    state: row.state,
    requested_by: row.requested_by as unknown as Approval['requested_by'],
    required_approvals: row.required_approvals,
    permission: permissionOf(row),
    votes: row.votes as unknown as Approval['votes'],
    opened_at: row.opened_at,
    expires_at: row.expires_at,
    closed_at: row.closed_at,
    workflow: links.to({ kind: 'approval', project: row.project_id, id: row.id }, row.closed_at),
  };
}
