// Migrations on a real database: from nothing, from each older release, side by side, and never backwards.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import pg from 'pg';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { canonicalBytes } from '#protocols/canonical-json.ts';
import { migrate, prepareLogins, schemaStatus } from '#store/migrate.ts';
import { migrations } from '#store/migrations/list.ts';
import { createStore } from '#store/store.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { testDatabase, type TestDatabase } from '#tests/harness/postgres.ts';

const names = migrations.map(({ name }) => name);

async function sql(t: TestContext, url: string, text: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    return await client.query(text);
  } finally {
    await client.end();
    t.diagnostic(text.slice(0, 60));
  }
}

const open = ({ url }: TestDatabase) =>
  createStore({
    databaseUrl: url.sentinel_api_login,
    role: 'sentinel_api',
    pool: 2,
    clock: systemClock,
    random: systemRandom,
    canonicalBytes,
    log: fakeLog(),
  });

/** Gives the processes their logins, as they have them in every test. */
async function ready(database: TestDatabase): Promise<TestDatabase> {
  const logins = Object.fromEntries(
    Object.entries(database.url).map(([login, url]) => [login, decodeURIComponent(new URL(url).password)]),
  );
  await prepareLogins(database.ownerUrl, logins);
  return database;
}

describe('migrations', () => {
  it('make an empty database the one of this release, and then nothing more (DP-23, DP-26)', async (t) => {
    const database = await testDatabase(t, { migrated: false });
    assert.deepEqual(await schemaStatus(database.ownerUrl), { pending: names, unknown: [] });
    assert.deepEqual(await migrate(database.ownerUrl), { applied: names });
    assert.deepEqual(await migrate(database.ownerUrl), { applied: [] });
    assert.deepEqual(await schemaStatus(database.ownerUrl), { pending: [], unknown: [] });
    const { rows } = await sql(t, database.superuserUrl, 'SELECT id FROM project');
    assert.deepEqual(rows, [{ id: 'default' }]);
  });

  it('bring a database from every older state to this one (DP-23)', async (t) => {
    for (const to of names.slice(0, -1)) {
      const database = await testDatabase(t, { migrated: false });
      await migrate(database.ownerUrl, { to });
      const left = names.slice(names.indexOf(to) + 1);
      assert.deepEqual((await schemaStatus(database.ownerUrl)).pending, left);
      assert.deepEqual(await migrate(database.ownerUrl), { applied: left });
    }
  });

  it('keep what is there, whatever state they begin from (DP-23)', async (t) => {
    const database = await testDatabase(t, { migrated: false });
    await migrate(database.ownerUrl, { to: '0002-devices' });
    await sql(
      t,
      database.superuserUrl,
      `INSERT INTO project (id, organisation_id, name) VALUES ('kept', 'default', 'Kept');
       INSERT INTO device_first_contact (project_id, device_id, seen_at) VALUES ('kept', 'd1', '2026-01-01Z')`,
    );
    for (const to of names.slice(2)) await migrate(database.ownerUrl, { to });
    const { rows } = await sql(t, database.superuserUrl, 'SELECT project_id, device_id FROM device_first_contact');
    assert.deepEqual(rows, [{ project_id: 'kept', device_id: 'd1' }]);
    await (await open(await ready(database))).close();
  });

  it('that fail leave the database as it was, and go through once nothing is in their way', async (t) => {
    const database = await testDatabase(t, { migrated: false });
    await migrate(database.ownerUrl, { to: '0002-devices' });
    // In the way of the fourth: what the third has made goes too.
    await sql(t, database.superuserUrl, 'CREATE TABLE operator ()');
    const before = await schemaStatus(database.ownerUrl);
    await assert.rejects(migrate(database.ownerUrl), /operator/);
    assert.deepEqual(await schemaStatus(database.ownerUrl), before);
    const { rows } = await sql(t, database.superuserUrl, `SELECT to_regclass('public.actor') AS found`);
    assert.deepEqual(rows, [{ found: null }]);
    await sql(t, database.superuserUrl, 'DROP TABLE operator');
    assert.deepEqual(await migrate(database.ownerUrl), { applied: names.slice(2) });
  });

  it('do not pass over events of a project that is not there, and go through once it is', async (t) => {
    const database = await testDatabase(t, { migrated: false });
    const place = names.indexOf('0012-event-projects');
    await migrate(database.ownerUrl, { to: names[place - 1] ?? '' });
    await sql(
      t,
      database.superuserUrl,
      `INSERT INTO audit_event (project_id, id, occurred_at, category, action, actor_kind, actor_id, subject_kind,
         subject_id, outcome, details, canonical, created_at)
       VALUES ('ghost', gen_random_uuid(), now(), 'auth', 'x', 'user', 'ann', 'user', 'ann', 'success', '{}', '', now())`,
    );
    await assert.rejects(migrate(database.ownerUrl), /audit_event_project_id_fkey/);
    await sql(
      t,
      database.superuserUrl,
      `INSERT INTO project (id, organisation_id, name) VALUES ('ghost', 'default', 'Ghost')`,
    );
    assert.deepEqual(await migrate(database.ownerUrl), { applied: names.slice(place) });
  });

  it('of several processes at once are applied once', async (t) => {
    const { ownerUrl } = await testDatabase(t, { migrated: false });
    const all = await Promise.all(Array.from({ length: 4 }, () => migrate(ownerUrl)));
    assert.deepEqual(
      all.flatMap(({ applied }) => applied),
      names,
    );
  });

  it('of several processes at once bring an older database up once', async (t) => {
    const { ownerUrl } = await testDatabase(t, { migrated: false });
    await migrate(ownerUrl, { to: '0003-actors' });
    const all = await Promise.all(Array.from({ length: 3 }, () => migrate(ownerUrl)));
    assert.deepEqual(
      all.flatMap(({ applied }) => applied),
      names.slice(3),
    );
  });

  it('never touch what a newer release wrote, and say so', async (t) => {
    const database = await testDatabase(t);
    await sql(t, database.superuserUrl, `INSERT INTO schema_migration (name) VALUES ('9999-from-the-future')`);
    const newer = { code: 'service.unavailable', message: /newer release \(9999-from-the-future\)/ };
    await assert.rejects(migrate(database.ownerUrl), newer);
    await assert.rejects(open(database), newer);
  });

  it('that are missing keep a process from starting, and its error says what to run (DP-23)', async (t) => {
    const database = await testDatabase(t, { migrated: false });
    await migrate(database.ownerUrl, { to: names[0] ?? '' });
    await ready(database);
    await assert.rejects(open(database), { code: 'service.unavailable', message: /sentinel migrate/ });
  });

  it('say that the database cannot be reached', async () => {
    await assert.rejects(migrate('postgres://nobody:x@127.0.0.1:1/none'), { code: 'service.unavailable' });
  });
});
