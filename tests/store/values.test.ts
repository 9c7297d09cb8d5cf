// Values on their way to the database and back: whatever they hold, they are values, and the statements stay what they are.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after as afterAll, before, describe, it } from 'node:test';
import pg from 'pg';
import { findApproval, listApprovals } from '#store/approval.ts';
import { listAudit, listOutbox, recordAlone } from '#store/audit.ts';
import { findDevice, listDevices, listHistory } from '#store/device.ts';
import { AdminPasswordRehash } from '#store/entities/people.ts';
import { heartbeatBatch } from '#store/heartbeat.ts';
import { answerIdempotent, startIdempotent } from '#store/idempotency.ts';
import { listOperators, standingVoters, syncOperators } from '#store/operator.ts';
import { sealChain } from '#store/sealer.ts';
import { findSession, listSessions, openSession, useTotpStep } from '#store/session.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import {
  after,
  approval,
  approvalCommit,
  auditEntry,
  commit,
  deviceCommit,
  digest,
  grant,
  heartbeat,
  heartbeatLimits,
  noon,
  transition,
  view,
} from './builders.ts';
import { type StoreTest, storeTest } from './database.ts';

/** In each of the hostile values, so that it is found wherever it went. */
const mark = 'needle';
const hostile = [
  `'; DROP TABLE device; --`,
  `\\'`,
  `\\`,
  '?',
  '??',
  '\\?',
  ':name',
  '$1',
  '$$',
  `"`,
  `""`,
  'ünïcödé ☃ 𝄞 \u202e',
  `{"a":'b'}`,
  `{,}`,
  `%_\\%`,
  `line\nbreak\t\u0001`,
  ` E'\\x41' `,
].map((value, i) => `${mark}${i} ${value} ${mark}`);

