// Brings devices in as real ones come, through the API and their actors, and copies of them into the tables by statement.
import type pg from 'pg';
import { createTransport } from '#client/node-transport.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { deviceId, heartbeatBody, type Fleet } from './fleet-names.ts';
import type { Identity } from './generator.ts';
import type { Api, Installation } from './installation.ts';

/** The counters that enrolling uses up. */
export const usedCounter = 2;
const atOnce = 16;

/** @returns the certificates of the devices that were enrolled, each with an actor of its own that has nothing left to do */
export async function enrol(
  { ca }: Pick<Installation, 'ca'>,
  api: Api,
  database: pg.Pool,
  fleet: Fleet,
): Promise<Identity[]> {
  const identities: Identity[] = [];
  for (let from = 0; from < fleet.identities; from += atOnce) {
    const group = Array.from({ length: Math.min(atOnce, fleet.identities - from) }, (_, index) => from + index);
    identities.push(
      ...(await Promise.all(
        group.map(async (index) => {
          const id = deviceId(fleet, index, 0);
          const { certificatePem, keyPem } = await ca.issueDevice({ deviceId: id });
          const identity = { certificate: certificatePem, key: keyPem };
          await send(ca, api, identity, heartbeatBody(id, 1));
          return identity;
        }),
      )),
    );
  }
  const ids = identities.map((_, index) => deviceId(fleet, index, 0));
  await untilSteady(database, ids);
  await Promise.all(
    ids.map((id, index) => send(ca, api, identities[index] as Identity, heartbeatBody(id, usedCounter))),
  );
  await untilSteady(database, ids);
  return identities;
}

/** As devices do: what has no time now is asked again. @throws Error when it is refused */
export async function send(
  ca: Installation['ca'],
  api: Api,
  identity: Identity,
  body: string,
): Promise<Record<string, unknown>> {
  return eventually(() => sendOnce(ca, api, identity, body), 'the answer to a heartbeat');
}

/** @returns null when the server has no time for it */
async function sendOnce(
  ca: Installation['ca'],
  api: Api,
  identity: Identity,
  body: string,
): Promise<Record<string, unknown> | null> {
  const transport = createTransport({ ca: ca.caCertificatePem, identity });
  try {
    const answer = await transport.fetch(`${api.url}/api/heartbeat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      signal: AbortSignal.timeout(20_000),
      redirect: 'error',
    });
    const text = await answer.text();
    if (answer.status === 429 || answer.status === 503) return null;
    if (answer.status > 299) throw new Error(`a heartbeat was answered ${answer.status}: ${text}`);
    return JSON.parse(text) as Record<string, unknown>;
  } finally {
    await transport.close();
  }
}

/** Nothing that a device said is left for its actor to take in. */
export async function untilSteady(database: pg.Pool, ids: readonly string[]): Promise<void> {
  await eventually(
    async () => {
      const { rows } = await database.query<{ steady: number }>(
        `SELECT count(*)::integer AS steady FROM device d JOIN device_liveness l USING (project_id, device_id)
         WHERE d.device_id = ANY ($1) AND d.state = 'approved' AND l.observed_digest = d.applied_digest
           AND l.inbox_seq = d.inbox_consumed`,
        [ids],
      );
      return rows[0]?.steady === ids.length;
    },
    `${ids.length} devices to be enrolled by their actors`,
    60_000,
  );
}

/** Column by column what an enrolled device has, so that a copy is as steady as it is; its actor is not copied. */
export async function copyDevices(database: pg.Pool, fleet: Fleet): Promise<void> {
  const ids = Array.from({ length: fleet.identities }, (_, index) => deviceId(fleet, index, 0));
  const client = await database.connect();
  try {
    // What is copied was checked when it was written: no trigger looks at it again.
    await client.query('SET session_replication_role = replica');
    for (const table of ['device', 'device_liveness', 'device_observation']) {
      const { rows } = await client.query<{ name: string }>(
        `SELECT quote_ident(column_name) AS name FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name = $1 AND column_name <> 'device_id' AND is_generated = 'NEVER'`,
        [table],
      );
      const columns = rows.map(({ name }) => name).join(', ');
      await client.query(
        `INSERT INTO ${table} (device_id, ${columns}) SELECT device_id || '-' || n, ${columns}
         FROM ${table} CROSS JOIN generate_series(1, $2::integer) n WHERE device_id = ANY ($1)`,
        [ids, fleet.copies],
      );
    }
    await client.query('RESET session_replication_role');
  } finally {
    client.release();
  }
}

/** One certificate of each device was revoked once: what is looked up for each heartbeat is as long as the fleet. */
export async function fillDenylist(database: pg.Pool, fleet: Fleet): Promise<void> {
  await database.query(
    `INSERT INTO certificate_denylist (project_id, fingerprint_sha256, device_id, issuer, serial_number, revoked_at, revoked_by)
     SELECT d.project_id, encode(sha256(('old ' || d.device_id)::bytea), 'hex'), d.device_id,
       d.pinned_certificate->>'issuer', encode(substr(sha256(d.device_id::bytea), 1, 16), 'hex'), now() - interval '1 year', 'bench'
     FROM device d WHERE d.device_id LIKE $1`,
    [`${fleet.name}-%`],
  );
}

/** As autovacuum leaves a table, and with nothing to write back that is not of what is measured. */
export async function settle(database: pg.Pool): Promise<void> {
  await database.query('VACUUM (ANALYZE)');
  await database.query('CHECKPOINT');
}
