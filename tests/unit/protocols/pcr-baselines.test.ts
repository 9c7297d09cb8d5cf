// Reference values: both forms of the setting, which of them count for a device, and which register differs.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TrustError } from '#contracts/problems.ts';
import { baselinesFor, parsePcrBaselines, requireApproved, selectionOf } from '#protocols/pcr-baselines.ts';
import { refusalOf, refuses } from './tpm-vectors.ts';

const [a, b, c] = ['aa', 'bb', 'cc'].map((byte) => byte.repeat(32)) as [string, string, string];
const parse = (value: unknown) => parsePcrBaselines(JSON.stringify(value));
const tagged = parse([
  { match_tags: [], pcrs: { sha256: { 0: [a], 7: [a, b] } } },
  { match_tags: ['laptop'], pcrs: { sha256: { 0: [b] } } },
  { match_tags: ['laptop', 'lab'], pcrs: { sha256: { 0: [c] } } },
  { match_tags: ['laptop', 'lab'], pcrs: { sha256: { 0: [a] } } },
  { match_tags: ['kiosk'], pcrs: {} },
]);
const valuesFor = (...tags: string[]) => baselinesFor(tagged, tags).map(({ pcrs }) => pcrs.sha256?.[0]);

describe('parsePcrBaselines', () => {
  it('reads one baseline for all devices', () => {
    const pcrs = { sha256: { 0: [a] }, sha384: { 7: ['dd'.repeat(48)] } };
    assert.deepEqual(parse(pcrs), [{ matchTags: [], pcrs }]);
  });

  it('reads a list of baselines by tags', () => {
    assert.deepEqual(tagged[2], { matchTags: ['laptop', 'lab'], pcrs: { sha256: { 0: [c] } } });
  });

  it('takes values as tpm2_pcrread prints them', () => {
    assert.deepEqual(parse({ sha256: { 0: [`0x${a.toUpperCase()}`] } }), parse({ sha256: { 0: [a] } }));
  });

  it('says what is wrong with the setting', () => {
    const wrong = [
      'x',
      null,
      1,
      { sha1: { 0: ['aa'.repeat(20)] } },
      { sha256: { 24: [a] } },
      { sha256: { '00': [a] } },
      { sha256: { '-1': [a] } },
      { sha256: { 0: a } },
      { sha256: { 0: [] } },
      { sha256: { 0: ['aa'] } },
      { sha256: { 0: [1] } },
      { sha256: null },
      { sha256: [] },
      [{ pcrs: {} }],
      [{ match_tags: 'laptop', pcrs: {} }],
      [{ match_tags: [''], pcrs: {} }],
      [{ match_tags: [], pcrs: {}, more: 1 }],
      [[]],
    ];
    for (const value of wrong) {
      assert.throws(
        () => parse(value),
        (error) =>
          error instanceof TrustError && error.code === 'request.invalid' && /^SENTINEL_\w+: /.test(error.message),
        JSON.stringify(value),
      );
    }
    assert.throws(() => parsePcrBaselines('{'), { code: 'request.invalid' });
  });

  it('answers any text with baselines or the one code', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        try {
          parsePcrBaselines(text);
        } catch (error) {
          assert.ok(error instanceof TrustError && error.code === 'request.invalid');
        }
      }),
      { numRuns: 1000, seed: 20261201 },
    );
  });
});

describe('baselinesFor', () => {
  it('chooses those that ask for most of the tags that a device was given', () => {
    assert.deepEqual(valuesFor(), [[a]]);
    assert.deepEqual(valuesFor('lab'), [[a]]);
    assert.deepEqual(valuesFor('laptop', 'other'), [[b]]);
    assert.deepEqual(valuesFor('lab', 'laptop'), [[c], [a]]);
  });

  it('finds none where none matches', () => {
    assert.deepEqual(baselinesFor(tagged.slice(1), []), []);
    assert.deepEqual(baselinesFor([], ['laptop']), []);
  });
});

describe('selectionOf', () => {
  it('asks for every register that the baselines name, ascending', () => {
    assert.deepEqual(selectionOf(parse({ sha384: { 1: ['dd'.repeat(48)] }, sha256: { 10: [a], 7: [a], 0: [a] } })), {
      sha256: [0, 7, 10],
      sha384: [1],
    });
  });

  it('refuses to ask for nothing', () => {
    for (const baselines of [[], parse({}), parse({ sha256: {} })])
      refuses('baseline_missing', () => selectionOf(baselines));
  });
});

describe('requireApproved', () => {
  const baselines = baselinesFor(tagged, []);

  it('approves when every register has one of its values', () => {
    requireApproved({ sha256: { 0: a, 7: a } }, baselines);
    requireApproved({ sha256: { 0: a, 7: b } }, baselines);
  });

  it('says which register differs', () => {
    const { facts, message } = refusalOf(() => requireApproved({ sha256: { 0: a, 7: c } }, baselines));
    assert.deepEqual(facts, { reason: 'pcr_mismatch', bank: 'sha256', pcr: 7, differing: 1 });
    assert.match(message, /PCR 7 of the sha256 bank/);
  });

  it('compares with the alternative that comes closest', () => {
    const two = parse([
      { match_tags: [], pcrs: { sha256: { 0: [a], 7: [a] } } },
      { match_tags: [], pcrs: { sha256: { 0: [b], 7: [b] } } },
    ]);
    requireApproved({ sha256: { 0: b, 7: b } }, two);
    assert.equal(refusalOf(() => requireApproved({ sha256: { 0: b, 7: c } }, two)).facts.pcr, 7);
    // Values of two alternatives do not make a third.
    refuses('pcr_mismatch', () => requireApproved({ sha256: { 0: a, 7: b } }, two));
  });

  it('refuses registers without a reference value, and anything where there is no baseline', () => {
    refuses('pcr_mismatch', () => requireApproved({ sha256: { 0: a, 7: a, 8: a } }, baselines));
    refuses('baseline_missing', () => requireApproved({}, baselines));
    refuses('baseline_missing', () => requireApproved({ sha256: { 0: a } }, []));
    refuses('baseline_missing', () => requireApproved({ sha256: { 0: a } }, baselinesFor(tagged, ['kiosk'])));
  });
});
