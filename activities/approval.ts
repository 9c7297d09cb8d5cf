// Approvals seen from their two sides: the subject opens and reads them, the approval asks who may vote and tells its subject.
import type { Subject } from '#contracts/audit.ts';
import { actorId, type ActorRef } from '#contracts/ids.ts';
import type { ApprovalInput } from '#machines/approval.ts';
import type { ApprovalQuery, ApprovalRead } from '#machines/device-events.ts';
import {
  actorStartOptions,
  approvalClosedUpdate,
  subjectChangedSignal,
  subjectWithdrawnSignal,
  workflowTypes,
} from '#workflows/messages.ts';
import { cancellationSignal } from '@temporalio/activity';
import {
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  WithStartWorkflowOperation,
  type WorkflowClient,
} from '@temporalio/client';
import { beating } from './beating.ts';

export interface ApprovalActivityDeps {
  /** The approval as the store has it, or null. */
  readApproval(query: ApprovalQuery): Promise<ApprovalRead['approval']>;
  /** Which of these people are active in the live directory and have the permission. */
  standingVoters(usernames: readonly string[], permission: string): Promise<readonly string[]>;
  readonly workflows: WorkflowClient;
  readonly taskQueue: string;
  workflowId(ref: ActorRef): string;
}

export function createApprovalActivities(deps: ApprovalActivityDeps) {
  const { workflows, taskQueue, workflowId } = deps;
  const approvalRef = (query: ApprovalQuery): ActorRef => ({
    kind: 'approval',
    project: query.project,
    id: query.approval_id,
  });

  /** Signals an approval; one that has ended needs no telling. */
  const whileOpen = async (tell: Promise<void>): Promise<void> => {
    try {
      await tell;
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  };

  return {
    /**
     * Starts the approval, or tells the one that runs what is to be approved now.
     *
     * @idempotent by approval id and digest: the same subject again changes nothing, and one that has ended is left alone.
     */
    async openApproval(input: ApprovalInput): Promise<void> {
      const { content, digest, required } = input;
      const ref: ActorRef = { kind: 'approval', project: input.project, id: input.id };
      try {
        await workflows.start(workflowTypes.approval, {
          ...actorStartOptions(ref),
          workflowId: workflowId(ref),
          taskQueue,
          args: [input],
          workflowIdReusePolicy: 'REJECT_DUPLICATE',
        });
      } catch (error) {
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
        const running = workflows.getHandle(workflowId(ref));
        await whileOpen(running.signal(subjectChangedSignal, { content, digest, required }));
      }
    },

    /** Tells the approval that nobody waits for it any more. @idempotent yes: a closed approval stays as it is. */
    withdrawApproval({ reason, ...query }: ApprovalQuery & { readonly reason: string }): Promise<void> {
      return whileOpen(workflows.getHandle(workflowId(approvalRef(query))).signal(subjectWithdrawnSignal, { reason }));
    },

    /** Reads how an approval stands; null when the store has none. @idempotent yes: reads only. */
    readApproval(query: ApprovalQuery): Promise<ApprovalRead['approval']> {
      return deps.readApproval(query);
    },

    /** Asks the live directory which votes still stand. @idempotent yes: reads only. */
    async confirmVotes({
      voters,
      permission,
    }: {
      readonly voters: readonly string[];
      readonly permission: string;
    }): Promise<{ standing: readonly string[]; dropped: readonly string[] }> {
      const standing = await deps.standingVoters(voters, permission);
      return { standing, dropped: voters.filter((voter) => !standing.includes(voter)) };
    },

    /**
     * Tells the subject that its approval has closed, and returns when the subject has taken it into account.
     *
     * @idempotent by approval id, which is the update id.
     */
    async deliverOutcome({
      project,
      approval_id,
      subject,
    }: {
      readonly project: string;
      readonly approval_id: string;
      readonly subject: Subject;
    }): Promise<void> {
      if (subject.kind !== 'device') throw new TypeError(`no actor decides about a ${subject.kind}`);
      const ref: ActorRef = { kind: 'device', project, id: subject.id };
      const start = new WithStartWorkflowOperation(workflowTypes.device, {
        ...actorStartOptions(ref),
        workflowId: workflowId(ref),
        taskQueue,
        args: [{ project, id: subject.id }],
        workflowIdConflictPolicy: 'USE_EXISTING',
      });
      // The answer may have to come from this very worker, which takes nothing more while it stops.
      const deliver = () =>
        workflows.executeUpdateWithStart(approvalClosedUpdate, {
          updateId: `approval-closed-${approval_id}`,
          args: [
            {
              approval_id,
              by: { kind: 'system', id: actorId({ kind: 'approval', project, id: approval_id }) },
              request_id: approval_id,
            },
          ],
          startWorkflowOperation: start,
        });
      await beating(() => workflows.withAbortSignal(cancellationSignal(), deliver));
    },
  };
}
export type ApprovalActivities = ReturnType<typeof createApprovalActivities>;
