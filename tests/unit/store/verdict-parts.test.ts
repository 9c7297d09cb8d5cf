// Verdicts in two parts: whatever a device has sent, the parts come to the whole again, to the last member.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Json } from '#contracts/deps.ts';
import { judgeEvidence } from '#protocols/attestation-verdict.ts';
import { divide, unite, type VerdictParts } from '#store/verdict-parts.ts';
import { circumstancesFor, judgedAt, provenEvidence, quoteBasis } from '#tests/unit/protocols/judgements.ts';
import { quoteVector } from '#tests/unit/protocols/tpm-vectors.ts';

const vector = quoteVector('rsassa', 'sha256');
const steady = (nonce: string, clock_ms: number): VerdictParts => {
  const evidence = { ...provenEvidence(vector), nonce, quote: nonce, signature: nonce };
  const circumstances = circumstancesFor(vector);
  const result = judgeEvidence({
    evidence: provenEvidence(vector),
    circumstances,
    basis: quoteBasis(vector),
    now: judgedAt,
  });
  assert.ok(result.clock);
  return {
    evidence: evidence as unknown as Json,
    circumstances: { ...circumstances, last_clock: result.clock },
    result: { ...result, clock: { ...result.clock, clock_ms } },
  };
};

/** As the database gives it back. */
const stored = (value: Json): Json => JSON.parse(JSON.stringify(value)) as Json;

describe('parts of a verdict', () => {
  it('have all in common that a device sends again, and none of what is new', () => {
    const [first, second] = [divide(steady('n1', 1)), divide(steady('n2', 2))];
    assert.deepEqual(first.common, second.common);
    assert.notDeepEqual(first.own, second.own);
    assert.ok(JSON.stringify(first.own).length < JSON.stringify(first.common).length / 2);
    assert.doesNotMatch(JSON.stringify(first.common), /n1|clock_ms|issued_at/);
  });

  it('come to the whole again, whatever the evidence is', () => {
    const names = fc.constantFrom(
      ...['provider', 'pcrs', 'measurement', 'device_id', 'nonce', 'quote', 'result', '__proto__', 'constructor', 'x'],
    );
    const { json } = fc.letrec<{ json: Json }>((tie) => ({
      json: fc.oneof(
        { depthSize: 'small' },
        fc.constantFrom<Json>(null, true, 0, '', 'text', 1.5),
        fc.array(tie('json'), { maxLength: 3 }),
        fc.array(fc.tuple(names, tie('json')), { maxLength: 6 }).map((members) => Object.fromEntries(members) as Json),
      ),
    }));
    fc.assert(
      fc.property(json, json, (evidence, challenge) => {
        const whole = { evidence, circumstances: { challenge, last_clock: null }, result: { outcome: 'refused' } };
        const { own, common } = divide(whole as unknown as VerdictParts);
        const again = unite(stored(own), stored(common));
        assert.deepEqual(again, stored(whole as Json));
        assert.deepEqual(Object.getPrototypeOf(again), Object.prototype);
      }),
      { numRuns: 2_000 },
    );
  });

  it('are the whole where nothing is in common, as before there were parts', () => {
    const whole = steady('n', 1) as unknown as Json;
    assert.deepEqual(unite(whole, null), whole);
  });
});
