// The authorities whose certificates identify devices. Each belongs to one project, and so do the devices it vouches for.
import { TrustError } from '#contracts/problems.ts';
import type { Store } from './store.ts';
import { withProject } from './with-project.ts';

export interface TrustAnchorRow {
  readonly project_id: string;
  readonly fingerprint_sha256: string;
  readonly pem: string;
}

export interface ConfiguredAnchor {
  readonly fingerprint_sha256: string;
  readonly subject: string;
  readonly pem: string;
}

/** The authorities of all projects that count now. */
export async function listTrustAnchors(store: Store): Promise<readonly TrustAnchorRow[]> {
  return store.query<TrustAnchorRow>(
    `SELECT project_id, fingerprint_sha256, pem FROM trust_anchor WHERE retired_at IS NULL
     ORDER BY project_id, fingerprint_sha256`,
  );
}

/**
 * Makes these the authorities of a project: what is missing is added, and what is no longer named is retired at once.
 *
 * @throws TrustError `request.invalid` when one of them belongs to another project
 * @idempotent yes
 */
export async function syncTrustAnchors(
  store: Store,
  project: string,
  anchors: readonly ConfiguredAnchor[],
  now: string,
): Promise<void> {
  try {
    await withProject(store, project, async (tx) => {
      await tx.query(
        `UPDATE trust_anchor SET retired_at = $3
         WHERE project_id = $1 AND retired_at IS NULL AND fingerprint_sha256 <> ALL ($2)`,
        [project, anchors.map(({ fingerprint_sha256 }) => fingerprint_sha256), now],
      );
      await tx.query(
        `INSERT INTO trust_anchor (project_id, fingerprint_sha256, subject, pem, created_at)
         SELECT $1, a.fingerprint_sha256, a.subject, a.pem, $3
         FROM jsonb_to_recordset($2) AS a (fingerprint_sha256 text, subject text, pem text)
         ON CONFLICT (project_id, fingerprint_sha256) DO UPDATE SET retired_at = NULL`,
        [project, JSON.stringify(anchors), now],
      );
    });
  } catch (error) {
    if ((error as { code?: unknown }).code !== '23505') throw error;
    throw new TrustError('request.invalid', {
      detail: `An authority of the project ${project} belongs to another project already`,
      cause: error,
    });
  }
}
