// What holds after everything that was broken: every answer is found in the database and on the chain, once, and every actor is what its row says.
import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import pg from 'pg';
import type { MachineSnapshot } from '#contracts/actor.ts';
import type { ActorDefinition, Deadlines } from '#machines/actor.ts';
import { approvalActor } from '#machines/approval.ts';
import { deviceActor } from '#machines/device-actor.ts';
import { eventually } from '#tests/harness/eventually.ts';
import type { DeviceRecord, Ledger } from './load.ts';
import type { Siege } from './siege.ts';

const definitions = { device: deviceActor, approval: approvalActor } as unknown as Readonly<
  Record<string, ActorDefinition<{ deadlines: Deadlines }, { type: string }>>
>;
const stateAttribute = defineSearchAttributeKey('SentinelState', SearchAttributeType.KEYWORD);

export interface Checked {
  /** What was lost, doubled or left behind; empty when everything held. */
  readonly broken: readonly string[];
  readonly devices: number;
  readonly approvals: number;
  readonly auditEvents: number;
}

interface ActorRow {
  readonly id: string;
  readonly kind: string;
  readonly subject_id: string;
  readonly run_id: string;
  readonly state: string;
}

type Rows = <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>;

/** Looks at everything, when the load has stopped. */
export async function checkInvariants(siege: Siege, ledger: Ledger): Promise<Checked> {
  const database = new pg.Client({ connectionString: siege.superuserUrl });
  database.on('error', () => {});
  await database.connect();
  const rows: Rows = async <Row>(text: string, values: readonly unknown[] = []) =>
    (await database.query(text, [...values])).rows as Row[];
  const connection = await Connection.connect({ address: siege.temporalAddress });
  const temporal = new Client({ connection });
  try {
    await untilTakenIn(rows);
    const broken = [...ledger.violations];
    const actors = await untilQuiet(rows, temporal, broken);
    await untilSealed(rows, broken);
    for (const record of ledger.devices) broken.push(...(await ofDevice(record, rows)));
    // The devices were just refused once more, and that is on record too.
    await untilSealed(rows, broken);
    broken.push(...(await ofApprovals(rows)), ...(await ofHistories(rows)), ...(await ofTrail(siege)));
    for (const actor of actors) broken.push(...(await ofProjection(actor, rows)));
    return {
      broken,
      devices: actors.filter(({ kind }) => kind === 'device').length,
      approvals: actors.filter(({ kind }) => kind === 'approval').length,
      auditEvents: Number((await rows<{ n: string }>('SELECT count(*) AS n FROM audit_event'))[0]?.n),
    };
  } finally {
    await connection.close();
    await database.end();
  }
}

export function assertHeld({ broken }: Checked): void {
  assert.deepEqual(broken, []);
}

/** Whatever was news has reached its actor. */
async function untilTakenIn(rows: Rows): Promise<void> {
  const left = () =>
    rows<{ device_id: string }>(`SELECT device_id FROM devices_with_news('', '', 20, now() + '1 hour')`);
  await eventually(async () => (await left()).length === 0, 'all news to be taken in', 60_000).catch(
    async (error: unknown) => {
      throw new Error(`${(error as Error).message}: ${JSON.stringify(await left())}`, { cause: error });
    },
  );
}

/** Every actor that should run does, in the run that its row names, and shows the state of its row. */
async function untilQuiet(rows: Rows, temporal: Client, broken: string[]): Promise<readonly ActorRow[]> {
  let actors: readonly ActorRow[] = [];
  let different: string[] = [];
  await eventually(
    async () => {
      actors = await rows<ActorRow>('SELECT id, kind, subject_id, run_id, state FROM actor ORDER BY id');
      different = [];
      for (const { id, kind, run_id, state } of actors) {
        const shown = await temporal.workflow.getHandle(id).describe();
        const running = kind === 'device' || state === 'open' || state === 'deciding';
        const seen = [shown.runId, shown.status.name, shown.typedSearchAttributes.get(stateAttribute)];
        const due = [run_id, running ? 'RUNNING' : 'COMPLETED', state];
        if (!isDeepStrictEqual(seen, due))
          different.push(`${id}: Temporal has ${seen.join(' ')}, its row ${due.join(' ')}`);
      }
      return different.length === 0;
    },
    'every actor to be what its row says',
    60_000,
  ).catch(() => broken.push(...different));
  return actors;
}

/** Whatever is on record by now gets its place on the chain: the sealer comes after whoever writes, who may still go on. */
async function untilSealed(rows: Rows, broken: string[]): Promise<void> {
  const [last] = await rows<{ position: string | null }>('SELECT max(position) AS position FROM audit_event');
  const left = () =>
    rows<{ id: string; action: string }>(
      'SELECT id, action FROM audit_event WHERE sequence IS NULL AND position <= $1 LIMIT 20',
      [last?.position],
    );
  await eventually(async () => (await left()).length === 0, 'every event to be sealed', 60_000).catch(async () => {
    for (const { id, action } of await left()) broken.push(`event ${id} (${action}) is not sealed`);
  });
}

