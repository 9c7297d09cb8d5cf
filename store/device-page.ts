// Pages of a list of devices: whose turn it is, found by an index, without going through the fleet where an index knows better.
import { conditionsOf, fewSql, type Bind, type DeviceFilter, type DeviceView } from './device-filter.ts';
import type { DeviceOrder } from '#contracts/states.ts';
import type { Page } from './page.ts';
import type { ProjectTransaction } from './with-project.ts';

/** The last device of the page before. */
export interface DevicePosition {
  readonly device_id: string;
  /** What it is in order by besides its id; null when it has no such time, or the order is by id. */
  readonly at: string | null;
}

/**
 * Has the server go through keys in their order and look up the rest by key, whatever it holds of the size of the fleet:
 * a page ends long before the fleet does, and behind row security the planner does not see that.
 */
export const byKey = `SELECT set_config('enable_' || what, 'off', true)
  FROM unnest(ARRAY['seqscan', 'hashjoin', 'mergejoin', 'sort']) what`;

export const known = `
  LEFT JOIN device d ON d.project_id = $1 AND d.device_id = k.device_id
  LEFT JOIN device_liveness l ON l.project_id = $1 AND l.device_id = k.device_id
  LEFT JOIN device_observation o ON o.project_id = $1 AND o.device_id = k.device_id`;

/** Those that were heard, and those with a grant: each device is one of either. */
const heard = 'device_liveness l LEFT JOIN device d ON d.project_id = $1 AND d.device_id = l.device_id';
const granted = 'device d LEFT JOIN device_liveness l ON l.project_id = $1 AND l.device_id = d.device_id';

const timed = {
  first_seen: { at: 'l.first_seen_at', sign: '<', order: 'DESC', tables: heard, first: 'l' },
  certificate_end: { at: 'd.pinned_not_after', sign: '>', order: 'ASC', tables: granted, first: 'd' },
} as const;

/** The ids of one page, in its order. */
export async function namesOfPage(
  tx: ProjectTransaction,
  filter: DeviceFilter,
  { after, limit, order = 'device_id' }: Page<DevicePosition> & { readonly order?: DeviceOrder },
  view: DeviceView,
): Promise<readonly string[]> {
  if (order === 'device_id') return namesById(tx, filter, view, after?.device_id ?? null, limit);
  // Those that have the time, and then, by id, those that have not.
  const dated = after?.at === null ? [] : await namesByTime(tx, filter, view, after, limit, order);
  if (dated.length === limit) return dated;
  const last = after?.at === null ? after.device_id : null;
  const rest = await namesById(tx, filter, view, last, limit - dated.length, `${timed[order].at} IS NULL`);
  return [...dated, ...rest];
}

async function namesById(
  tx: ProjectTransaction,
  filter: DeviceFilter,
  view: DeviceView,
  last: string | null,
  limit: number,
  ...more: readonly string[]
): Promise<readonly string[]> {
  const values: unknown[] = [tx.project];
  const bind: Bind = (value) => `$${values.push(value)}`;
  const few = fewSql(filter, view, bind);
  const conditions = [...more, ...conditionsOf(filter, view, bind)];
  if (last !== null) conditions.push(`k.device_id > ${bind(last)}`);
  const most = bind(limit);
  if (few?.plan !== 'whole') await tx.query(byKey);
  return namesOf(
    tx,
    few === null ? walk(conditions, most) : `${among(few.names, conditions)} ORDER BY k.device_id LIMIT ${most}`,
    values,
  );
}

async function namesByTime(
  tx: ProjectTransaction,
  filter: DeviceFilter,
  view: DeviceView,
  last: DevicePosition | null,
  limit: number,
  order: keyof typeof timed,
): Promise<readonly string[]> {
  const values: unknown[] = [tx.project];
  const bind: Bind = (value) => `$${values.push(value)}`;
  const { at, sign, order: direction, tables, first } = timed[order];
  const few = fewSql(filter, view, bind);
  const conditions = [`${at} IS NOT NULL`, ...conditionsOf(filter, view, bind)];
  if (last !== null)
    conditions.push(`(${at}, ${first}.device_id) ${sign} (${bind(last.at)}::timestamptz, ${bind(last.device_id)})`);
  const from = few === null ? oneByOne(tables, first, conditions) : among(few.names, conditions);
  if (few?.plan !== 'whole') await tx.query(byKey);
  // The few are put in order once they are found; looked for in that order, all would be gone through.
  if (few !== null) await tx.query(`SELECT set_config('enable_sort', 'on', true)`);
  return namesOf(
    tx,
    `${from} ORDER BY ${at} ${direction}, ${first}.device_id ${direction} LIMIT ${bind(limit)}`,
    values,
  );
}

/** A page among these names. */
function among(names: string, conditions: readonly string[]): string {
  return `SELECT k.device_id FROM (${names}) k ${known} WHERE ${['true', ...conditions].join(' AND ')}`;
}

/** A page of what these tables hold, in the order of an index of the first of them. */
function oneByOne(tables: string, first: 'd' | 'l', conditions: readonly string[]): string {
  return `SELECT k.device_id FROM ${tables}
    LEFT JOIN device_observation o ON o.project_id = $1 AND o.device_id = ${first}.device_id
    CROSS JOIN LATERAL (SELECT ${first}.device_id) k
    WHERE ${[`${first}.project_id = $1`, ...conditions].join(' AND ')}`;
}

/**
 * A page by ids, by those that were heard. A device whose liveness was lost is still one; such devices are looked for
 * between the first and the last of these only, since going through all of them would read the fleet for each page.
 */
function walk(conditions: readonly string[], limit: string): string {
  // No id is longer than 64 characters.
  const end = `(SELECT CASE WHEN count(*) < ${limit} THEN repeat('z', 65) ELSE max(h.device_id) END FROM heard h)`;
  const unheard = ['l.device_id IS NULL', `k.device_id <= ${end}`];
  return `WITH heard AS MATERIALIZED (${oneByOne(heard, 'l', conditions)} ORDER BY l.device_id LIMIT ${limit}),
    unheard AS MATERIALIZED (${oneByOne(granted, 'd', [...unheard, ...conditions])} ORDER BY d.device_id LIMIT ${limit})
  SELECT device_id FROM heard UNION ALL SELECT device_id FROM unheard ORDER BY device_id LIMIT ${limit}`;
}

async function namesOf(tx: ProjectTransaction, text: string, values: unknown[]): Promise<readonly string[]> {
  return (await tx.query<{ device_id: string }>(text, values)).map(({ device_id }) => device_id);
}
