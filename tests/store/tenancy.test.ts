// Who sees and writes what in the database: rows of one project at a time, and each role what it is for.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import pg from 'pg';
import { entities } from '#store/entities/list.ts';
import { databaseRoles } from '#store/roles.ts';
import { withProject } from '#store/with-project.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { addProject, type StoreTest, storeTest } from './database.ts';

/** What each role may do, letter by letter: Select, Insert, Update, Delete, on the table or on some of its columns. */
const grants: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  sentinel_api: {
    actor: 'S',
    actor_transition: 'S',
    admin_password_rehash: 'SIU',
    admin_session: 'SIU',
    approval: 'S',
    approval_consumption: 'S',
    audit_checkpoint: 'S',
    audit_event: 'SI',
    audit_head: 'S',
    attestation_basis: 'SI',
    attestation_challenge: 'SIUD',
    attestation_common: 'SI',
    attestation_verdict: 'SI',
    certificate_denylist: 'SI',
    device: 'S',
    device_attestation: 'SIU',
    device_candidate: 'S',
    device_first_contact: 'S',
    device_inbox: 'S',
    device_liveness: 'S',
    device_observation: 'S',
    device_silence: 'S',
    idempotency_key: 'SIUD',
    key_activation: 'SIU',
    operator: 'SIUD',
    organisation: 'S',
    outbox_event: 'SI',
    project: 'S',
    saved_filter: 'SIUD',
    schema_migration: 'S',
    sealer_status: 'S',
    totp_use: 'SI',
    trust_anchor: 'SIU',
  },
  sentinel_worker: {
    actor: 'SIU',
    actor_transition: 'SI',
    approval: 'SIU',
    approval_consumption: 'SI',
    audit_checkpoint: 'S',
    audit_event: 'SI',
    audit_head: 'S',
    attestation_basis: 'S',
    attestation_common: 'S',
    attestation_verdict: 'S',
    // An actor that remembers a revocation which a restored database has lost puts it back.
    certificate_denylist: 'SI',
    device: 'SIU',
    device_attestation: 'S',
    device_candidate: 'S',
    device_first_contact: 'SD',
    device_inbox: 'S',
    device_liveness: 'S',
    device_observation: 'S',
    key_activation: 'S',
    operator: 'S',
    organisation: 'S',
    outbox_event: 'SI',
    project: 'S',
    schema_migration: 'S',
    sealer_status: 'S',
    trust_anchor: 'S',
  },
  sentinel_sealer: {
    audit_checkpoint: 'SI',
    audit_event: 'SU',
    audit_head: 'SIU',
    organisation: 'S',
    outbox_event: 'SU',
    project: 'S',
    schema_migration: 'S',
    sealer_status: 'SU',
  },
  sentinel_heartbeat: {
    certificate_denylist: 'S',
    device: 'S',
    device_candidate: 'SIU',
    device_first_contact: 'SI',
    device_inbox: 'I',
    device_liveness: 'SIU',
    device_observation: 'SIU',
    device_silence: 'SID',
  },
  sentinel_reconciler: {
    actor: 'S',
    admin_session: 'SD',
    approval: 'S',
    attestation_basis: 'SD',
    attestation_common: 'SD',
    attestation_verdict: 'SD',
    certificate_denylist: 'S',
    device: 'S',
    device_attestation: 'S',
    device_candidate: 'S',
    device_first_contact: 'S',
    device_inbox: 'SD',
    device_liveness: 'S',
    idempotency_key: 'SD',
    totp_use: 'SD',
  },
};