async function ofDevice(record: DeviceRecord, rows: Rows): Promise<string[]> {
  const { device, accepted, fingerprint, voted, required } = record;
  const broken: string[] = [];
  const expect = (holds: boolean, what: string): void => void (holds || broken.push(`${device.id}: ${what}`));
  const count = async (action: string, and = ''): Promise<number> =>
    Number(
      (
        await rows<{ n: string }>(
          `SELECT count(*) AS n FROM audit_event WHERE subject_id = $1 AND action = $2 AND sequence IS NOT NULL ${and}`,
          [device.id, action],
        )
      )[0]?.n,
    );

  const [row] = await rows<{ heartbeat_counter: string }>(
    'SELECT heartbeat_counter FROM device_liveness WHERE device_id = $1',
    [device.id],
  );
  const highest = Math.max(0, ...accepted);
  expect(row !== undefined, 'its first contact is not in the database');
  expect(Number(row?.heartbeat_counter ?? 0) >= highest, `counter ${highest} was accepted and is lost`);
  if (highest > 0) {
    const again = await device.heartbeat(highest, { tags: required === 2 ? ['payments'] : [] });
    expect(again.status >= 400, `counter ${highest} is accepted again`);
  }

  const approvals = await rows<{ id: string; state: string; votes: { by: string }[] }>(
    'SELECT id, state, votes FROM approval WHERE subject_id = $1',
    [device.id],
  );
  expect(approvals.length === 1, `${approvals.length} approvals for one enrollment`);
  expect((await count('device.identity.pending')) === 1, 'its enrollment is on record more than once, or not at all');
  const votes = approvals[0]?.votes.map(({ by }) => by).toSorted() ?? [];
  expect(
    isDeepStrictEqual(votes, [...voted].toSorted()),
    `votes of ${votes.join()}, and ${[...voted].join()} were told so`,
  );
  if (voted.size === required) {
    expect(approvals[0]?.state === 'approved', `approved by all, and ${approvals[0]?.state}`);
    expect((await count('device.identity.approved')) === 1, 'its approval took effect more than once, or never');
  }

  const denied = await rows('SELECT FROM certificate_denylist WHERE fingerprint_sha256 = $1', [fingerprint]);
  const revocations = await count('device.certificate.revoked');
  const due = record.revocation === 'answered' ? 1 : 0;
  expect(
    denied.length === due && revocations === due,
    `${denied.length} revocations, ${revocations} on record, of ${due}`,
  );
  return broken;
}

/** Whatever the load knows of: votes, their record and their use agree. */
async function ofApprovals(rows: Rows): Promise<string[]> {
  const found = await rows<{ id: string }>(
    `SELECT a.id FROM approval a
     WHERE jsonb_array_length(a.votes) <> (SELECT count(DISTINCT v->>'by') FROM jsonb_array_elements(a.votes) v)
       OR jsonb_array_length(a.votes) <> (SELECT count(*) FROM audit_event e
         WHERE e.subject_id = a.id::text AND e.action = 'approval.voted')
       OR (a.state = 'approved') <> EXISTS (SELECT FROM approval_consumption c WHERE c.approval_id = a.id)
       OR (a.state = 'approved' AND jsonb_array_length(a.votes) < a.required_approvals)`,
  );
  return found.map(({ id }) => `approval ${id}: votes, their record and their use differ`);
}

/** Each revision of each actor stands once, from the first to the one of its row; nothing was fenced, so nothing was adopted. */
async function ofHistories(rows: Rows): Promise<string[]> {
  const gaps = await rows<{ id: string }>(
    `SELECT a.id FROM actor a JOIN actor_transition t ON t.project_id = a.project_id AND t.actor_id = a.id
     GROUP BY a.id, a.revision
     HAVING count(*) <> a.revision OR min(t.revision) <> 1 OR max(t.revision) <> a.revision
       OR count(DISTINCT t.revision) <> a.revision`,
  );
  const adopted = await rows<{ subject_id: string }>(
    `SELECT subject_id FROM audit_event WHERE action = 'actor.adopted'`,
  );
  return [
    ...gaps.map(({ id }) => `${id}: its history has gaps`),
    ...adopted.map(({ subject_id }) => `${subject_id}: was fenced although nobody reset it`),
  ];
}

async function ofTrail({ stack }: Siege): Promise<string[]> {
  const vic = await stack.as('vic');
  const { valid, reason } = await vic.audit.integrity({ full: true });
  return valid ? [] : [`the audit trail: ${reason ?? 'not valid, without a reason'}`];
}

/**
 * The row that readers see is what the machine of this release makes of the state that the actor wrote: both as one
 * statement finds them, since actors may still go on.
 */
async function ofProjection({ id, kind, subject_id }: ActorRow, rows: Rows): Promise<string[]> {
  const [table, key] = kind === 'device' ? ['device', 'device_id'] : ['approval', 'id::text'];
  const [found] = await rows<{ row: Record<string, unknown> | null; snapshot: MachineSnapshot<never> }>(
    `SELECT to_jsonb(x) AS row, a.snapshot FROM actor a LEFT JOIN ${table} x ON x.${key} = a.subject_id
     WHERE a.id = $1 AND a.subject_id = $2`,
    [id, subject_id],
  );
  if (found === undefined) return [`${id}: its row is gone`];
  const projected = definitions[kind]?.project(found.snapshot).row as unknown as Record<string, unknown>;
  const differing = Object.keys(projected).filter(
    (name) => !isDeepStrictEqual(plain(found.row?.[name]), plain(projected[name])),
  );
  return differing.map(
    (name) =>
      `${id}: ${name} is ${JSON.stringify(found.row?.[name])}, its machine says ${JSON.stringify(projected[name])}`,
  );
}

const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/;

/** As JSON of the database and of our own agree on it. */
function plain(value: unknown): unknown {
  if (typeof value === 'string' && instant.test(value)) return new Date(value).toISOString();
  return value ?? null;
}
