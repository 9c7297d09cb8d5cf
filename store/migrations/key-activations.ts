// Attestation keys that have shown that they live in their TPM, and by which evidence: kept for as long as the key may count.
import { Migration } from '@mikro-orm/migrations';
import { protectProjectTables } from './row-security.ts';

export class KeyActivations extends Migration {
  override up(): void {
    this.addSql(`
CREATE TABLE key_activation (
  project_id text NOT NULL REFERENCES project,
  device_id text NOT NULL,
  key_id text NOT NULL,
  endorsement_key_id text NOT NULL,
  -- With the evidence that brought the secret back, and the challenge that had the credential with it.
  verdict bigint NOT NULL,
  PRIMARY KEY (project_id, device_id, key_id),
  -- Nobody may sweep what it rests on.
  FOREIGN KEY (project_id, device_id, verdict) REFERENCES attestation_verdict (project_id, device_id, verdict)
);
`);
    this.addSql(protectProjectTables(['key_activation']));
    this.addSql(`
GRANT SELECT, INSERT, UPDATE ON key_activation TO sentinel_api;
GRANT SELECT ON key_activation TO sentinel_worker;
`);
  }
}
