// The link from an object to its workflow in Temporal's UI, which people reach through this API.
import type { Clock } from '#contracts/deps.ts';
import type { WorkflowLink } from '#contracts/http/common.ts';
import type { ActorRef } from '#contracts/ids.ts';
import type { Static } from 'typebox';

export interface WorkflowLinks {
  /** @param closedAt when the workflow ended; null for one that runs */
  to(ref: ActorRef, closedAt: string | null): Static<typeof WorkflowLink>;
}

export interface WorkflowLinksDeps {
  readonly workflowIdOf: (ref: ActorRef) => string;
  readonly namespace: string;
  readonly retentionDays: number;
  readonly clock: Clock;
}

const dayMs = 24 * 60 * 60 * 1000;

export function createWorkflowLinks({
  workflowIdOf,
  namespace,
  retentionDays,
  clock,
}: WorkflowLinksDeps): WorkflowLinks {
  return {
    to(ref, closedAt) {
      const id = workflowIdOf(ref);
      const gone = closedAt !== null && clock.now().getTime() - Date.parse(closedAt) > retentionDays * dayMs;
      const path = `/temporal/namespaces/${encodeURIComponent(namespace)}/workflows/${encodeURIComponent(id)}`;
      return { id, url: gone ? null : path };
    },
  };
}
