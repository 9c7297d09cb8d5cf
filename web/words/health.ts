// The parts of the installation in words: what each check looks at, and what to do when it is not well.
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

const checkWords: Readonly<Record<string, CheckWords>> = {
  database: {
    label: 'Database',
    part: 'database',
    advice: 'See whether PostgreSQL runs and has room on its disk, and look into its log.',
  },
  temporal: {
    label: 'Temporal',
    part: 'temporal',
    advice:
      'See whether the Temporal server runs and SENTINEL_TEMPORAL_ADDRESS names it. Decisions are caught up with.',
  },
  worker: {
    label: 'Worker',
    part: 'worker',
    advice: 'See whether the worker process runs, and whether it has the task queue and namespace of the API.',
  },
  news: {
    label: 'News of devices',
    part: 'worker',
    advice: 'It is caught up with by itself once worker and Temporal run. If it grows, look into the worker’s log.',
  },
  sealing: {
    label: 'Sealing of the trail',
    part: 'sealer',
    advice: 'See whether the sealer process runs. Its log names the event or chain that holds it up.',
  },
  checkpoints: {
    label: 'Checkpoints',
    part: 'sealer',
    advice: 'See whether the sealer can write its checkpoint directory.',
  },
  trust_anchors: {
    label: 'Authorities of devices',
    part: 'api',
    advice: 'Set SENTINEL_TLS_CA to the authority that issues device certificates, and start again.',
  },
  tls_certificate: {
    label: 'Certificate of the API',
    part: 'api',
    advice: 'Replace SENTINEL_TLS_CERT and SENTINEL_TLS_KEY, and start again.',
  },
  shutdown: { label: 'Shutdown', part: 'api', advice: 'The API stops. Another one takes over, or it starts again.' },
};

export const wordsOfCheck = (name: string): CheckWords =>
  checkWords[name] ?? { label: plainName(name), part: 'api', advice: 'Look into the log of the API.' };
