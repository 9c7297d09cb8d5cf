// The timeline of a device: silences as the heartbeat statement writes them, and all kinds of events in one order.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, it } from 'node:test';
import type { TimelineKind } from '#contracts/states.ts';
import { heartbeatBatch } from '#store/heartbeat.ts';
import { sealChain } from '#store/sealer.ts';
import { listSilences, listTimeline, type TimelinePosition } from '#store/timeline.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import {
  after,
  approval,
  approvalCommit,
  approved,
  auditEntry,
  commit,
  decide,
  deviceCommit,
  heartbeat,
  heartbeatLimits,
  noon,
  report,
  transition,
} from './builders.ts';
import { type StoreTest, storeTest } from './database.ts';

const kinds: readonly TimelineKind[] = ['audit', 'transition', 'heartbeat'];

describe('timeline of a device', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
  });

  const silences = (device_id: string, since = noon) =>
    listSilences(database.api, { project: 'default', device_id }, since);
  async function approvedAndHeard(id: string): Promise<void> {
    await report(database.api, heartbeat(id));
    await decide(database.worker, id, approved(`${id}-1`));
  }

  it('remembers each silence that was longer than a device may be silent, and no steady heartbeat', async () => {
    await approvedAndHeard('sleepy');
    let counter = 0;
    for (const seconds of [60, 120, 181, 200, 1000]) {
      counter += 1;
      const { code } = await report(database.api, heartbeat('sleepy', { counter }), after(seconds));
      assert.equal(code, 'accepted');
    }
    assert.deepEqual(await silences('sleepy'), [
      { from: after(200), until: after(1000) },
      { from: after(120), until: after(181) },
    ]);
    assert.deepEqual(await silences('sleepy', after(500)), [{ from: after(200), until: after(1000) }]);
    assert.deepEqual(
      await silences('sleepy', after(5000)),
      [{ from: after(200), until: after(1000) }],
      'the newest in any case, since the device is online from its end on',
    );
  });

  it('does not take a refusal for a sign of life', async () => {
    await approvedAndHeard('replayed');
    await report(database.api, heartbeat('replayed', { counter: 5 }), after(10));
    const { code } = await report(database.api, heartbeat('replayed', { counter: 5 }), after(500));
    assert.equal(code, 'heartbeat.replayed');
    assert.deepEqual(await silences('replayed'), []);
    await report(database.api, heartbeat('replayed', { counter: 6 }), after(600));
    assert.deepEqual(await silences('replayed'), [{ from: after(10), until: after(600) }]);
  });

  it('writes the silences of those in a batch that were silent', async () => {
    for (const id of ['one', 'two']) await approvedAndHeard(id);
    await report(database.api, heartbeat('two', { counter: 2 }), after(50));
    const items = ['one', 'two'].map((id) => heartbeat(id, { counter: 3 }));
    await heartbeatBatch(database.api, items, heartbeatLimits, after(100));
    assert.deepEqual(await silences('one'), [{ from: noon, until: after(100) }]);
    assert.deepEqual(await silences('two'), []);
  });

  it('keeps a bounded number of silences of each device, the newest', async () => {
    await approvedAndHeard('flaky');
    await database.rows(
      `INSERT INTO device_silence SELECT 'default', 'flaky', $1::timestamptz - make_interval(secs => n + 1),
         $1::timestamptz - make_interval(secs => n) FROM generate_series(1, 300) n`,
      [noon],
    );
    await report(database.api, heartbeat('flaky', { counter: 2 }), after(100));
    const kept = await silences('flaky', after(-1000));
    assert.equal(kept.length, 200);
    assert.deepEqual([kept[0]?.until, kept.at(-1)?.until], [after(100), after(-199)]);
  });

  describe('in one order', () => {
    const id = 'busy';
    const approvalId = randomUUID();
    const read = (some: readonly TimelineKind[], limit: number, place: TimelinePosition | null = null) =>
      listTimeline(database.api, { project: 'default', device_id: id }, some, { limit, after: place });
    before(async () => {
      await report(database.api, heartbeat(id));
      const audit = (action: string, seconds: number, subject: { kind: 'device' | 'approval'; id: string }) =>
        auditEntry({ action, subject, occurred_at: after(seconds) });
      const actor = { kind: 'device', project: 'default', id } as const;
      await commit(
        database.worker,
        'run-1',
        deviceCommit({
          actor,
          row: approved(`${id}-1`),
          to: 2,
          transitions: [transition(1, { at: noon }), transition(2, { at: after(200) })],
          audit: [
            audit('first', 0, { kind: 'device', id }),
            audit('second', 200, { kind: 'device', id }),
            audit('second again', 200, { kind: 'device', id }),
            audit('elsewhere', 200, { kind: 'device', id: 'busy-2' }),
          ],
        }),
      );
      await commit(
        database.worker,
        'run-a',
        approvalCommit(approvalId, {
          actor: { kind: 'approval', project: 'default', id: approvalId },
          row: approval({ subject_id: id }),
          audit: [audit('voted', 100, { kind: 'approval', id: approvalId })],
        }),
      );
      await report(database.api, heartbeat(id, { counter: 2 }), after(200));
      await sealChain(database.sealer, { project: 'default', stream: 'audit' }, 100);
    });

    const whole = [
      'audit second again',
      'audit second',
      'transition 2',
      'heartbeat after silence',
      'audit voted',
      'audit first',
      'transition 1',
      'heartbeat at first',
    ];
    type Row = Awaited<ReturnType<typeof read>>[number];
    function nameOf(row: Row): string {
      if (row.kind === 'audit') return `audit ${row.audit.action}`;
      if (row.kind === 'transition') return `transition ${row.transition.revision}`;
      return row.silent_since === null ? 'heartbeat at first' : 'heartbeat after silence';
    }

    it('has decisions, audit events of the device and of its reviews, and heartbeats, the newest first', async () => {
      assert.deepEqual((await read(kinds, 100)).map(nameOf), whole);
    });

    for (const limit of [1, 2, 3, 5]) {
      it(`is the same in pages of ${limit}, also where many things happened at one moment`, async () => {
        const found: string[] = [];
        let place: TimelinePosition | null = null;
        for (;;) {
          const rows: readonly Row[] = await read(kinds, limit, place);
          found.push(...rows.map(nameOf));
          const last = rows.at(-1);
          if (last === undefined) break;
          place = { at: last.at, kind: last.kind, key: last.key };
        }
        assert.deepEqual(found, whole);
      });
    }

    it('has only the kinds that are asked for', async () => {
      for (const kind of kinds) {
        assert.deepEqual(
          (await read([kind], 100)).map(nameOf),
          whole.filter((name) => name.startsWith(kind)),
        );
      }
    });
  });
});