describe('the database', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
    await addProject(database, 'other');
  });

  it('has row security, forced, on every table of a project, by the project of the transaction (SS-01)', async () => {
    const tables = await database.rows<{ name: string; enabled: boolean; forced: boolean; policies: string[] }>(
      `SELECT c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
         array(SELECT pg_get_expr(p.polqual, p.polrelid) FROM pg_policy p
               WHERE p.polrelid = c.oid AND p.polname = 'own_project') AS policies
       FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'project_id'
       WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' ORDER BY 1`,
    );
    assert.ok(tables.length >= 15);
    for (const { name, enabled, forced, policies } of tables) {
      assert.ok(enabled && forced, name);
      assert.deepEqual(policies, [`(project_id = current_setting('sentinel.project'::text, true))`], name);
    }
  });

  it('gives each role what it is for, and nothing else', async () => {
    const kinds = { SELECT: 'S', INSERT: 'I', UPDATE: 'U', DELETE: 'D', TRUNCATE: 'T', REFERENCES: 'R', TRIGGER: 'G' };
    for (const role of Object.keys(databaseRoles)) {
      const rows = await database.rows<{ name: string; rights: string[] }>(
        `SELECT c.relname AS name, array(SELECT k FROM unnest($2::text[]) k
           WHERE has_table_privilege($1, c.oid, k)
             OR (k IN ('SELECT', 'INSERT', 'UPDATE') AND has_any_column_privilege($1, c.oid, k))) AS rights
         FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' ORDER BY 1`,
        [role, Object.keys(kinds)],
      );
      const found = rows
        .filter(({ rights }) => rights.length > 0)
        .map(({ name, rights }) => [name, rights.map((right) => kinds[right as keyof typeof kinds]).join('')]);
      assert.deepEqual(Object.fromEntries(found), grants[role], role);
    }
  });

  it('lets nobody but the sealer set the place of an event', async () => {
    for (const column of ['sequence', 'previous_hash', 'hash']) {
      const rows = await database.rows<{ role: string }>(
        `SELECT r AS role FROM unnest($1::text[]) r WHERE has_column_privilege(r, 'audit_event', $2, 'INSERT')
           OR has_column_privilege(r, 'audit_event', $2, 'UPDATE')`,
        [Object.keys(databaseRoles), column],
      );
      assert.deepEqual(
        rows.map(({ role }) => role),
        ['sentinel_sealer'],
        column,
      );
    }
  });

  it('runs what serves all projects as a role of its own, with a fixed search path', async () => {
    const functions = await database.rows<{ name: string; owner: string; definer: boolean; config: string[] | null }>(
      `SELECT p.proname AS name, p.proowner::regrole::text AS owner, p.prosecdef AS definer, p.proconfig AS config
       FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef ORDER BY 1`,
    );
    const owners = Object.fromEntries(functions.map(({ name, owner }) => [name, owner]));
    assert.deepEqual(owners, {
      actor_runs: 'sentinel_reconciler',
      devices_with_news: 'sentinel_reconciler',
      heartbeat_batch: 'sentinel_heartbeat',
      heartbeat_news: 'sentinel_heartbeat',
      heartbeat_steady: 'sentinel_heartbeat',
      prune_lapsed: 'sentinel_reconciler',
      prune_verdicts: 'sentinel_reconciler',
      seal_lag_seconds: 'sentinel_sealer',
      stale_standings: 'sentinel_reconciler',
      waiting_news: 'sentinel_reconciler',
    });
    for (const { name, config } of functions) {
      assert.ok(config?.includes('search_path=pg_catalog, public, pg_temp'), name);
    }
    const callers = await database.rows<{ name: string; roles: string[] }>(
      `SELECT p.proname AS name, array(SELECT r FROM unnest($1::text[]) r
         WHERE has_function_privilege(r, p.oid, 'EXECUTE') AND r <> p.proowner::regrole::text ORDER BY 1) AS roles
       FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef ORDER BY 1`,
      [[...Object.keys(databaseRoles), 'sentinel']],
    );
    assert.deepEqual(Object.fromEntries(callers.map(({ name, roles }) => [name, roles.join()])), {
      actor_runs: 'sentinel_worker',
      devices_with_news: 'sentinel_worker',
      heartbeat_batch: 'sentinel_api',
      heartbeat_news: 'sentinel_api',
      heartbeat_steady: 'sentinel_api',
      prune_lapsed: 'sentinel_worker',
      prune_verdicts: 'sentinel_worker',
      seal_lag_seconds: 'sentinel_api,sentinel_worker',
      stale_standings: 'sentinel_api',
      waiting_news: 'sentinel_api',
    });
  });

  it('shows a transaction the rows of its own project, and none without one (SS-01)', async () => {
    for (const project of ['default', 'other']) {
      await database.rows(
        `INSERT INTO device (project_id, device_id, state, tier, epoch, counter_epoch, review_generation,
           rejected_fingerprints, assigned_tags, approvers, inbox_consumed, created_at, updated_at, revision)
         VALUES ($1, 'shared', 'pending', 'observed', 1, 1, 0, '{}', '{}', '{}', 0, now(), now(), 1)`,
        [project],
      );
    }
    const seen = (project: string) =>
      withProject(database.worker, project, (tx) => tx.query<{ project_id: string }>('SELECT project_id FROM device'));
    assert.deepEqual(await seen('default'), [{ project_id: 'default' }]);
    assert.deepEqual(await seen('other'), [{ project_id: 'other' }]);
    assert.deepEqual(await database.worker.query('SELECT project_id FROM device'), []);
    const foreign = withProject(database.worker, 'other', (tx) =>
      tx.query(`UPDATE device SET tier = 'trusted' WHERE project_id = 'default' RETURNING device_id`),
    );
    assert.deepEqual(await foreign, []);
    await assert.rejects(
      withProject(database.worker, 'other', (tx) => tx.query(`UPDATE device SET project_id = 'default'`)),
      /row-level security/,
    );
  });

  it('holds its owner to one project too', async () => {
    const owner = new pg.Client({ connectionString: database.ownerUrl });
    await owner.connect();
    try {
      assert.deepEqual((await owner.query('SELECT FROM device')).rowCount, 0);
      await owner.query(`SELECT set_config('sentinel.project', 'other', false)`);
      assert.deepEqual((await owner.query('SELECT project_id FROM device')).rows, [{ project_id: 'other' }]);
    } finally {
      await owner.end();
    }
  });

  it('forgets the project when a transaction has ended, however it ended, also on a connection that is used again', async () => {
    const one = await database.open('sentinel_worker', { pool: 1 });
    const setting = () =>
      one.query<{ project: string | null }>(`SELECT current_setting('sentinel.project', true) AS project`);
    await withProject(one, 'default', (tx) => tx.query('SELECT'));
    assert.deepEqual(await setting(), [{ project: '' }]);
    await assert.rejects(
      withProject(one, 'other', () => Promise.reject(new Error('no'))),
      /no/,
    );
    assert.deepEqual(await setting(), [{ project: '' }]);
    await assert.rejects(
      withProject(one, `x' OR true`, (tx) => tx.query('SELECT')),
      { code: 'resource.not_found' },
    );
  });

  it('has the tables and columns that the entities say, of the same types, with the same keys, and null where they say so', async () => {
    const found = await database.rows<
      Record<'table' | 'column' | 'type', string> & { nullable: boolean; key: boolean }
    >(
      `SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type,
         NOT a.attnotnull AS nullable, coalesce(a.attnum = ANY (k.conkey), false) AS key
       FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
       WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
         AND c.relname <> 'schema_migration'`,
    );
    const inFull: Readonly<Record<string, string>> = {
      int: 'integer',
      bigserial: 'bigint',
      'timestamptz(3)': 'timestamp(3) with time zone',
    };
    const metadata = database.api.entities().getMetadata();
    const said = entities.flatMap(({ meta }) => {
      const { tableName: table, props } = metadata.getByClassName(meta.className);
      return props.map(({ fieldNames: [column = ''], columnTypes: [type = ''], nullable = false, primary = false }) => {
        return { table, column, type: inFull[type] ?? type, nullable, key: primary };
      });
    });
    const inOrder = (rows: typeof found) => rows.map((row) => JSON.stringify(row)).toSorted();
    assert.deepEqual(inOrder(said), inOrder(found));
  });
});
