// Certificates in the order in which they end: those that are pinned, and those that people are asked about.
import { Migration } from '@mikro-orm/migrations';

export class CertificateExpiry extends Migration {
  override up(): void {
    this.addSql(`
CREATE INDEX device_pinned_not_after ON device (project_id, pinned_not_after, device_id)
  WHERE pinned_not_after IS NOT NULL;
-- Times are written in one form of one length, so that their text has their order; casting them would not be immutable.
CREATE INDEX approval_certificate_not_after ON approval
  (project_id, (subject->'certificate'->>'not_after'), subject_id)
  WHERE state IN ('open', 'deciding') AND subject_kind = 'device';
`);
  }
}
