// The judge in its thread: the same verdicts as beside it, and none at all from a thread that ends, hangs or talks nonsense.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { Verdict } from '#contracts/attestation.ts';
import { TrustError } from '#contracts/problems.ts';
import { createEvidenceJudge, evidenceJudgeDefaults, type EvidenceJudgeDeps } from '#api/evidence-judge.ts';
import { judgeEvidence, type Judgement } from '#protocols/attestation-verdict.ts';
import { circumstancesFor, judgedAt, provenEvidence, quoteBasis } from '#tests/unit/protocols/judgements.ts';
import { quoteVector, vectors } from '#tests/unit/protocols/tpm-vectors.ts';

const rsa = quoteVector('rsassa', 'sha256');
const judgementOf = (vector = rsa): Judgement => ({
  evidence: provenEvidence(vector),
  circumstances: circumstancesFor(vector),
  basis: quoteBasis(vector),
  now: judgedAt,
});
const good = judgementOf();

function judge(t: TestContext, deps: Partial<EvidenceJudgeDeps> = {}) {
  const said: { why: string; failures: number }[] = [];
  const made = createEvidenceJudge({
    ...evidenceJudgeDefaults,
    log: { error: (fields) => said.push(fields as (typeof said)[number]) },
    ...deps,
  });
  t.after(() => made.close());
  return { ...made, said };
}

/** A thread that is this script, with the lot as `lot`; `answer` is what a good one would say. */
const thread = (script: string): URL =>
  new URL(
    `data:text/javascript,${encodeURIComponent(`
      import { parentPort } from 'node:worker_threads';
      parentPort.on('message', (text) => {
        const lot = JSON.parse(text).judgements;
        const answer = lot.map(() => ({ outcome: 'verified', key_id: 'k' }));
        ${script}
      });
      parentPort.postMessage('ready');`)}`,
  );

const outcomes = async (judged: readonly Promise<Verdict>[]): Promise<string[]> =>
  (await Promise.allSettled(judged)).map((result) =>
    result.status === 'fulfilled' ? result.value.outcome : (result.reason as Error).message.replace(/^.*verdict: /, ''),
  );

it('gives the verdicts that are given beside it, each to whom it belongs', async (t) => {
  const { judge: judged, state } = judge(t);
  const all = vectors.quotes.flatMap((vector) => {
    const one = judgementOf(vector);
    const old = { ...one, now: new Date(judgedAt.getTime() + 3_600_000) };
    return [one, old, { ...one, evidence: { ...vector.evidence, nonce: 'AA' } }, { ...one, evidence: null }];
  });
  // More than are handed over at once.
  const many = [...all, ...all, ...all];
  assert.deepEqual(await Promise.all(many.map(judged)), many.map(judgeEvidence));
  assert.deepEqual(state(), { failures: 0 });
});

it('refuses more than may wait, and says that it is overloaded', async (t) => {
  const { judge: judged } = judge(t, { maximumWaiting: 2 });
  const results = await Promise.allSettled([1, 2, 3].map(() => judged(good)));
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected'],
  );
  const [, , last] = results;
  assert.ok(last?.status === 'rejected' && last.reason instanceof TrustError);
  assert.equal(last.reason.code, 'service.overloaded');
  assert.equal((await judged(good)).outcome, 'verified', 'there is room again');
});

describe('a thread that fails gives no verdict and is replaced (SA-03)', () => {
  const bad: Readonly<Record<string, readonly [script: string, why: RegExp]>> = {
    throws: [`throw new Error('broken')`, /broken/],
    ends: ['process.exit(0)', /exit code 0/],
    hangs: ['for (;;);', /no answer within 300 ms/],
    'is silent': ['', /no answer within 300 ms/],
    'answers nothing': ['parentPort.postMessage(undefined)', /its answer is none/],
    'answers false': ['parentPort.postMessage(false)', /its answer is none/],
    'answers objects': ['parentPort.postMessage(answer)', /its answer is none/],
    'answers no JSON': ['parentPort.postMessage("verified")', /its answer is none/],
    'answers for fewer': ['parentPort.postMessage(JSON.stringify(answer.slice(1)))', /its answer is none/],
    'answers for more': ['parentPort.postMessage(JSON.stringify([...answer, ...answer]))', /its answer is none/],
    'answers without an outcome': ['parentPort.postMessage(JSON.stringify(lot.map(() => ({}))))', /its answer is none/],
    'answers with null': ['parentPort.postMessage(JSON.stringify(lot.map(() => null)))', /its answer is none/],
    'answers without a key': [
      `parentPort.postMessage(JSON.stringify(lot.map(() => ({ outcome: 'verified' }))))`,
      /its answer is none/,
    ],
    'runs out of memory': ['const all = []; for (;;) all.push(new Array(1e5).fill(lot))', /memory|exit code/],
  };
  for (const [name, [script, why]] of Object.entries(bad)) {
    it(name, async (t) => {
      const limitMs = name === 'runs out of memory' ? 20_000 : 300;
      // Good again for whoever asks the second one, which comes in its place.
      const { judge: judged, said, state } = judge(t, { thread: thread(script), limitMs });
      for (const round of [1, 2]) {
        const [first = '', second = ''] = await outcomes([judged(good), judged(good)]);
        assert.match(first, why);
        assert.match(second, why);
        assert.deepEqual(state(), { failures: round });
      }
      assert.equal(said.length, 2);
      assert.match(said[0]?.why ?? '', why);
    });
  }

  it('does not start', async (t) => {
    const { judge: judged, state } = judge(t, { thread: new URL('data:text/javascript,throw new Error("no")') });
    const [why = ''] = await outcomes([judged(good)]);
    assert.match(why, /no/);
    assert.ok(state().failures > 0);
  });

  it('never says that it is ready', async (t) => {
    const silent = new URL(`data:text/javascript,setInterval(() => 0, 1000)`);
    const { judge: judged } = judge(t, { thread: silent, startLimitMs: 300 });
    assert.deepEqual(await outcomes([judged(good)]), ['it does not start']);
  });

  it('ends once: what comes afterwards is judged, and the failure is forgotten', async (t) => {
    const once = thread(
      `if (lot[0].evidence === 'end') process.exit(1); parentPort.postMessage(JSON.stringify(answer))`,
    );
    const { judge: judged, state } = judge(t, { thread: once });
    assert.deepEqual(await outcomes([judged({ ...good, evidence: 'end' })]), ['it ended with exit code 1']);
    assert.deepEqual(state(), { failures: 1 });
    assert.deepEqual(await outcomes([judged(good)]), ['verified']);
    assert.deepEqual(state(), { failures: 0 });
  });

  it('what waits behind a lot that is refused is judged by the next thread', async (t) => {
    const once = thread(
      `if (lot[0].evidence === 'end') process.exit(1); parentPort.postMessage(JSON.stringify(answer))`,
    );
    const { judge: judged } = judge(t, { thread: once });
    const first = judged({ ...good, evidence: 'end' });
    await new Promise(setImmediate);
    assert.deepEqual(await outcomes([first, judged(good)]), ['it ended with exit code 1', 'verified']);
  });
});

it('closing refuses what waits and what comes', async (t) => {
  const { judge: judged, close } = judge(t, { thread: thread('') });
  const first = judged(good);
  await new Promise(setImmediate);
  const second = judged(good);
  const both = outcomes([first, second]);
  await close();
  assert.deepEqual(await both, ['it is closed', 'it is closed']);
  await assert.rejects(judged(good), TrustError);
});
