// The heartbeat functions plan their statements once a connection. Left to choose, the server planned the judgement of every
// batch anew, because it took the plan for a small batch to be cheaper, and that cost more than judging.
import { Migration } from '@mikro-orm/migrations';

export class HeartbeatPlan extends Migration {
  override up(): void {
    this.addSql(`
SET LOCAL ROLE sentinel_heartbeat;
ALTER FUNCTION heartbeat_batch SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION heartbeat_news SET plan_cache_mode = force_generic_plan;
RESET ROLE;
`);
  }
}
