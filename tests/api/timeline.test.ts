// The timeline over HTTP: who sees which kinds, how it is paged, and what is said of the present.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DeviceTimeline } from '#contracts/http/timeline.ts';
import { hashPassword } from '#protocols/password.ts';
import { fakeApi, password, problemOf, signInAs } from '#tests/fakes/api-over-fakes.ts';
import { approvedDevice } from '#tests/fakes/fake-registry.ts';
import type { Cleanup } from '#tests/harness/cleanup.ts';

const at = (minute: number): string => `2026-11-22T11:${String(minute).padStart(2, '0')}:00.000Z`;

async function withTimeline(t: Cleanup, person: object | null = null) {
  const fake = await fakeApi(t, person === null ? {} : { people: [person] });
  const { app, registry } = fake;
  registry.addDevice(approvedDevice('device-1'));
  const by = { kind: 'user', id: 'ann', ip: '192.0.2.9' } as const;
  const change = { event: 'approval.read', by, from_state: 'pending', to_state: 'approved', details: {} };
  registry.timeline.push(
    { kind: 'heartbeat', at: at(50), key: [0, 0], silent_since: at(40) },
    { kind: 'transition', at: at(20), key: [1, 2], transition: { ...change, at: at(20), epoch: 1, revision: 2 } },
    { kind: 'heartbeat', at: at(10), key: [0, 0], silent_since: null },
  );
  registry.silences.push({ from: at(40), until: at(50) });
  const ask = async (query: string, headers: object) =>
    app.inject({ url: `/api/devices/device-1/timeline?${query}`, headers: { ...headers } });
  return { ...fake, ask };
}

describe('the timeline of a device', () => {
  it('is one list of all kinds, in pages, without what names an address', async (t) => {
    const { as, ask } = await withTimeline(t);
    const headers = await as('viewer');
    const first = (await ask('limit=2', headers)).json<DeviceTimeline>();
    assert.deepEqual(first.kinds, ['audit', 'transition', 'heartbeat']);
    assert.deepEqual(
      first.items.map(({ kind, silence }) => [kind, silence]),
      [
        ['heartbeat', { from: at(40), until: at(50) }],
        ['transition', null],
      ],
    );
    assert.deepEqual(first.items[1]?.transition?.by, { kind: 'user', id: 'ann' });
    const second = (await ask(`limit=2&cursor=${first.next_cursor}`, headers)).json<DeviceTimeline>();
    assert.deepEqual([second.items.map(({ kind }) => kind), second.next_cursor], [['heartbeat'], null]);
    const other = await ask(`limit=2&kind=heartbeat&cursor=${first.next_cursor}`, headers);
    assert.equal(problemOf(other).code, 'request.cursor_invalid');
  });

  it('has the audit events only for those who may read the trail', async (t) => {
    const reader = {
      username: 'reader',
      password_hash: await hashPassword(password),
      roles: [],
      permissions: ['device.read'],
    };
    const { app, ask } = await withTimeline(t, reader);
    const headers = await signInAs(app, 'reader');
    assert.deepEqual((await ask('', headers)).json<DeviceTimeline>().kinds, ['transition', 'heartbeat']);
    assert.equal(problemOf(await ask('kind=audit', headers)).code, 'auth.forbidden');
    assert.deepEqual((await ask('kind=heartbeat', headers)).json<DeviceTimeline>().kinds, ['heartbeat']);
  });

  it('takes a cursor for nothing but the list that it came from, and none that was changed', async (t) => {
    const { app, as, ask, registry } = await withTimeline(t);
    registry.addDevice(approvedDevice('device-2'));
    registry.addDevice(approvedDevice('device-1', { project_id: 'other' }));
    const headers = await as('viewer');
    const cursor = (await ask('limit=1', headers)).json<DeviceTimeline>().next_cursor ?? '';
    const [position = '', seal = ''] = cursor.split('.');
    const moved = Buffer.from(Buffer.from(position, 'base64url').toString().replace('11:50', '11:59')).toString(
      'base64url',
    );
    for (const changed of [
      `${moved}.${seal}`,
      `${position}.`,
      position,
      `.${seal}`,
      `${position}.${seal}.${seal}`,
      'null',
    ]) {
      const answer = await ask(`limit=1&cursor=${changed}`, headers);
      assert.equal(problemOf(answer).code, 'request.cursor_invalid', changed);
    }
    const elsewhere = [
      [`/api/devices/device-2/timeline?cursor=${cursor}`, headers],
      [`/api/devices/device-1/timeline?cursor=${cursor}`, { ...headers, 'x-sentinel-project': 'other' }],
      [`/api/devices/device-1/history?cursor=${cursor}`, headers],
      [`/api/devices/device-1/timeline?kind=transition&cursor=${cursor}`, headers],
    ] as const;
    for (const [url, as] of elsewhere)
      assert.equal(problemOf(await app.inject({ url, headers: as })).code, 'request.cursor_invalid', url);
    for (const query of ['limit=501', 'limit=0', 'limit=1e3', 'limit=-1', 'kind=all', 'kind=audit&kind=heartbeat'])
      assert.equal(problemOf(await ask(query, headers)).code, 'request.invalid', query);
  });

  it('says since when a device is online, and when it was not in the last day', async (t) => {
    const { as, ask, clock } = await withTimeline(t);
    const { presence } = (await ask('', await as('viewer'))).json<DeviceTimeline>();
    assert.equal(presence.until, clock.now().toISOString());
    assert.deepEqual([presence.liveness, presence.online_since, presence.heartbeat_counter], ['online', at(50), 7]);
    assert.deepEqual(presence.silences, [{ from: at(40), until: at(50) }]);
  });

  it('counts the silence that lasts', async (t) => {
    const { as, ask, clock } = await withTimeline(t);
    const headers = await as('viewer');
    clock.advance(3_600_000);
    const { presence } = (await ask('', headers)).json<DeviceTimeline>();
    assert.deepEqual([presence.liveness, presence.online_since], ['offline', null]);
    assert.deepEqual(presence.silences[0], { from: presence.last_seen_at, until: presence.until });
  });
});
