// Devices whose evidence failed are few and are looked for; an index of them costs a heartbeat whose evidence holds nothing.
import { Migration } from '@mikro-orm/migrations';

export class FailedEvidence extends Migration {
  override up(): void {
    this.addSql(`
CREATE INDEX device_attestation_failed ON device_attestation (project_id, device_id) WHERE state = 'failed';
`);
  }
}
