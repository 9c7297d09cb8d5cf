// The parts of the installation in words: what each check looks at, and what to do when it is not well.
import { adviceOnCheck, labelOfCheck, type HealthCheckName } from '#contracts/health-checks.ts';
import { plainName } from './names.ts';

export type PartName = 'api' | 'database' | 'temporal' | 'worker' | 'sealer';

export const partWords: Record<PartName, { readonly label: string; readonly does: string }> = {
  api: { label: 'API', does: 'Answers devices and people' },
  database: { label: 'Postgres', does: 'Keeps what was decided' },
  temporal: { label: 'Temporal', does: 'Remembers every actor' },
  worker: { label: 'Worker', does: 'Runs the actors' },
  sealer: { label: 'Sealer', does: 'Chains and signs the trail' },
};

interface CheckWords {
  readonly label: string;
  readonly part: PartName;
  /** What to do when it is not well. */
  readonly advice: string;
}

const partOfCheck: Record<HealthCheckName, PartName> = {
  database: 'database',
  temporal: 'temporal',
  worker: 'worker',
  audit: 'database',
  news: 'worker',
  actors: 'worker',
  sealing: 'sealer',
  checkpoints: 'sealer',
  trust_anchors: 'api',
  revocation: 'api',
  trust_assertions: 'api',
  attestation: 'api',
  tls_certificate: 'api',
  shutdown: 'api',
};

export const wordsOfCheck = (name: string): CheckWords => ({
  label: labelOfCheck(name) ?? plainName(name),
  part: (partOfCheck as Readonly<Record<string, PartName>>)[name] ?? 'api',
  advice: adviceOnCheck(name),
});
