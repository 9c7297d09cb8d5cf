// Of each device the part of its last verdict that it may have in common with the next one, so that nobody has to look for it.
import { Migration } from '@mikro-orm/migrations';

export class LastCommon extends Migration {
  override up(): void {
    this.addSql(`
-- Of the last verdict, which is not swept; null until the device has had one since.
ALTER TABLE device_attestation ADD COLUMN common_digest text;
`);
  }
}
