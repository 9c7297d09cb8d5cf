// Evidence that moves nothing is written down so often within a minute; what is more is counted.
import { Migration } from '@mikro-orm/migrations';

export class UnrecordedEvidence extends Migration {
  override up(): void {
    this.addSql(`
-- Since the last verdict of the device.
ALTER TABLE device_attestation ADD COLUMN unrecorded bigint NOT NULL DEFAULT 0;
-- Between the verdict before and this one.
ALTER TABLE attestation_verdict ADD COLUMN unrecorded bigint NOT NULL DEFAULT 0;
`);
  }
}
