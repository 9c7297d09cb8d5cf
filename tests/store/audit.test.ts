// Audit events and what goes out of them, as `record` writes them: together with the change, whole, and in canonical bytes.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { eventTypes, type AuditEntry, type OutboxEntry } from '#contracts/audit.ts';
import type { Json } from '#contracts/deps.ts';
import { auditCategories, outcomes } from '#contracts/states.ts';
import { canonicalBytes } from '#protocols/canonical-json.ts';
import { headSequence, listAudit, listOutbox, record, recordAlone, sealLagSeconds } from '#store/audit.ts';
import { sealChain } from '#store/sealer.ts';
import { withProject } from '#store/with-project.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { after, auditEntry, noon } from './builders.ts';
import { addProject, type StoreTest, storeTest } from './database.ts';

describe('events that are recorded', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
    await addProject(database, 'other');
  });

  const write = (audit: readonly AuditEntry[], outbox: readonly OutboxEntry[] = [], project = 'default') =>
    withProject(database.api, project, (tx) => record(tx, { audit, outbox }));
  const about = (id: string, more: Partial<AuditEntry> = {}) =>
    auditEntry({ subject: { kind: 'device', id }, ...more });
  const rowsOf = (table: string, id: string) =>
    database.rows<Record<string, unknown> & { canonical: Buffer }>(
      `SELECT * FROM ${table} WHERE subject_id = $1 ORDER BY position`,
      [id],
    );
  const typesOf = async (id: string) => (await rowsOf('outbox_event', id)).map(({ type }) => type);
  const sealAll = async () => {
    for (const project of ['default', 'other'])
      for (const stream of ['audit', 'outbox'] as const)
        while ((await sealChain(database.sealer, { project, stream }, 500)) > 0);
  };

  it('are stored in the bytes that their columns give in canonical form, whatever they hold', async () => {
    const details = { ünïcödé: '☃ 𝄞', nested: { b: [1, 2.5, -0, 1e21, null, true], a: '"\\\u0001' }, '': '' };
    await write([
      about('bytes', { details, request_id: null, actor: { kind: 'system', id: 'actor' }, occurred_at: after(0.123) }),
      about('bytes', { category: 'policy', action: 'no.ip', actor: { kind: 'user', id: 'ann', ip: null } }),
    ]);
    for (const [table, length] of [
      ['audit_event', 2],
      ['outbox_event', 2],
    ] as const) {
      const rows = await rowsOf(table, 'bytes');
      assert.equal(rows.length, length);
      for (const { canonical, position: _, sequence, previous_hash, hash, ...columns } of rows) {
        assert.deepEqual([sequence, previous_hash, hash], [null, null, null], 'they have no place yet');
        const said = JSON.parse(JSON.stringify(columns)) as Json;
        assert.equal(canonical.toString(), Buffer.from(canonicalBytes(said)).toString());
      }
    }
  });

  it('go out under a name of their own when that is an event type, and else by category and action (AU-10)', async () => {
    const actions = ['connector.failed', 'device.trust', 'audit.identity.x', 'opened', 'toString', 'approval.opened '];
    for (const category of auditCategories) {
      const id = `named-${category}`;
      await write([...eventTypes, ...actions].map((action) => about(id, { category, action })));
      assert.deepEqual(await typesOf(id), [...eventTypes, ...actions.map((action) => `audit.${category}.${action}`)]);
    }
  });

  it('go out with the details of an event, and of anything else with who did it and how it ended', async () => {
    const actor = { kind: 'user', id: 'ann', ip: '192.0.2.1' } as const;
    const details = { reason: 'x' };
    await write(
      ['approval.closed', 'login'].map((action) => about('data', { action, actor, details, outcome: 'failed' })),
    );
    const [event, other] = await rowsOf('outbox_event', 'data');
    assert.deepEqual(event?.['data'], details);
    assert.deepEqual(other?.['data'], {
      actor: { kind: 'user', id: 'ann' },
      outcome: 'failed',
      details,
      request_id: 'request-1',
    });
  });

  it('are not derived again where the change gives the same event with data of its own', async () => {
    const given = (type: OutboxEntry['type'], id: string, n: number): OutboxEntry => ({
      occurred_at: noon,
      type,
      subject: { kind: 'device', id },
      data: { n },
    });
    const action = 'device.trust.updated';
    await write(
      [about('given', { action }), about('given', { action }), about('given', { action }), about('beside', { action })],
      [given(action, 'given', 1), given(action, 'given', 2)],
    );
    const data = (await rowsOf('outbox_event', 'given')).map((row) => row['data']);
    assert.deepEqual(data, [{ n: 1 }, { n: 2 }, { code: 'heartbeat.replayed' }], 'the third has nothing of its own');
    assert.deepEqual(await typesOf('beside'), [action], 'about another device it is another event');
  });

  it('are there when the change is, and gone when it is not', async () => {
    await assert.rejects(
      withProject(database.api, 'default', async (tx) => {
        await record(tx, { audit: [about('undone')] });
        throw new Error('undone');
      }),
      /undone/,
    );
    await assert.rejects(write([about('half'), about('half', { outcome: 'unheard of' as never })]), { code: '23514' });
    await assert.rejects(write([about('half', { category: 'unheard of' as never })]), { code: '23514' });
    assert.deepEqual([await typesOf('undone'), await typesOf('half')], [[], []]);
    assert.deepEqual([await rowsOf('audit_event', 'undone'), await rowsOf('audit_event', 'half')], [[], []]);
    await write([]);
  });

  it('are listed by place, by every filter, from both ends, page by page, in their project', async () => {
    const id = 'listed';
    for (let n = 0; n < 12; n++) {
      await write([
        about(id, {
          occurred_at: after(n),
          action: n % 2 === 0 ? 'even' : 'odd',
          category: n % 3 === 0 ? 'policy' : 'identity',
          outcome: outcomes[n % outcomes.length] ?? 'success',
          actor: { kind: 'user', id: n < 6 ? 'ann' : 'bob' },
          details: { n },
        }),
      ]);
    }
    await write([about(id)], [], 'other');
    assert.deepEqual(await listAudit(database.api, 'default', { subject_id: id }, { limit: 99, after: null }), []);
    await sealAll();
    const list = async (filter: Parameters<typeof listAudit>[2], limit = 99, place: number | null = null) => {
      const rows = await listAudit(database.api, 'default', { subject_id: id, ...filter }, { limit, after: place });
      return rows.map(({ details, sequence }) => ({ n: details['n'], sequence }));
    };
    const numbers = async (filter: Parameters<typeof listAudit>[2]) =>
      (await list({ ...filter, order: 'oldest' })).map(({ n }) => n);
    const all = Array.from({ length: 12 }, (_, n) => n);
    assert.deepEqual(await numbers({}), all);
    assert.deepEqual(
      await numbers({ action: 'odd' }),
      all.filter((n) => n % 2 === 1),
    );
    assert.deepEqual(
      await numbers({ category: 'policy' }),
      all.filter((n) => n % 3 === 0),
    );
    assert.deepEqual(
      await numbers({ actor_id: 'bob' }),
      all.filter((n) => n >= 6),
    );
    assert.deepEqual(await numbers({ subject_kind: 'approval' }), []);
    for (const [i, outcome] of outcomes.entries())
      assert.deepEqual(
        await numbers({ outcome }),
        all.filter((n) => n % outcomes.length === i),
      );
    assert.deepEqual(
      await numbers({ since: after(3), until: after(6) }),
      [3, 4, 5],
      'from the first, to before the last',
    );
    assert.deepEqual(await numbers({ action: 'odd', actor_id: 'ann', category: 'identity' }), [1, 5]);
    for (const order of ['newest', 'oldest'] as const) {
      const paged = [];
      for (let place: number | null = null; ;) {
        const page: { n: Json | undefined; sequence: number }[] = await list({ order }, 5, place);
        const last = page.at(-1);
        if (last === undefined) break;
        paged.push(...page.map(({ n }) => n));
        place = last.sequence;
      }
      assert.deepEqual(paged, order === 'oldest' ? all : all.toReversed());
    }
    const foreign = await listAudit(database.api, 'other', { subject_id: id }, { limit: 9, after: null });
    assert.equal(foreign.length, 1);
  });

  it('of a project that is not there are refused: they would wait for their place for ever', async () => {
    await assert.rejects(write([auditEntry()], [], 'nowhere'), {
      code: 'resource.not_found',
      message: 'There is no such project',
    });
    // What goes out too, and for whoever does not come through the store.
    await assert.rejects(
      database.rows(
        `INSERT INTO outbox_event (project_id, id, occurred_at, type, subject_kind, subject_id, data, canonical, created_at)
         VALUES ('nowhere', gen_random_uuid(), now(), 'x', 'user', 'ann', '{}', '', now())`,
      ),
      { constraint: 'outbox_event_project_id_fkey' },
    );
    assert.deepEqual(await database.rows(`SELECT FROM audit_event WHERE project_id = 'nowhere'`), []);
  });

  it('that went out are followed by place, and the last place is known', async () => {
    await sealAll();
    const head = await headSequence(database.api, 'other', 'outbox');
    await recordAlone(database.api, 'other', about('followed', { action: 'one' }));
    await recordAlone(database.api, 'other', about('followed', { action: 'two' }));
    const follow = (place: number, limit: number) => listOutbox(database.api, 'other', { after: place, limit });
    assert.deepEqual(await follow(head, 9), [], 'what has no place yet is not skipped, it is not there');
    await sealAll();
    const types = (rows: Awaited<ReturnType<typeof follow>>) => rows.map(({ type, sequence }) => [type, sequence]);
    assert.deepEqual(types(await follow(head, 1)), [['audit.identity.one', head + 1]]);
    assert.deepEqual(types(await follow(head + 1, 9)), [['audit.identity.two', head + 2]]);
    assert.equal(await headSequence(database.api, 'other', 'outbox'), head + 2);
    assert.equal(await headSequence(database.api, 'nowhere', 'audit'), 0);
  });

  it('wait for their place no longer than somebody can tell', async () => {
    await sealAll();
    const from = Date.now();
    const lag = (seconds: number) => sealLagSeconds(database.api, new Date(from + seconds * 1000).toISOString());
    assert.equal(await lag(60), 0);
    await recordAlone(database.api, 'other', about('waiting'));
    const waited = await lag(60);
    assert.ok(waited > 0 && waited <= 60, String(waited));
    assert.equal(await lag(-60), 0, 'a clock that is behind makes it no less than nothing');
    await sealAll();
    assert.equal(await lag(60), 0);
  });
});
