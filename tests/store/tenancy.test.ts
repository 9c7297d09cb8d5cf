// Who sees and writes what in the database: rows of one project at a time, and each role what it is for.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import pg from 'pg';
import { entities } from '#store/entities/list.ts';
import { createStore } from '#store/store.ts';
import { databaseRoles } from '#store/roles.ts';
import { withProject } from '#store/with-project.ts';
import { systemClock } from '#contracts/deps.ts';
import { canonicalBytes } from '#protocols/canonical-json.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { testDatabase } from '#tests/harness/postgres.ts';
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
    certificate_denylist: 'SI',
    device: 'S',
    device_candidate: 'S',
    device_first_contact: 'S',
    device_inbox: 'S',
    device_liveness: 'S',
    device_observation: 'S',
    idempotency_key: 'SIUD',
    operator: 'SIUD',
    organisation: 'S',
    outbox_event: 'SI',
    project: 'S',
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
    certificate_denylist: 'S',
    device: 'SIU',
    device_candidate: 'S',
    device_first_contact: 'SD',
    device_inbox: 'S',
    device_liveness: 'S',
    device_observation: 'S',
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
  },
  sentinel_reconciler: {
    actor: 'S',
    admin_session: 'SD',
    approval: 'S',
    certificate_denylist: 'S',
    device: 'S',
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
      prune_lapsed: 'sentinel_reconciler',
      seal_lag_seconds: 'sentinel_sealer',
    });
    for (const { name, config } of functions) {
      assert.ok(config?.includes('search_path=pg_catalog, public, pg_temp'), name);
    }
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

  it('has the tables and columns that the entities say', async () => {
    const columns = await database.rows<{ name: string; columns: string[] }>(
      `SELECT c.relname AS name, array(SELECT a.attname::text FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1) AS columns
       FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
         AND c.relname <> 'schema_migration' ORDER BY 1`,
    );
    const said = entities
      .map(({ meta }) => [meta.tableName, Object.keys(meta.properties).toSorted((a, b) => (a < b ? -1 : 1))] as const)
      .toSorted(([a], [b]) => (a < b ? -1 : 1));
    assert.deepEqual(
      said,
      columns.map(({ name, columns: found }) => [name, found]),
    );
  });
});

describe('values', () => {
  const hostile = [`'; DROP TABLE device; --`, `\\'`, '?', '??', '\\?', '$1', `"`, 'ünïcödé ☃ 𝄞', `{"a":'b'}`, `%_\\`];

  it('reach the server beside the statement and never inside it (SS-10)', async (t) => {
    const database = await testDatabase(t);
    const log = fakeLog();
    const store = await createStore({
      databaseUrl: database.url.sentinel_api_login,
      role: 'sentinel_api',
      pool: 2,
      clock: systemClock,
      random: { uuid: () => crypto.randomUUID() },
      canonicalBytes,
      log,
    });
    t.after(() => store.close());
    const { AdminPasswordRehash } = await import('#store/entities/people.ts');
    /** Text and values of everything that leaves for the server, the ORM's too. */
    const sent: { text: string; values: unknown }[] = [];
    const query = pg.Client.prototype.query as (this: pg.Client, ...args: unknown[]) => unknown;
    t.mock.method(pg.Client.prototype, 'query', function (this: pg.Client, ...args: unknown[]) {
      const [first, second] = args as [string | { text: string; values?: unknown }, unknown];
      sent.push(
        typeof first === 'string' ? { text: first, values: second } : { text: first.text, values: first.values },
      );
      return query.apply(this, args);
    });
    for (const [index, value] of hostile.entries()) {
      const configured_sha256 = index.toString(16).padStart(64, '0');
      await store.query(
        'INSERT INTO admin_password_rehash (configured_sha256, hash, created_at) VALUES ($1, $2, now())',
        [configured_sha256, value],
      );
      const found = await store.entities().find(AdminPasswordRehash, { hash: value });
      assert.deepEqual(
        found.map((row) => row.hash),
        [value],
      );
      const listed = await store.entities().find(AdminPasswordRehash, { hash: { $in: [value, 'other'] } });
      assert.equal(listed.length, 1);
    }
    await assert.rejects(store.query('SELECT $1::text', ['a\u0000b']));
    const [drop = ''] = hostile;
    assert.equal(sent.filter(({ values }) => JSON.stringify(values ?? null).includes(drop)).length, 3);
    for (const { text } of sent) assert.ok(!text.includes(drop), text);
    assert.equal((await store.query('SELECT FROM device')).length, 0, 'the table is still there');
  });
});
