// A vote, wherever it is cast: on the approval itself, or on the device that waits for it.
import type { FastifyRequest } from 'fastify';
import type { ReviewBody } from '#contracts/http/common.ts';
import { permissions, type Permission } from '#contracts/permissions.ts';
import { TrustError } from '#contracts/problems.ts';
import { closedApprovalStates } from '#contracts/states.ts';
import type { ApprovalRow } from '#store/approval.ts';
import type { Actors } from './actors.ts';
import { requirePermission, signedIn } from './authorization.ts';
import type { TrustedProxy } from './client-address.ts';
import { actionId } from './idempotency.ts';
import { projectOf } from './projects.ts';

export interface VoteDeps {
  readonly findApproval: (project: string, id: string) => Promise<ApprovalRow | null>;
  readonly actors: Pick<Actors, 'vote'>;
  readonly proxy: TrustedProxy;
}

/**
 * Casts the vote of the person who is signed in, and returns when it is durable.
 *
 * @throws TrustError `resource.not_found`, `auth.forbidden`, and whatever the approval refuses it for
 */
export async function castVote(request: FastifyRequest, id: string, body: ReviewBody, deps: VoteDeps): Promise<void> {
  const project = projectOf(request);
  const person = signedIn(request);
  const approval = await deps.findApproval(project, id);
  if (approval === null) throw new TrustError('resource.not_found', { detail: 'There is no such approval' });
  requirePermission(person, permissionOf(approval));
  try {
    await deps.actors.vote(
      { project, id },
      {
        by: { kind: 'user', id: person.username, ip: deps.proxy.clientAddress(request) },
        request_id: actionId(request),
        decision: body.decision,
        reason: body.reason ?? null,
        digest: body.digest ?? null,
      },
    );
  } catch (error) {
    throw await explain(error, { project, id, digest: body.digest ?? null }, deps);
  }
}

interface Asked {
  readonly project: string;
  readonly id: string;
  readonly digest: string | null;
}

/**
 * The row decides whether an approval has closed: its actor may be a commit ahead, or Temporal may have lost it. Who saw
 * another version of the subject hears which one it is now, as far as the store knows yet.
 */
async function explain(error: unknown, { project, id, digest }: Asked, { findApproval }: VoteDeps): Promise<unknown> {
  const { code } = error as TrustError;
  if (code === 'review.changed') {
    const present = (await findApproval(project, id))?.digest ?? digest;
    return present === digest ? error : new TrustError(code, { facts: { digest: present ?? '' }, cause: error });
  }
  if (code !== 'review.closed') return error;
  const approval = await findApproval(project, id);
  const closed = (closedApprovalStates as readonly string[]).includes(approval?.state ?? '');
  if (closed) return error;
  return new TrustError('service.unavailable', {
    detail: 'Whether this review is closed is being written down at this moment; ask again',
    cause: error,
  });
}

/** What a vote on it takes. */
export function permissionOf({ permission }: Pick<ApprovalRow, 'permission'>): Permission {
  if (!Object.hasOwn(permissions, permission)) throw new TypeError('an approval names a permission of ours');
  return permission as Permission;
}
