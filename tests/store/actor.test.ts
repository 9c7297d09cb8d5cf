// Commits on a real database: who may write an actor's row, what is written with it, and what a refusal leaves behind.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, it } from 'node:test';
import type { Commit, CommitResult } from '#contracts/actor.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import { commitActor } from '#store/actor.ts';
import { syncOperators } from '#store/operator.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import {
  approval,
  approvalCommit,
  approved,
  auditEntry,
  commit,
  deviceCommit,
  digest,
  grant,
  noon,
  transition,
} from './builders.ts';
import { type StoreTest, storeTest } from './database.ts';

describe('a commit', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
    await syncOperators(
      database.api,
      [
        { username: 'ann', roles: ['approver'], permissions: [], disabled: false },
        { username: 'bob', roles: ['approver'], permissions: [], disabled: true },
        { username: 'vic', roles: ['viewer'], permissions: [], disabled: false },
      ],
      noon,
    );
  });

  const send = (runId: string, change: Commit): Promise<CommitResult> =>
    commitActor(database.worker, runId, change, digestOf(change), noon);
  const of = (id: string, more: Parameters<typeof deviceCommit>[0] = {}): Commit =>
    deviceCommit({ actor: { kind: 'device', project: 'default', id }, ...more });
  const rowsOf = async (id: string): Promise<Record<string, number>> => {
    const [row] = await database.rows<Record<string, number>>(
      `SELECT (SELECT count(*)::integer FROM device WHERE device_id = $1) AS device,
         (SELECT count(*)::integer FROM actor WHERE subject_id = $1) AS actor,
         (SELECT count(*)::integer FROM actor_transition WHERE actor_id = 'device/default/' || $1) AS transitions,
         (SELECT count(*)::integer FROM audit_event WHERE subject_id = $1) AS audit,
         (SELECT count(*)::integer FROM outbox_event WHERE subject_id = $1) AS outbox`,
      [id],
    );
    return row ?? {};
  };
  const audited = (id: string) => [auditEntry({ subject: { kind: 'device', id } })];

  it('writes grant, history, audit and what goes out in one transaction', async () => {
    assert.deepEqual(await send('run-1', of('whole', { to: 2, audit: audited('whole') })), {
      status: 'committed',
      run_id: 'run-1',
    });
    assert.deepEqual(await rowsOf('whole'), { device: 1, actor: 1, transitions: 2, audit: 1, outbox: 1 });
  });

  it('that is sent again is answered as the first time, and written once', async () => {
    const change = of('again', { audit: audited('again') });
    const first = await send('run-1', change);
    assert.deepEqual(await send('run-1', change), first);
    assert.deepEqual(await rowsOf('again'), { device: 1, actor: 1, transitions: 1, audit: 1, outbox: 1 });
  });

  it('is fenced when another run, revision or epoch holds the row, and leaves nothing', async () => {
    await send('run-1', of('fenced', { to: 2 }));
    const before = await rowsOf('fenced');
    const cases: readonly (readonly [string, string, Commit])[] = [
      ['another run', 'run-2', of('fenced', { from: 2 })],
      ['an older revision', 'run-1', of('fenced', { from: 1 })],
      ['a later revision', 'run-1', of('fenced', { from: 3 })],
      ['another epoch', 'run-1', of('fenced', { from: 2, epoch: 2 })],
      ['the first commit of another run', 'run-2', of('fenced')],
      ['another predecessor', 'run-2', of('fenced', { from: 2, succeeds: { run_id: 'run-0', revision: 2 } })],
      [
        'an older state of its predecessor',
        'run-2',
        of('fenced', { from: 2, succeeds: { run_id: 'run-1', revision: 1 } }),
      ],
      ['the same revisions with another content', 'run-1', of('fenced', { to: 2, row: grant({ reason: 'other' }) })],
    ];
    for (const [what, runId, change] of cases) {
      const result = await send(runId, { ...change, audit: audited('fenced') });
      assert.equal(result.status, 'fenced', what);
      assert.equal(result.status === 'fenced' && result.row?.revision, 2, what);
    }
    assert.deepEqual(await rowsOf('fenced'), before);
  });

  it('is fenced when the row that it goes on from is gone, or has a later epoch', async () => {
    for (const [what, change] of [
      ['goes on from a row', of('gone', { from: 1 })],
      ['takes over from a row', of('gone', { succeeds: { run_id: 'run-0', revision: 0 } })],
      ['asks about a row', of('gone', { to: 0, succeeds: { run_id: 'run-0', revision: 0 } })],
    ] as const) {
      assert.deepEqual(await send('run-1', change), { status: 'fenced', run_id: 'run-1', row: null }, what);
    }
    assert.deepEqual(await rowsOf('gone'), { device: 0, actor: 0, transitions: 0, audit: 0, outbox: 0 });
    await send('run-1', of('later', { epoch: 3 }));
    const succeeds = { run_id: 'run-1', revision: 1 };
    assert.equal((await send('run-2', of('later', { from: 1, epoch: 2, succeeds }))).status, 'fenced');
    assert.equal((await send('run-2', of('later', { from: 1, epoch: 3, succeeds }))).status, 'committed');
  });

  it('of the run that continues or adopts exactly this row goes through, and the one before is fenced', async () => {
    await send('run-1', of('next', { to: 2 }));
    const succeeds = { run_id: 'run-1', revision: 2 };
    assert.equal((await send('run-2', of('next', { from: 2, succeeds }))).status, 'committed');
    assert.equal((await send('run-1', of('next', { from: 2 }))).status, 'fenced');
    // A run adopts a row of its own that was put back.
    const own = { run_id: 'run-2', revision: 3 };
    assert.equal((await send('run-2', of('next', { from: 3, epoch: 2, succeeds: own }))).status, 'committed');
  });

  it('that is empty asks who holds the row, and writes nothing', async () => {
    assert.equal((await send('run-1', of('empty', { to: 0 }))).status, 'committed');
    assert.equal((await send('run-1', of('empty', { from: 2, to: 2 }))).status, 'fenced', 'its row is gone');
    assert.deepEqual(await rowsOf('empty'), { device: 0, actor: 0, transitions: 0, audit: 0, outbox: 0 });
    await send('run-1', of('empty'));
    assert.equal((await send('run-1', of('empty', { from: 1, to: 1 }))).status, 'committed');
    assert.equal((await send('run-2', of('empty', { from: 1, to: 1 }))).status, 'fenced');
  });

  it('of several runs at once is written by exactly one', async () => {
    for (let round = 0; round < 20; round++) {
      const id = `race-${round}`;
      const results = await Promise.all(['a', 'b', 'c', 'd'].map((run) => send(run, of(id, { audit: audited(id) }))));
      assert.deepEqual(results.map(({ status }) => String(status)).toSorted(), [
        'committed',
        'fenced',
        'fenced',
        'fenced',
      ]);
      assert.deepEqual(await rowsOf(id), { device: 1, actor: 1, transitions: 1, audit: 1, outbox: 1 });
    }
  });

  it('of runs that all go on from one row is written by exactly one', async () => {
    const other = await database.open('sentinel_worker');
    const succeeds = { run_id: 'run-1', revision: 2 };
    for (let round = 0; round < 20; round++) {
      const id = `handover-${round}`;
      await send('run-1', of(id, { to: 2 }));
      const changes: readonly (readonly [string, Commit])[] = [
        ['run-1', of(id, { from: 2, audit: audited(id) })],
        ['run-2', of(id, { from: 2, succeeds, audit: audited(id) })],
        ['run-3', of(id, { from: 2, succeeds, epoch: 2, audit: audited(id) })],
      ];
      const results = await Promise.all(
        changes.map(([run, change], i) =>
          commitActor((i + round) % 2 === 0 ? database.worker : other, run, change, digestOf(change), noon),
        ),
      );
      const winner = results.findIndex(({ status }) => status === 'committed');
      assert.ok(winner >= 0);
      const [runId = ''] = changes[winner] ?? [];
      for (const [i, result] of results.entries()) {
        if (i === winner) continue;
        assert.equal(result.status, 'fenced');
        assert.equal(result.status === 'fenced' && result.row?.run_id, runId, 'and is told who holds the row');
      }
      assert.deepEqual(await rowsOf(id), { device: 1, actor: 1, transitions: 3, audit: 1, outbox: 1 });
    }
  });

  it('with a gap in its history is a mistake of ours', async () => {
    await assert.rejects(send('run-1', of('gap', { to: 2, transitions: [transition(1)] })), TypeError);
    await assert.rejects(send('run-1', of('gap', { transitions: [transition(2)] })), TypeError);
  });

  it('that fails half way leaves nothing, also of an actor that has a row', async () => {
    const unheard = [{ ...auditEntry({ subject: { kind: 'device', id: 'half' } }), outcome: 'unheard of' as never }];
    await assert.rejects(send('run-1', of('half', { audit: unheard })), { code: '23514' });
    assert.deepEqual(await rowsOf('half'), { device: 0, actor: 0, transitions: 0, audit: 0, outbox: 0 });
    await send('run-1', of('half', { audit: audited('half') }));
    const before = await rowsOf('half');
    const next = { from: 1, row: approved('half-1'), audit: audited('half') };
    // The last row of all that is written.
    const outbox = [
      {
        occurred_at: noon,
        type: 'device.trust.updated' as const,
        subject: { kind: 'device' as const, id: 'half' },
        data: { a: '\u0000' },
      },
    ];
    await assert.rejects(send('run-1', of('half', { ...next, outbox })), { code: '22P05' });
    assert.deepEqual(await rowsOf('half'), before);
    const [row] = await database.rows(
      `SELECT d.state, a.revision::integer FROM device d JOIN actor a ON a.subject_id = d.device_id WHERE device_id = 'half'`,
    );
    assert.deepEqual(row, { state: 'pending', revision: 1 });
    assert.equal((await send('run-1', of('half', next))).status, 'committed', 'and the next attempt goes through');
  });

  describe('with a requirement', () => {
    const consuming = (id: string, approval_id: string, more: { outcome?: string; digest?: string } = {}): Commit =>
      of(id, {
        row: approved('cert'),
        audit: audited(id),
        requirements: [
          { kind: 'approval.consumed', approval_id, outcome: 'approved', digest: digest('subject'), ...more },
        ],
      });
    async function closedApproval(id: string, subject: string, state = 'approved'): Promise<void> {
      const row = approval({ subject_id: subject, state, closed_at: state === 'open' ? null : noon });
      await commit(database.worker, `run-${id}`, approvalCommit(id, { row }));
    }

    it('consumes an approval that is closed, for its own subject and digest, once', async () => {
      const id = randomUUID();
      await closedApproval(id, 'consumer');
      for (const [what, change] of [
        ['another subject', consuming('somebody', id)],
        ['another digest', consuming('consumer', id, { digest: digest('other') })],
        ['another outcome', consuming('consumer', id, { outcome: 'rejected' })],
        ['no approval', consuming('consumer', randomUUID())],
        ['what is no id', consuming('consumer', `' OR true --`)],
      ] as const) {
        const result = await send('run-1', change);
        assert.deepEqual(
          [result.status, result.status === 'refused' && result.requirement],
          ['refused', 'approval.consumed'],
          what,
        );
      }
      assert.deepEqual(await rowsOf('consumer'), { device: 0, actor: 0, transitions: 0, audit: 0, outbox: 0 });
      assert.equal((await send('run-1', consuming('consumer', id))).status, 'committed');
      const second = { ...consuming('consumer', id), from: 1, to: 2, transitions: [transition(2)] };
      assert.equal((await send('run-1', second)).status, 'refused', 'nothing takes effect twice');
    });

    it('does not take an approval that is open for one that is closed', async () => {
      const id = randomUUID();
      await closedApproval(id, 'waiting', 'open');
      assert.equal((await send('run-1', consuming('waiting', id, { outcome: 'open' }))).status, 'refused');
    });

    it('counts voters only while the live directory has them, active and with the permission (AA-19)', async () => {
      const standing = (usernames: readonly string[]): Commit =>
        of(`voters-${usernames.join('-')}`, {
          requirements: [{ kind: 'voters.stand', usernames, permission: 'identity.review' }],
        });
      assert.equal((await send('run-1', standing(['ann']))).status, 'committed');
      for (const usernames of [['ann', 'bob'], ['vic'], ['nobody']]) {
        assert.equal((await send('run-1', standing(usernames))).status, 'refused', usernames.join());
        const nothing = { device: 0, actor: 0, transitions: 0, audit: 0, outbox: 0 };
        assert.deepEqual(await rowsOf(`voters-${usernames.join('-')}`), nothing);
      }
    });

    it('that is refused consumes nothing and changes no row, so that it can be sent again', async () => {
      const id = randomUUID();
      await closedApproval(id, 'retried');
      await send('run-1', of('retried'));
      const before = await rowsOf('retried');
      const change = { ...consuming('retried', id), from: 1, to: 2, transitions: [transition(2)] };
      const refused = await send('run-1', {
        ...change,
        requirements: [
          ...change.requirements,
          { kind: 'voters.stand', usernames: ['bob'], permission: 'identity.review' },
        ],
      });
      assert.deepEqual([refused.status, refused.status === 'refused' && refused.row?.revision], ['refused', 1]);
      assert.deepEqual(await rowsOf('retried'), before);
      assert.deepEqual(await database.rows('SELECT FROM approval_consumption WHERE approval_id = $1', [id]), []);
      assert.equal((await send('run-1', change)).status, 'committed');
    });
  });
});
