// Approvals in the store: what is closed stays closed, whoever writes; and how they are found, listed and read.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { approvalStates, closedApprovalStates, type ApprovalState } from '#contracts/states.ts';
import { digestOf } from '#protocols/canonical-json.ts';
import { commitActor } from '#store/actor.ts';
import { findApproval, listApprovals, readApprovalOutcome, type ApprovalFilter } from '#store/approval.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { after, approval, approvalCommit, commit, digest, noon } from './builders.ts';
import { addProject, type StoreTest, storeTest } from './database.ts';

const isClosed = (state: ApprovalState) => (closedApprovalStates as readonly ApprovalState[]).includes(state);

describe('an approval in the store', () => {
  const cleanup = cleanupAfterAll();
  let database: StoreTest;
  before(async () => {
    database = await storeTest(cleanup);
    await addProject(database, 'other');
  });

  type Row = ReturnType<typeof approval>;
  async function written(more: Partial<Row> = {}, project = 'default'): Promise<string> {
    const id = randomUUID();
    const actor = { kind: 'approval', project, id } as const;
    await commit(database.worker, 'run-1', approvalCommit(id, { actor, row: approval(more) }));
    return id;
  }
  const rewrite = (id: string, more: Partial<Row>) => {
    const change = approvalCommit(id, { from: 1, to: 2, row: approval(more) });
    return commitActor(database.worker, 'run-1', change, digestOf(change), noon);
  };

  for (const from of approvalStates) {
    for (const to of approvalStates) {
      // Two runs that both closed it may settle on less, never on more.
      const allowed = !isClosed(from) || (isClosed(to) && (to !== 'approved' || from === 'approved'));
      it(`that is ${from} ${allowed ? 'may become' : 'never becomes'} ${to}`, async () => {
        const id = await written({ state: from, closed_at: isClosed(from) ? noon : null });
        const closed_at = isClosed(to) ? noon : null;
        if (allowed) assert.equal((await rewrite(id, { state: to, closed_at })).status, 'committed');
        else await assert.rejects(rewrite(id, { state: to, closed_at }), { code: '23001' });
        assert.equal((await findApproval(database.api, 'default', id))?.state, allowed ? to : from);
        const [actor] = await database.rows('SELECT revision::integer FROM actor WHERE subject_id = $1', [id]);
        assert.deepEqual(actor, { revision: allowed ? 2 : 1 }, 'the commit is one with it');
      });
    }
  }

  it('that has closed is about what it was about, also for a superuser', async () => {
    const other = randomUUID();
    for (const more of [{ digest: digest('other') }, { subject_kind: 'project' }, { subject_id: other }]) {
      const id = await written({ state: 'approved', closed_at: noon });
      await assert.rejects(rewrite(id, { state: 'approved', closed_at: noon, ...more }), { code: '23001' });
      const [[column, value] = ['', '']] = Object.entries(more);
      await assert.rejects(database.rows(`UPDATE approval SET ${column} = $2 WHERE id = $1`, [id, value]), {
        code: '23001',
      });
      const open = await written();
      assert.equal((await rewrite(open, more)).status, 'committed', 'while it is open its subject may change');
    }
  });

  it('that has closed is closed in the same moment for whoever still had it open', async () => {
    for (let round = 0; round < 10; round++) {
      const id = await written();
      const results = await Promise.allSettled([
        database.rows(`UPDATE approval SET state = 'rejected', closed_at = now() WHERE id = $1`, [id]),
        rewrite(id, { state: 'approved', closed_at: noon }),
      ]);
      const state = (await findApproval(database.api, 'default', id))?.state;
      assert.equal(state, 'rejected', 'whichever was first: what was approved may settle on less');
      assert.equal(results[0]?.status, 'fulfilled');
    }
  });

  it('keeps everything that it was given', async () => {
    const votes = [{ by: 'ann', decision: 'approve', reason: 'known', at: after(1), digest: digest('subject') }];
    const row = approval({
      kind: 'rotation',
      subject: { device_id: 'd1', tags: ['a'], certificate: { serial_number: '1' } },
      requested_by: { kind: 'user', id: 'sam' },
      required_approvals: 2,
      votes,
    });
    const id = await written(row);
    assert.deepEqual(await findApproval(database.api, 'default', id), {
      ...row,
      project_id: 'default',
      id,
      revision: 1,
    });
    assert.equal(await findApproval(database.api, 'other', id), null);
    for (const none of [randomUUID(), 'no-uuid', '', id.toUpperCase(), `${id} `])
      assert.equal(await findApproval(database.api, 'default', none), null, none);
  });

  it('is listed by state, kind and subject, alone and together, the newest first, page by page', async () => {
    const made: { id: string; opened_at: string; kind: string; state: string; subject_id: string }[] = [];
    for (let n = 0; n < 24; n++) {
      const row = {
        // Some were opened at the same moment.
        opened_at: after(Math.floor(n / 3)),
        kind: n % 2 === 0 ? 'enrollment' : 'rotation',
        state: n % 3 === 0 ? 'open' : 'expired',
        subject_id: n % 4 === 0 ? 'one' : 'two',
      };
      const id = await written({ ...row, closed_at: row.state === 'open' ? null : noon }, 'other');
      made.push({ id, ...row });
    }
    await written({ subject_id: 'one' });
    const newest = made.toSorted((a, b) => (a.opened_at + a.id < b.opened_at + b.id ? 1 : -1));
    const filters: readonly ApprovalFilter[] = [
      {},
      { state: 'open' },
      { kind: 'rotation' },
      { subject_id: 'one' },
      { state: 'expired', kind: 'enrollment', subject_id: 'two' },
      { state: 'approved' },
    ];
    for (const filter of filters) {
      const expected = newest.filter((row) =>
        Object.entries(filter).every(([name, value]) => row[name as keyof typeof row] === value),
      );
      for (const limit of [1, 2, 5, 99]) {
        const found: string[] = [];
        for (let last: { opened_at: string; id: string } | null = null; ;) {
          const page: Awaited<ReturnType<typeof listApprovals>> = await listApprovals(database.api, 'other', filter, {
            limit,
            after: last,
          });
          const end = page.at(-1);
          if (end === undefined) break;
          found.push(...page.map(({ id }) => id));
          last = { opened_at: end.opened_at, id: end.id };
        }
        assert.deepEqual(
          found,
          expected.map(({ id }) => id),
          `${JSON.stringify(filter)} by ${limit}`,
        );
      }
    }
  });

  it('is read by its subject as it stands: who approved, who rejected, and why', async () => {
    const vote = (by: string, decision: string, reason: string | null = null) => ({ by, decision, reason, at: noon });
    const read = async (more: Partial<Row>) => {
      const id = await written(more);
      return readApprovalOutcome(database.worker, 'default', id);
    };
    assert.deepEqual(await read({}), {
      state: 'open',
      digest: digest('subject'),
      approvers: [],
      rejected_by: null,
      reason: null,
    });
    const approvedVotes = [vote('ann', 'approve', 'first'), vote('bob', 'approve', 'second'), vote('cat', 'approve')];
    const approved = await read({ state: 'approved', closed_at: noon, votes: approvedVotes });
    assert.deepEqual(
      [approved?.approvers, approved?.rejected_by, approved?.reason],
      [['ann', 'bob', 'cat'], null, 'second'],
    );
    const rejectedVotes = [vote('ann', 'approve', 'fine'), vote('bob', 'reject', 'unknown')];
    const rejected = await read({ state: 'rejected', closed_at: noon, votes: rejectedVotes });
    assert.deepEqual([rejected?.approvers, rejected?.rejected_by, rejected?.reason], [['ann'], 'bob', 'unknown']);
    assert.equal(await readApprovalOutcome(database.worker, 'default', randomUUID()), null);
    assert.equal(await readApprovalOutcome(database.worker, 'default', 'no-uuid'), null);
  });
});
