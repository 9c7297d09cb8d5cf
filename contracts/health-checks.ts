// The checks of readiness: which there are, and what to do about one that is not well, wherever that is shown.
export const healthChecks = {
  database: {
    label: 'Database',
    advice: 'See whether PostgreSQL runs and has room on its disk, and look into its log.',
  },
  temporal: {
    label: 'Temporal',
    advice:
      'See whether the Temporal server runs and SENTINEL_TEMPORAL_ADDRESS names it. Decisions are caught up with.',
  },
  worker: {
    label: 'Worker',
    advice: 'See whether the worker process runs, and whether it has the task queue and namespace of the API.',
  },
  audit: {
    label: 'Audit trail',
    advice: 'See whether PostgreSQL has room on its disk, and whether the roles may insert into audit_event.',
  },
  news: {
    label: 'News of devices',
    advice: 'It is caught up with by itself once worker and Temporal run. If it grows, look into the worker’s log.',
  },
  actors: {
    label: 'Actors',
    advice:
      'Find them in Temporal’s UI by TemporalReportedProblems, and do what the runbook says of a workflow that does not go on.',
  },
  sealing: {
    label: 'Sealing of the trail',
    advice: 'See whether the sealer process runs. Its log names the event or chain that holds it up.',
  },
  checkpoints: { label: 'Checkpoints', advice: 'See whether the sealer can write its checkpoint directory.' },
  trust_anchors: {
    label: 'Authorities of devices',
    advice: 'Set SENTINEL_TLS_CA to the authority that issues device certificates, and start again.',
  },
  revocation: {
    label: 'Revocation of certificates',
    advice:
      'Publish current lists to SENTINEL_DEVICE_CERTIFICATE_CRL_PATHS and restore the OCSP responder; the log of the API says more.',
  },
  trust_assertions: {
    label: 'Keys of trust assertions',
    advice:
      'Put an Ed25519 key (PKCS #8, PEM) that the API can read where SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH points; it is taken in within seconds.',
  },
  attestation: {
    label: 'Verification of evidence',
    advice: 'The log of the API says why its judge ended. Devices answer again once it goes on.',
  },
  tls_certificate: {
    label: 'Certificate of the API',
    advice: 'Replace SENTINEL_TLS_CERT and SENTINEL_TLS_KEY, and start again.',
  },
  shutdown: { label: 'Shutdown', advice: 'The API stops. Another one takes over, or it starts again.' },
} as const satisfies Readonly<Record<string, { readonly label: string; readonly advice: string }>>;

export type HealthCheckName = keyof typeof healthChecks;

const isKnown = (name: string): name is HealthCheckName => Object.hasOwn(healthChecks, name);

/** An API of another version may look at something else. */
export function adviceOnCheck(name: string): string {
  return isKnown(name) ? healthChecks[name].advice : 'Look into the log of the API.';
}

export function labelOfCheck(name: string): string | null {
  return isKnown(name) ? healthChecks[name].label : null;
}
