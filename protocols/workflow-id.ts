// Workflow ids: the actor's own id, or a keyed hash of it where names must not be seen in Temporal.
import { createHmac } from 'node:crypto';
import { actorId, type ActorRef } from '#contracts/ids.ts';
import { requireLongKey } from './secret-key.ts';

/**
 * @param opaqueKey The key of opaque ids (SENTINEL_TEMPORAL_OPAQUE_IDS), or `null` for ids in clear. It can only be
 *                  changed together with every workflow: another key is another id.
 */
export function workflowId(ref: ActorRef, opaqueKey: Uint8Array | null): string {
  if (opaqueKey === null) return actorId(ref);
  requireLongKey(opaqueKey);
  const digest = createHmac('sha256', opaqueKey)
    .update(`sentinel/workflow-id/v1\n${actorId(ref)}`)
    .digest('base64url');
  return `${ref.kind}/${digest}`;
}
