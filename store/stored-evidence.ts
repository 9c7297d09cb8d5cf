// Evidence as it was stored with its verdict, for the actor that has it verified again.
import type { AttestationCircumstances } from '#contracts/attestation.ts';
import type { Json } from '#contracts/deps.ts';
import { toInstant } from './plain.ts';
import type { Store } from './store.ts';
import { withProject } from './with-project.ts';

export interface StoredEvidence {
  /** When it was judged, RFC 3339. */
  readonly at: string;
  readonly generation: number;
  readonly evidence: Json;
  readonly evidence_digest: string;
  readonly circumstances: AttestationCircumstances;
}

/** @returns null when there is no such verdict */
export async function storedEvidence(
  store: Store,
  project: string,
  deviceId: string,
  verdict: number,
): Promise<StoredEvidence | null> {
  const [row] = await withProject(store, project, (tx) =>
    tx.query<StoredEvidence>(
      `SELECT at, generation, evidence, evidence_digest, circumstances FROM attestation_verdict
       WHERE project_id = $1 AND device_id = $2 AND verdict = $3`,
      [project, deviceId, verdict],
    ),
  );
  return row ? { ...row, at: toInstant(row.at) } : null;
}
