// What Temporal knows of actors: which run, on which row they stand, and how to have them make sure of it.
import { setTimeout as pause } from 'node:timers/promises';
import { WorkflowNotFoundError, type Client, type WorkflowClient } from '@temporalio/client';
import type { ActorStanding } from '#contracts/actor.ts';
import type { Clock, JsonObject } from '#contracts/deps.ts';
import type { ActorRef } from '#contracts/ids.ts';
import { TrustError } from '#contracts/problems.ts';
import { actorStartOptions, standingQuery, verifySignal, workflowTypes } from '#workflows/messages.ts';

/** `missing`: it does not run, as Temporal puts it; `silent`: it runs, and does not answer. */
export type Asked =
  | { readonly found: 'standing'; readonly standing: ActorStanding }
  | { readonly found: 'missing'; readonly detail: string }
  | { readonly found: 'silent' };

export interface Standings {
  /** @throws TrustError `service.unavailable` when Temporal cannot be asked */
  of(ref: ActorRef): Promise<Asked>;
  /** Running actors of a project; one whose id does not say who it is, and that does not answer, is left out. */
  running(
    project: string,
    page: { readonly limit: number; readonly token: string | null },
  ): Promise<{ readonly refs: readonly ActorRef[]; readonly next: string | null }>;
  /** @param input what it is started with if it does not run; null to leave it then */
  verify(ref: ActorRef, input: object | null): Promise<void>;
}

export interface StandingsDeps {
  readonly client: Pick<Client, 'withDeadline' | 'workflowService'> & { readonly workflow: WorkflowClient };
  readonly namespace: string;
  readonly taskQueue: string;
  readonly workflowIdOf: (ref: ActorRef) => string;
  /** Whether ids are keyed hashes, which tell nothing. */
  readonly opaqueIds: boolean;
  readonly clock: Clock;
  readonly answerMs?: number;
}

const callMs = 5_000;

export function createStandings(deps: StandingsDeps): Standings {
  const { client, namespace, workflowIdOf, clock, answerMs = 5_000 } = deps;
  const within = <T>(work: () => Promise<T>): Promise<T> =>
    client.withDeadline(clock.now().getTime() + callMs, work).catch((cause: unknown) => {
      if (cause instanceof WorkflowNotFoundError) throw cause;
      throw new TrustError('service.unavailable', { detail: 'Temporal cannot be asked about its workflows', cause });
    });

  async function ask(workflowId: string): Promise<ActorStanding | null> {
    const query = client.workflow.getHandle(workflowId).query(standingQuery);
    // One that stands still, or whose worker is away or of an earlier version, never answers this.
    return await Promise.race([query.catch(() => null), pause(answerMs, null, { ref: false })]);
  }

  return {
    async of(ref) {
      const id = workflowIdOf(ref);
      try {
        const { status } = await within(() => client.workflow.getHandle(id).describe());
        if (status.name !== 'RUNNING') return { found: 'missing', detail: `Its workflow is ${status.name}` };
      } catch (error) {
        if (!(error instanceof WorkflowNotFoundError)) throw error;
        return { found: 'missing', detail: 'Temporal does not know its workflow' };
      }
      const standing = await ask(id);
      return standing === null ? { found: 'silent' } : { found: 'standing', standing };
    },

    async running(project, { limit, token }) {
      const { executions, nextPageToken } = await within(() =>
        client.workflowService.listWorkflowExecutions({
          namespace,
          pageSize: limit,
          ...(token === null ? {} : { nextPageToken: Buffer.from(token, 'base64url') }),
          query: `SentinelProject = '${project}' AND ExecutionStatus = 'Running'`,
        }),
      );
      const ids = executions.map(({ execution }) => execution?.workflowId ?? '');
      const refs = await Promise.all(
        ids.map(async (id) => (deps.opaqueIds ? ((await ask(id))?.ref ?? null) : refOf(project, id))),
      );
      return {
        refs: refs.filter((ref) => ref !== null),
        next: nextPageToken?.length ? Buffer.from(nextPageToken).toString('base64url') : null,
      };
    },

    async verify(ref, input) {
      const workflowId = workflowIdOf(ref);
      if (input === null) {
        const told = within(() => client.workflow.getHandle(workflowId).signal(verifySignal));
        await told.catch((error: unknown) => {
          if (!(error instanceof WorkflowNotFoundError)) throw error;
        });
        return;
      }
      const { typedSearchAttributes, ...common } = actorStartOptions(ref);
      await within(() =>
        client.workflow.signalWithStart(workflowTypes[ref.kind], {
          ...common,
          typedSearchAttributes: [...typedSearchAttributes],
          workflowId,
          taskQueue: deps.taskQueue,
          args: [input as JsonObject],
          signal: verifySignal,
          workflowIdReusePolicy: 'ALLOW_DUPLICATE',
          workflowIdConflictPolicy: 'USE_EXISTING',
        }),
      );
    },
  };
}

/** The actor whose id this is, where ids say so. */
export function refOf(project: string, workflowId: string): ActorRef | null {
  const [kind, ...rest] = workflowId.split('/');
  const id = rest.join('/');
  if (kind === 'approval') return { kind, project, id };
  return kind === 'device' && id.startsWith(`${project}/`) ? { kind, project, id: id.slice(project.length + 1) } : null;
}
