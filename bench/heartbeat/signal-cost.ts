// What a signal costs Temporal, counted in the history of real actors: a steady one, which only says that a device is still
// there, and one after which there is something to take in.
import { Client, Connection } from '@temporalio/client';
import proto from '@temporalio/proto';
import type pg from 'pg';
import { defaultProject } from '#contracts/ids.ts';
import { workflowId } from '#protocols/workflow-id.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { median } from '../rounds.ts';
import type { Measurement } from '../result.ts';
import { send, untilSteady } from './enrol.ts';
import { deviceId, heartbeatBody, type Fleet } from './fleet-names.ts';
import type { Identity } from './generator.ts';
import type { Api, Installation } from './installation.ts';

const { EventType } = proto.temporal.api.enums.v1;
const secondsADay = 86_400;
/** SENTINEL_HEARTBEAT_SIGNAL_INTERVAL_SECONDS when nobody says otherwise. */
const signalIntervalSeconds = 43_200;

interface Grown {
  readonly events: number;
  readonly tasks: number;
}

/** @param fleet devices with actors; uses up two counters of each */
export async function measureSignals(
  installation: Installation,
  api: Api,
  database: pg.Pool,
  { fleet, identities, usedCounter }: { fleet: Fleet; identities: readonly Identity[]; usedCounter: number },
): Promise<Measurement[]> {
  const { temporal, ca } = installation;
  const connection = await Connection.connect({ address: temporal.address });
  try {
    const client = new Client({ connection, namespace: temporal.namespace });
    const ids = identities.map((_, index) => deviceId(fleet, index, 0));

    const beat = (counter: number, change: Record<string, unknown>): Promise<unknown> =>
      Promise.all(
        identities.map((identity, index) => {
          const body = JSON.parse(heartbeatBody(ids[index] as string, counter)) as object;
          return send(ca, api, identity, JSON.stringify({ ...body, ...change }));
        }),
      );
    const grownBy = async (work: () => Promise<unknown>): Promise<Grown> => {
      const before = await Promise.all(ids.map((id) => historyOf(client, id)));
      await work();
      await untilSteady(database, ids);
      const after = await Promise.all(ids.map((id, index) => untilAtRest(client, id, before[index]?.events ?? 0)));
      const by = (of: keyof Grown): number =>
        median(after.map((history, index) => history[of] - (before[index]?.[of] ?? 0)));
      return { events: by('events'), tasks: by('tasks') };
    };

    const steady = await grownBy(async () => {
      await database.query(
        `UPDATE device_liveness SET signalled_at = now() - interval '1 day' WHERE device_id = ANY ($1)`,
        [ids],
      );
      await beat(usedCounter + 1, {});
    });
    const change = await grownBy(() => beat(usedCounter + 2, { agent_version: '1.4.3' }));
    const row = (label: string, unit: string, value: number): Measurement => ({
      label,
      unit,
      value,
      p50: null,
      p99: null,
    });
    return [
      row('Temporal, history events of a steady signal', 'events', steady.events),
      row('Temporal, workflow tasks of a steady signal', 'tasks', steady.tasks),
      row('Temporal, history events of a change', 'events', change.events),
      row('Temporal, workflow tasks of a change', 'tasks', change.tasks),
      row(
        'Temporal, history events of a steady device',
        'events/day',
        (steady.events * secondsADay) / signalIntervalSeconds,
      ),
    ];
  } finally {
    await connection.close();
  }
}

async function historyOf(client: Client, id: string): Promise<Grown & { open: boolean }> {
  const handle = client.workflow.getHandle(workflowId({ kind: 'device', project: defaultProject, id }, null));
  const { events } = await handle.fetchHistory();
  const kinds = (events ?? []).map(({ eventType }) => eventType);
  const count = (kind: number): number => kinds.filter((one) => one === kind).length;
  const tasks = count(EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED);
  return {
    events: kinds.length,
    tasks,
    open:
      count(EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED) > tasks ||
      count(EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED) > count(EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED),
  };
}

/** It has grown, and nothing is scheduled that has not ended. */
async function untilAtRest(client: Client, id: string, before: number): Promise<Grown> {
  return eventually(async () => {
    const history = await historyOf(client, id);
    return history.events > before && !history.open ? history : null;
  }, `the actor of ${id} to take in what it was told`);
}
