// What makes the few findable among the many: devices that are not as most are, and the newest.
import { Migration } from '@mikro-orm/migrations';

export class FleetLists extends Migration {
  override up(): void {
    this.addSql(`
CREATE INDEX device_unusual ON device (project_id, device_id) WHERE state <> 'approved' OR tier <> 'monitored';
CREATE INDEX device_reviewed ON device (project_id, device_id) WHERE review IS NOT NULL;
-- None of these columns changes with a heartbeat, so that a heartbeat still changes no index.
CREATE INDEX device_liveness_first_seen ON device_liveness (project_id, first_seen_at, device_id);
`);
  }
}
