// How many devices there are of each kind: the whole fleet is read once, in a plan for the whole of it, within a limit.
import { TrustError } from '#contracts/problems.ts';
import type { DeviceApprovalState, Liveness, RotationAdvice, TrustTier } from '#contracts/states.ts';
import {
  approvalStateSql,
  deniedNamesSql,
  livenessSql,
  retiredSql,
  rotationSql,
  textConditions,
  trustTierSql,
  type Bind,
  type DeviceFilter,
  type DeviceView,
} from './device-filter.ts';
import { isCancelled } from './errors.ts';
import type { Store } from './store.ts';
import { withProject } from './with-project.ts';

/** Devices that are alike in everything that counts are given by. */
export interface DeviceGroup {
  readonly trust_tier: TrustTier;
  readonly liveness: Liveness;
  readonly approval_state: DeviceApprovalState;
  readonly rotation: RotationAdvice;
  readonly pending_review: boolean;
  readonly retired: boolean;
  readonly devices: number;
}

/**
 * Counts the devices that have this tag and text, by everything else.
 *
 * @throws TrustError `device.count_too_slow` when the server does not get through in time
 */
export async function countDevices(
  store: Store,
  project: string,
  filter: Pick<DeviceFilter, 'tag' | 'search'>,
  view: DeviceView,
  limitMs: number,
): Promise<readonly DeviceGroup[]> {
  const values: unknown[] = [project];
  const bind: Bind = (value) => `$${values.push(value)}`;
  const conditions = ['true', ...textConditions(filter, bind)];
  return withProject(store, project, async (tx) => {
    // The reads are of all rows, so that many look-ups one by one would take the longest.
    await tx.query(`SELECT set_config('statement_timeout', $1, true), set_config('work_mem', '32MB', true)`, [
      `${limitMs}ms`,
    ]);
    try {
      return await tx.query<DeviceGroup>(
        `WITH denied AS MATERIALIZED (${deniedNamesSql}
         ), reviewed AS MATERIALIZED (
           SELECT d.device_id FROM device d
           JOIN approval a ON a.project_id = $1 AND a.id = (d.review->>'id')::uuid
           WHERE d.project_id = $1 AND d.review IS NOT NULL
         )
         SELECT ${trustTierSql(view, 'n.device_id IS NOT NULL', bind)} AS trust_tier,
           ${livenessSql(view, bind)} AS liveness, ${approvalStateSql} AS approval_state,
           ${rotationSql(view, bind)} AS rotation, w.device_id IS NOT NULL AS pending_review,
           ${retiredSql} AS retired,           count(*)::float8 AS devices
         FROM (SELECT * FROM device WHERE project_id = $1) d
         FULL JOIN (SELECT * FROM device_liveness WHERE project_id = $1) l ON l.device_id = d.device_id
         CROSS JOIN LATERAL (SELECT coalesce(d.device_id, l.device_id) AS device_id) k
         LEFT JOIN denied n ON n.device_id = d.device_id
         LEFT JOIN reviewed w ON w.device_id = d.device_id
         LEFT JOIN device_observation o ON o.project_id = $1 AND o.device_id = k.device_id
         WHERE ${conditions.join(' AND ')}
         GROUP BY 1, 2, 3, 4, 5, 6`,
        values,
      );
    } catch (error) {
      if (!isCancelled(error)) throw error;
      throw new TrustError('device.count_too_slow', { facts: { limit_ms: limitMs }, cause: error });
    }
  });
}