describe('values', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  /** Text and values of everything that leaves for the server, the ORM's too. */
  const sent: { text: string; values: unknown }[] = [];
  const query = pg.Client.prototype.query as (this: pg.Client, ...args: unknown[]) => unknown;
  before(async () => {
    database = await storeTest(cleanup);
    (pg.Client.prototype as { query: unknown }).query = function (this: pg.Client, ...args: unknown[]) {
      const [first, second] = args as [string | { text: string; values?: unknown }, unknown];
      const statement = typeof first === 'string' ? { text: first, values: second } : first;
      sent.push({ text: statement.text, values: statement.values });
      return query.apply(this, args);
    };
  });
  afterAll(() => {
    (pg.Client.prototype as { query: unknown }).query = query;
  });

  /** What `work` does reaches the server beside the statement: in its values, and never in its text. */
  async function isBound(work: () => Promise<void>): Promise<void> {
    sent.length = 0;
    await work();
    for (const { text } of sent) assert.ok(!text.includes(mark), text);
    assert.ok(sent.some(({ values }) => JSON.stringify(values ?? null).includes(mark)));
  }

  it('reach the server beside the statement, from entities and from SQL, and come back as they were (SS-10)', async () => {
    const { api } = database;
    for (const [index, value] of hostile.entries()) {
      await isBound(async () => {
        const configured_sha256 = index.toString(16).padStart(64, '0');
        await api.query(
          'INSERT INTO admin_password_rehash (configured_sha256, hash, created_at) VALUES ($1, $2, now())',
          [configured_sha256, value],
        );
        for (const where of [
          { hash: value },
          { hash: { $in: [value, 'other'] } },
          { hash: { $like: `${mark}${index} %` } },
        ]) {
          const found = await api.entities().find(AdminPasswordRehash, where);
          assert.deepEqual(
            found.map(({ hash }) => hash),
            [value],
          );
        }
        const others = await api.entities().find(AdminPasswordRehash, { hash: { $ne: value } });
        assert.equal(others.length, index);
      });
    }
  });

  it('of heartbeats and filters are found by what they are, and nothing of them is a pattern (SS-10)', async () => {
    const { api } = database;
    const page = { limit: 9, after: null };
    for (const [index, value] of hostile.entries()) {
      await isBound(async () => {
        const id = `d${index}`;
        const observation = {
          hostname: value,
          platform: value,
          agent_version: value,
          tags: [value, 'plain'],
          posture: { [value]: [value] },
          directory: { [value]: value },
        };
        await heartbeatBatch(
          api,
          [heartbeat(id, { observation })],
          { ...heartbeatLimits, signalIntervalSeconds: 0 },
          noon,
        );
        const row = await findDevice(api, 'default', id);
        assert.deepEqual(row?.observation, {
          hostname: value,
          platform: value,
          agent_version: value,
          reported_tags: [value, 'plain'],
          posture: { [value]: [value] },
          directory: { [value]: value },
        });
        for (const filter of [{ tag: value }, { search: value }, { search: value.slice(1, -1), tag: value }]) {
          const found = await listDevices(api, 'default', filter, page, view);
          assert.deepEqual(
            found.map(({ device_id }) => device_id),
            [id],
          );
        }
        assert.equal(await findDevice(api, 'default', value), null);
        assert.deepEqual(
          await listDevices(
            api,
            'default',
            { search: value },
            { limit: 9, after: { device_id: `e${value}`, at: null } },
            view,
          ),
          [],
        );
      });
    }
  });

  it('of commits and events are kept and found as they are (SS-10)', async () => {
    const { api, worker, sealer } = database;
    const page = { limit: 9, after: null };
    for (const value of hostile) {
      await isBound(async () => {
        const ref = { kind: 'device', project: 'default', id: `c${randomUUID()}` } as const;
        const transitions = [
          transition(1, { event: value, by: { kind: 'user', id: value }, details: { [value]: value } }),
        ];
        const audit = [auditEntry({ action: value, details: { [value]: [value] }, request_id: value })];
        const row = grant({
          reason: value,
          assigned_tags: [value],
          approvers: [value],
          rejected_fingerprints: [value],
        });
        await commit(worker, value, deviceCommit({ actor: ref, row, transitions, audit }));
        const found = await findDevice(api, 'default', ref.id);
        assert.deepEqual([found?.grant?.reason, found?.grant?.assigned_tags], [value, [value]]);
        const [step] = await listHistory(api, ref, page);
        assert.deepEqual([step?.event, step?.by.id, step?.details], [value, value, { [value]: value }]);
        assert.deepEqual(await listHistory(api, { ...ref, id: value }, page), []);

        const id = randomUUID();
        const subject = { subject_id: value, subject: { [value]: value } };
        await commit(worker, value, approvalCommit(id, { row: approval(subject) }));
        const listed = await listApprovals(api, 'default', { subject_id: value }, page);
        assert.deepEqual(
          listed.map((one) => [one.id, one.subject]),
          [[id, { [value]: value }]],
        );
        assert.equal(await findApproval(api, 'default', value), null);

        for (const stream of ['audit', 'outbox'] as const) await sealChain(sealer, { project: 'default', stream }, 100);
        for (const filter of [{ action: value }, { action: value, subject_id: 'd1' }]) {
          const events = await listAudit(api, 'default', filter, page);
          assert.deepEqual(
            events.map(({ details, request_id }) => [details, request_id]),
            [[{ [value]: [value] }, value]],
          );
        }
        const out = await listOutbox(api, 'default', { after: 0, limit: 500 });
        assert.equal(out.filter(({ type }) => type === `audit.identity.${value}`).length, 1);
      });
    }
  });

  it('of people and their requests are kept and found as they are (SS-10)', async () => {
    const { api, worker } = database;
    await syncOperators(
      api,
      hostile.map((username) => ({ username, roles: ['approver'], permissions: [], disabled: false })),
      noon,
    );
    assert.deepEqual((await listOperators(api)).map(({ username }) => username).toSorted(), hostile.toSorted());
    for (const value of hostile) {
      await isBound(async () => {
        assert.deepEqual(await standingVoters(worker, [value, 'nobody'], 'identity.review'), [value]);
        assert.deepEqual(await standingVoters(worker, ['nobody'], value), []);
        const id = randomUUID();
        const session = { id, username: value, createdAt: noon, expiresAt: after(60), ip: value, userAgent: value };
        await openSession(api, session, auditEntry({ subject: { kind: 'session', id } }));
        const [listed, ...rest] = await listSessions(api, value, { limit: 9, after: null });
        assert.deepEqual([listed?.id, listed?.user_agent, listed?.ip, rest.length], [id, value, value, 0]);
        assert.equal(await findSession(api, value), null);
        assert.deepEqual([await useTotpStep(api, value, 1), await useTotpStep(api, value, 1)], [true, false]);
        const scope = { project: 'default', principal: value, route: value, key: value };
        const started = await startIdempotent(api, scope, digest('body'), new Date(noon));
        assert.ok(started.kind === 'started');
        await answerIdempotent(api, scope, started.claim, { status: 200, body: value });
        assert.deepEqual(await startIdempotent(api, scope, digest('body'), new Date(noon)), {
          kind: 'answered',
          status: 200,
          body: value,
        });
      });
    }
  });

  it('with NUL, which no text of the database can hold, are refused as values, and change nothing', async () => {
    const { api, worker } = database;
    const nul = `a\u0000b`;
    const refused = { code: /^22(021|P05)$/ };
    const count = () => database.rows('SELECT (SELECT count(*) FROM audit_event), (SELECT count(*) FROM device)');
    const before_ = await count();
    await assert.rejects(api.query('SELECT $1::text', [nul]), refused);
    await assert.rejects(api.entities().find(AdminPasswordRehash, { hash: nul }), refused);
    await assert.rejects(recordAlone(api, 'default', auditEntry({ details: { nul } })), refused);
    await assert.rejects(listAudit(api, 'default', { action: nul }, { limit: 1, after: null }), refused);
    await assert.rejects(
      commit(worker, 'run', deviceCommit({ row: grant({ reason: nul }), audit: [auditEntry()] })),
      refused,
    );
    assert.deepEqual(await count(), before_);
  });
});
