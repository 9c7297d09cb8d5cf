// After a run the database has to show exactly what was answered. A heartbeat that was under way when a round ended may
// have been judged or not.
import type pg from 'pg';
import { deviceId, type Fleet } from './fleet-names.ts';
import type { Counters } from './generator.ts';

/**
 * @param stored the counter of each device in the database
 * @throws Error that names the first device whose counter is not between what was answered and what was sent
 */
export function requireCounters(
  fleet: Fleet,
  counters: readonly Counters[],
  stored: ReadonlyMap<string, number>,
): void {
  for (const [identity, { answered, sent }] of counters.entries()) {
    for (const [copy, least] of answered.entries()) {
      const id = deviceId(fleet, identity, copy);
      const most = sent[copy] ?? 0;
      const found = stored.get(id);
      if (found === undefined || found < least || found > most) {
        throw new Error(`${id}: counter ${least} was answered and ${most} sent, and the database has ${found}`);
      }
    }
  }
}

export function answersOf(counters: readonly Counters[]): number {
  return counters.reduce((sum, { answers }) => sum + answers, 0);
}

export async function storedCounters(
  database: pg.Pool,
  table: 'device' | 'device_liveness',
  fleet: Fleet,
): Promise<Map<string, number>> {
  const { rows } = await database.query<[string, string]>({
    text: `SELECT device_id, heartbeat_counter FROM ${table} WHERE device_id LIKE $1`,
    values: [`${fleet.name}-%`],
    rowMode: 'array',
  });
  return new Map(rows.map(([id, counter]) => [id, Number(counter)]));
}
