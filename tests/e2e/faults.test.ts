// Everything that Sentinel stands on is killed under load, kept away, filled up or made deaf: no answer is taken back, and nothing counts twice.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { chanceOf } from '#bench/simulate/chance.ts';
import { cleanupAfterAll } from '#tests/harness/cleanup.ts';
import { eventually } from '#tests/harness/eventually.ts';
import { rowsOf } from '#tests/harness/postgres.ts';
import type { Answer, Person } from '#tests/harness/stack.ts';
import { assertHeld, checkInvariants } from '#tests/long/invariants.ts';
import { startLoad, type Load } from '#tests/long/load.ts';
import { besiege, targets, type Siege } from '#tests/long/siege.ts';

const seed = 20_261;

describe('an installation whose parts fail', () => {
  const cleanup = cleanupAfterAll();
  let siege: Siege;
  before(
    async () => {
      siege = await besiege(cleanup);
    },
    { timeout: 180_000 },
  );

  async function underLoad(work: (load: Load) => Promise<void>): Promise<void> {
    const load = await startLoad(siege.stack, { seed, fleet: 6, most: 14 });
    await load.answered(60);
    await work(load);
    await giveUpClaims();
    await load.stop();
    assertHeld(await checkInvariants(siege, load.ledger));
  }

  /** The minute passes after which a request that never answered gives its key up: whoever worked on it was killed. */
  async function giveUpClaims(): Promise<void> {
    await rowsOf(siege.superuserUrl, 'UPDATE idempotency_key SET claimed_until = now() WHERE status IS NULL');
  }

  const isReady = async (): Promise<boolean> =>
    (await siege.stack.request('/api/health/ready').catch(() => null))?.status === 200;

  /** Much that cannot be compressed. */
  const posture = () =>
    Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`fact${n}`, randomBytes(60).toString('hex')]));
  const approve = { decision: 'approve' };

  /** The review that a device waits for, once it can be voted on. */
  async function openReview(id: string): Promise<string> {
    const vic = await siege.stack.as('vic');
    return eventually(async () => {
      const { pending_review: review } = await vic.devices.get(id);
      const approval = review && (await vic.approvals.get(review.id).catch(() => null));
      return approval?.state === 'open' && approval.id;
    }, `a review of ${id}`);
  }

  /** How often something is on record. */
  async function countOf(subject: string, action: string): Promise<number> {
    const [row] = await rowsOf(
      siege.superuserUrl,
      `SELECT count(*)::int AS n FROM audit_event WHERE subject_id = '${subject}' AND action = '${action}'`,
    );
    return Number(row?.['n']);
  }

  async function post(person: Person, path: string, body: object, key: string): Promise<Answer> {
    const headers = { authorization: `Bearer ${await siege.stack.token(person)}`, 'idempotency-key': key };
    return siege.stack.request(path, { method: 'POST', headers, body });
  }

  it('answers 503 while PostgreSQL is away, takes back no other answer of a thousand, and is there soon after it (FT-02)', async () => {
    await underLoad(async (load) => {
      await load.answered(500);
      await siege.kill('postgres', () => load.answered(20));
      // The bound is the requirement's own.
      await eventually(isReady, 'the pool to recover', 5_000);
      await load.answered(500);
      assert.ok(
        [...load.ledger.answers].some(([name]) => name.endsWith(' 503')),
        'nobody noticed',
      );
    });
  });

  it('does nothing that people ask for while Temporal is away, but for revocations, and takes in all news once afterwards (FT-03)', async () => {
    const device = await siege.stack.device('away-1');
    assert.equal((await device.heartbeat(1)).status, 202);
    const review = await openReview('away-1');
    await underLoad(async (load) => {
      await siege.kill('temporal', async () => {
        const refused = await post('ann', '/api/devices/away-1/identity-review', approve, randomUUID());
        assert.deepEqual([refused.status, refused.body['code']], [503, 'service.unavailable']);
        assert.ok(Number(refused.retryAfter) > 0);
        const newcomer = await siege.stack.device('away-2');
        assert.equal((await newcomer.heartbeat(1)).status, 202);
        const revoked = await post('sam', '/api/devices/away-1/certificate/revoke', { reason: 'lost' }, randomUUID());
        assert.equal(revoked.status, 200);
        assert.equal((await device.heartbeat(1)).body['code'], 'certificate.revoked');
        await load.answered(200);
      });
    });
    const vic = await siege.stack.as('vic');
    assert.deepEqual((await vic.approvals.get(review)).votes, [], 'what was answered 503 had no effect');
    await openReview('away-2');
    assert.equal(await countOf('away-2', 'device.identity.pending'), 1);
  });

  describe('when the answers of Temporal are lost', () => {
    const updates = ['UpdateWorkflowExecution', 'PollWorkflowExecutionUpdate', 'ExecuteMultiOperation'];

    it('counts a vote once that was taken and is sent again with its key (FT-04)', async () => {
      const device = await siege.stack.device('deaf-1');
      assert.equal((await device.heartbeat(1, { tags: ['payments'] })).status, 202);
      const review = await openReview('deaf-1');
      const key = randomUUID();
      const ask = () => post('ann', '/api/devices/deaf-1/identity-review', approve, key);
      siege.proxy.swallow(updates);
      const unheard = await ask();
      siege.proxy.swallow([]);
      assert.equal(unheard.status, 503);
      assert.ok(Number(unheard.retryAfter) > 0);
      const vic = await siege.stack.as('vic');
      assert.deepEqual(
        (await vic.approvals.get(review)).votes.map(({ by }) => by),
        ['ann'],
        'it was taken',
      );
      for (let again = 0; again < 2; again += 1) assert.equal((await ask()).status, 200);
      assert.equal((await vic.approvals.get(review)).votes.length, 1);
      assert.equal(await countOf(review, 'approval.voted'), 1);
    });

    it('resets a device once, and opens one review for a first contact whose signal nobody confirmed (FT-04)', async () => {
      siege.proxy.swallow([...updates, 'SignalWithStartWorkflowExecution']);
      const device = await siege.stack.device('deaf-2');
      assert.equal((await device.heartbeat(1)).status, 202);
      await openReview('deaf-2');
      const key = randomUUID();
      const ask = () => post('sam', '/api/devices/deaf-2/reset', { reason: 'test' }, key);
      const unheard = await ask();
      assert.ok((siege.proxy.swallowed.get('SignalWithStartWorkflowExecution') ?? 0) > 0);
      siege.proxy.swallow([]);
      assert.equal(unheard.status, 503);
      await eventually(async () => (await countOf('deaf-2', 'device.identity.reset')) === 1, 'the reset');
      assert.equal((await ask()).status, 200);
      assert.equal((await device.heartbeat(1)).status, 202);
      await openReview('deaf-2');
      assert.equal(await countOf('deaf-2', 'device.identity.reset'), 1);
      assert.equal(await countOf('deaf-2', 'device.identity.pending'), 2, 'one before the reset, one after it');
    });
  });

  it('keeps every promise when each part is killed at a moment of its own under load', async () => {
    const chance = chanceOf(seed, 2);
    await underLoad(async (load) => {
      for (const target of targets.toSorted(() => chance() - 0.5)) {
        await load.answered(20 + Math.floor(chance() * 60));
        await siege.kill(target);
      }
      await eventually(isReady, 'the installation to recover');
      await load.answered(100);
    });
  });

  it('answers 503 while the disk of PostgreSQL is full, and goes on when there is room (FT-02)', async (t) => {
    if (siege.noDisk !== null) return t.skip(siege.noDisk);
    await underLoad(async (load) => {
      const makeRoom = await siege.fillDisk();
      let refused: Answer;
      let newcomers = 0;
      try {
        // Rows that are there already can be written over for a while; new ones soon need a page.
        refused = await eventually(async () => {
          const device = await siege.stack.device(`full-${(newcomers += 1)}`);
          const answer = await device.heartbeat(1, { posture: posture() }).catch(() => null);
          await device.close();
          return answer?.status === 503 && answer;
        }, 'a refusal');
      } finally {
        await makeRoom();
      }
      assert.equal(refused.body['code'], 'service.unavailable');
      assert.ok(Number(refused.retryAfter) > 0);
      await eventually(isReady, 'the database to recover');
      await load.answered(200);
    });
  });
});
