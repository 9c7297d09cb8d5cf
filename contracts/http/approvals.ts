// /api/approvals: what waits for people, who voted, and how it ended.
import { Type, type Static } from 'typebox';
import { permissionNames } from '../permissions.ts';
import { approvalKinds, approvalStates } from '../states.ts';
import { Digest, Exactly, Instant, List, ListQuery, Names, Nullable, Uuid, WorkflowLink } from './common.ts';

export const ApprovalParams = Type.Object({ id: Uuid });

export const Approval = Type.Object({
  id: Type.String(),
  project: Type.String(),
  kind: Names(approvalKinds),
  subject: Type.Object({ kind: Type.String(), id: Type.String() }),
  /** Exactly what is approved; its digest is `digest`. */
  content: Type.Record(Type.String(), Type.Unknown()),
  digest: Digest,
  state: Names(approvalStates),
  requested_by: Type.Object({ kind: Type.String(), id: Type.String() }),
  required_approvals: Type.Integer(),
  permission: Names(permissionNames),
  votes: Type.Array(
    Type.Object({
      by: Type.String(),
      decision: Names(['approve', 'reject']),
      reason: Nullable(Type.String()),
      at: Instant,
    }),
  ),
  opened_at: Instant,
  expires_at: Instant,
  closed_at: Nullable(Instant),
  workflow: WorkflowLink,
});
export type Approval = Static<typeof Approval>;

export const ApprovalListQuery = Exactly({
  ...ListQuery,
  state: Type.Optional(Names(approvalStates)),
  kind: Type.Optional(Names(approvalKinds)),
  subject_id: Type.Optional(Type.String({ maxLength: 64 })),
});
export type ApprovalListQuery = Static<typeof ApprovalListQuery>;
export const ApprovalList = List(Approval);
export type ApprovalList = Static<typeof ApprovalList>;
