// Idempotency keys: who works on a request, and what was answered to it.
import type { Store } from './store.ts';
import { withProject } from './with-project.ts';

export interface IdempotencyScope {
  readonly project: string;
  readonly principal: string;
  readonly route: string;
  readonly key: string;
}

export type IdempotencyStart =
  /** Nobody used the key: this request goes on with the claim, and says how it ended. */
  | { readonly kind: 'started'; readonly claim: string }
  /** Another request with the key has not answered yet. */
  | { readonly kind: 'running' }
  /** The key was used with another request. */
  | { readonly kind: 'mismatch' }
  | { readonly kind: 'answered'; readonly status: number; readonly body: string };

/** A request that has not answered by then gives its key up: its process has died. */
const claimSeconds = 60;
const keptSeconds = 24 * 3600;
/** How often a key may be given up between our two looks at it. */
const attempts = 3;

interface KeyRow {
  readonly request_digest: string;
  readonly status: number | null;
  readonly body: string | null;
}

/**
 * Takes the key, or tells how it is used.
 *
 * @param requestDigest of everything that the request asks for; a key is for one request
 */
export async function startIdempotent(
  store: Store,
  scope: IdempotencyScope,
  requestDigest: string,
  now: Date,
): Promise<IdempotencyStart> {
  const claim = store.random.uuid();
  const in_ = (seconds: number): string => new Date(now.getTime() + seconds * 1000).toISOString();
  return withProject(store, scope.project, async (tx) => {
    for (let attempt = 1; attempt <= attempts; attempt++) {
      const taken = await tx.query(
        `INSERT INTO idempotency_key AS k (project_id, principal, route, key, request_digest, claim, claimed_until,
           created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (project_id, principal, route, key) DO UPDATE SET
           request_digest = excluded.request_digest, claim = excluded.claim, claimed_until = excluded.claimed_until,
           status = NULL, body = NULL, created_at = excluded.created_at, expires_at = excluded.expires_at
         WHERE k.expires_at <= excluded.created_at OR (k.status IS NULL
           AND k.claimed_until <= excluded.created_at AND k.request_digest = excluded.request_digest)
         RETURNING claim`,
        [...keyOf(scope), requestDigest, claim, in_(claimSeconds), now.toISOString(), in_(keptSeconds)],
      );
      if (taken.length === 1) return { kind: 'started', claim };
      const [row] = await tx.query<KeyRow>(
        `SELECT request_digest, status, body FROM idempotency_key
         WHERE project_id = $1 AND principal = $2 AND route = $3 AND key = $4`,
        keyOf(scope),
      );
      if (row === undefined) continue;
      if (row.request_digest !== requestDigest) return { kind: 'mismatch' };
      return row.status === null ? { kind: 'running' } : { kind: 'answered', status: row.status, body: row.body ?? '' };
    }
    return { kind: 'running' };
  });
}

/** Keeps the answer, unless somebody else has taken the key over. */
export async function answerIdempotent(
  store: Store,
  scope: IdempotencyScope,
  claim: string,
  answer: { readonly status: number; readonly body: string },
): Promise<void> {
  await withProject(store, scope.project, (tx) =>
    tx.query(
      `UPDATE idempotency_key SET status = $6, body = $7
       WHERE project_id = $1 AND principal = $2 AND route = $3 AND key = $4 AND claim = $5`,
      [...keyOf(scope), claim, answer.status, answer.body],
    ),
  );
}

/** Gives the key up, so that the request may be repeated. */
export async function abandonIdempotent(store: Store, scope: IdempotencyScope, claim: string): Promise<void> {
  await withProject(store, scope.project, (tx) =>
    tx.query(
      `DELETE FROM idempotency_key
       WHERE project_id = $1 AND principal = $2 AND route = $3 AND key = $4 AND claim = $5 AND status IS NULL`,
      [...keyOf(scope), claim],
    ),
  );
}

function keyOf({ project, principal, route, key }: IdempotencyScope): readonly string[] {
  return [project, principal, route, key];
}
