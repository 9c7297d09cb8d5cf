// Attestation: what devices are asked, every verdict with what it rests on, and where each device stands. The heartbeat
// path writes them; what a device is bound to, and the generation that its actor has confirmed, stand in the grant.
import { Migration } from '@mikro-orm/migrations';
import { protectProjectTables } from './row-security.ts';

export class Attestation extends Migration {
  override up(): void {
    this.addSql(`
-- What a device was asked and has not answered: one at a time, gone once it is answered.
CREATE TABLE attestation_challenge (
  project_id text NOT NULL REFERENCES project,
  device_id text NOT NULL,
  provider text NOT NULL,
  nonce text NOT NULL CHECK (length(nonce) = 43),
  selection jsonb NOT NULL,
  issued_at timestamptz(3) NOT NULL,
  expires_at timestamptz(3) NOT NULL,
  activation jsonb,
  PRIMARY KEY (project_id, device_id)
);

-- Reference values and limits, once for all verdicts that used them.
CREATE TABLE attestation_basis (
  project_id text NOT NULL REFERENCES project,
  digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
  content jsonb NOT NULL,
  first_used_at timestamptz(3) NOT NULL,
  PRIMARY KEY (project_id, digest)
);

-- Every judgement of evidence, with all that it takes to compute it again.
CREATE TABLE attestation_verdict (
  project_id text NOT NULL REFERENCES project,
  device_id text NOT NULL,
  verdict bigint NOT NULL,
  at timestamptz(3) NOT NULL,
  provider text NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('verified', 'unproven', 'refused')),
  code text,
  reason text,
  -- Whether it moved the device's standing; the others are swept after a while.
  changed boolean NOT NULL,
  generation integer NOT NULL,
  evidence_digest text NOT NULL CHECK (evidence_digest ~ '^[0-9a-f]{64}$'),
  evidence jsonb NOT NULL,
  -- The challenge that was answered, the binding, the assigned tags, and what an external verifier said.
  circumstances jsonb NOT NULL,
  basis_digest text NOT NULL,
  -- The verdict as a whole.
  result jsonb NOT NULL,
  PRIMARY KEY (project_id, device_id, verdict),
  FOREIGN KEY (project_id, basis_digest) REFERENCES attestation_basis (project_id, digest)
);
CREATE INDEX attestation_verdict_swept ON attestation_verdict (at) WHERE NOT changed;

CREATE TABLE device_attestation (
  project_id text NOT NULL REFERENCES project,
  device_id text NOT NULL,
  state text NOT NULL CHECK (state IN ('challenged', 'verified', 'failed')),
  generation integer NOT NULL,
  verdict bigint NOT NULL,
  provider text NOT NULL,
  key_id text,
  binding_id text,
  manufacturer text,
  verified_at timestamptz(3),
  fresh_until timestamptz(3),
  code text,
  reason text,
  detail text,
  clock jsonb,
  updated_at timestamptz(3) NOT NULL,
  PRIMARY KEY (project_id, device_id),
  CHECK (state <> 'verified' OR (verified_at IS NOT NULL AND fresh_until IS NOT NULL AND key_id IS NOT NULL))
) WITH (fillfactor = 70);

-- Decided by people, written by the actor.
ALTER TABLE device
  ADD COLUMN attestation_provider text,
  ADD COLUMN attestation_key text,
  ADD COLUMN hardware_binding text,
  ADD COLUMN attested_generation integer;
`);
    this.addSql(
      protectProjectTables(['attestation_challenge', 'attestation_basis', 'attestation_verdict', 'device_attestation']),
    );
    this.addSql(`
GRANT SELECT ON attestation_challenge, attestation_basis, attestation_verdict, device_attestation TO sentinel_api;
GRANT INSERT, UPDATE, DELETE ON attestation_challenge TO sentinel_api;
GRANT INSERT ON attestation_basis, attestation_verdict TO sentinel_api;
GRANT INSERT, UPDATE ON device_attestation TO sentinel_api;
-- The worker reads what it verifies again, and may lower a standing that has gone stale.
GRANT SELECT ON attestation_basis, attestation_verdict, device_attestation TO sentinel_worker;
`);
  }
}
