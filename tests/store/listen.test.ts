// Announcements of the database: heard on a connection that is made again when it is lost, until it is closed.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { listen, type Channel } from '#store/listen.ts';
import { recordAlone } from '#store/audit.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { auditEntry } from './builders.ts';
import { type StoreTest, storeTest } from './database.ts';

describe('announcements', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
  });

  /** Hears a channel, and waits for what is said next. */
  function hearing(channel: Channel, databaseUrl = database.api.databaseUrl) {
    let heard = 0;
    let wake = (): void => {};
    const log = fakeLog();
    const listener = listen({ databaseUrl, role: 'sentinel_api', log }, channel, () => {
      heard += 1;
      wake();
    });
    return {
      log,
      close: listener.close,
      times: () => heard,
      async untilHeard(times: number): Promise<void> {
        while (heard < times) await new Promise<void>((resolve) => (wake = resolve));
      },
    };
  }
  const say = (channel: Channel) => database.api.query(`SELECT pg_notify('${channel}', '')`);
  const cut = async (channel: Channel) =>
    (
      await database.rows(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND query = 'LISTEN ${channel}'`,
      )
    ).length;

  it('are heard, once when listening begins and then each', async (t) => {
    const one = hearing('sentinel_sealed');
    t.after(one.close);
    await one.untilHeard(1);
    await say('sentinel_sealed');
    await one.untilHeard(2);
    await say('sentinel_seal');
    await say('sentinel_sealed');
    await one.untilHeard(3);
    assert.equal(one.times(), 3, 'another channel is not heard');
  });

  it('are heard again each time that the server has cut the connection, and what was missed is asked for', async (t) => {
    const one = hearing('sentinel_sealed');
    t.after(one.close);
    await one.untilHeard(1);
    for (let round = 1; round <= 3; round++) {
      const before_ = one.times();
      assert.equal(await cut('sentinel_sealed'), 1);
      await one.untilHeard(before_ + 1);
      await say('sentinel_sealed');
      await one.untilHeard(before_ + 2);
    }
    assert.ok(one.log.lines.some(({ message }) => /connection for announcements was lost/.test(message)));
    const password = decodeURIComponent(new URL(database.api.databaseUrl).password);
    assert.ok(!one.log.text().includes(password));
  });

  it('are made by every event in the transaction that wrote it', async (t) => {
    const one = hearing('sentinel_seal');
    t.after(one.close);
    await one.untilHeard(1);
    await recordAlone(database.api, 'default', auditEntry());
    await one.untilHeard(2);
  });

  it('are no longer heard once closed, and no connection is left or made again', async () => {
    const one = hearing('sentinel_sealed');
    await one.untilHeard(1);
    await one.close();
    const before_ = one.times();
    await say('sentinel_sealed');
    assert.equal(await cut('sentinel_sealed'), 0);
    assert.equal(one.times(), before_);
    const never = hearing('sentinel_sealed', 'postgres://nobody:secret@127.0.0.1:1/none');
    await never.close();
    assert.equal(never.times(), 0);
  });
});
