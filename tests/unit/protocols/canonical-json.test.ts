// Canonical JSON: the vectors of RFC 8785, and nothing that JSON cannot carry.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { canonicalBytes, digestOf, sha256Hex } from '#protocols/canonical-json.ts';

const text = (value: unknown): string => new TextDecoder().decode(canonicalBytes(value));

/** RFC 8785 Appendix B: bits of a double, and how it is written. */
const numbers: readonly [bits: string, written: string][] = [
  ['0000000000000000', '0'],
  ['8000000000000000', '0'],
  ['0000000000000001', '5e-324'],
  ['8000000000000001', '-5e-324'],
  ['7fefffffffffffff', '1.7976931348623157e+308'],
  ['ffefffffffffffff', '-1.7976931348623157e+308'],
  ['4340000000000000', '9007199254740992'],
  ['c340000000000000', '-9007199254740992'],
  ['4430000000000000', '295147905179352830000'],
  ['44b52d02c7e14af5', '9.999999999999997e+22'],
  ['44b52d02c7e14af6', '1e+23'],
  ['44b52d02c7e14af7', '1.0000000000000001e+23'],
  ['444b1ae4d6e2ef4e', '999999999999999700000'],
  ['444b1ae4d6e2ef4f', '999999999999999900000'],
  ['444b1ae4d6e2ef50', '1e+21'],
  ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
  ['3eb0c6f7a0b5ed8d', '0.000001'],
  ['41b3de4355555553', '333333333.3333332'],
  ['41b3de4355555554', '333333333.33333325'],
  ['41b3de4355555555', '333333333.3333333'],
  ['41b3de4355555556', '333333333.3333334'],
  ['41b3de4355555557', '333333333.33333343'],
  ['becbf647612f3696', '-0.0000033333333333333333'],
  ['43143ff3c1cb0959', '1424953923781206.2'],
];

describe('RFC 8785', () => {
  for (const [bits, written] of numbers) {
    it(`Appendix B: writes ${bits} as ${written}`, () =>
      assert.equal(text(Buffer.from(bits, 'hex').readDoubleBE()), written));
  }

  it('§3.2.2: writes the sample', () => {
    const sample = String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
      "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`;
    const written = String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`;
    assert.equal(text(JSON.parse(sample)), written);
  });

  it('§3.2.3: sorts members by UTF-16 code units', () => {
    const members = { '\u20ac': 5, '\r': 1, '\ufb33': 7, '1': 2, '\u{1f600}': 6, '\u0080': 3, '\u00f6': 4 };
    assert.equal(text(members), '{"\\r":1,"1":2,"\u0080":3,"ö":4,"€":5,"😀":6,"\ufb33":7}');
  });
});

describe('canonicalBytes', () => {
  it('does not depend on the order of members, nor on the order of writing and reading', () => {
    assert.equal(text({ b: { y: 1, x: 2 }, a: [] }), '{"a":[],"b":{"x":2,"y":1}}');
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const once = text(value);
        assert.equal(text(JSON.parse(once)), once);
        assert.deepEqual(JSON.parse(once), JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('carries a member named __proto__ like any other', () => {
    assert.equal(text(JSON.parse('{"__proto__":{"a":1},"constructor":2}')), '{"__proto__":{"a":1},"constructor":2}');
  });

  const circle: unknown[] = [];
  circle.push(circle);
  const refused: readonly [title: string, value: unknown][] = [
    ['undefined', undefined],
    ['an undefined member', { a: undefined }],
    ['an undefined item', [undefined]],
    ['a hole in a list', [1, , 2]], // oxlint-disable-line no-sparse-arrays
    ['NaN', Number.NaN],
    ['an infinity', [Number.NEGATIVE_INFINITY]],
    ['a bigint', 1n],
    ['a function', () => 1],
    ['a symbol', Symbol('a')],
    ['a lone surrogate', '\ud800'],
    ['a lone surrogate in a list', ['a\udc00b']],
    ['a lone surrogate in the name of a member', { '\ud800': 1 }],
    ['a Date', new Date(0)],
    ['a Map', new Map([['a', 1]])],
    ['bytes', new Uint8Array([1])],
    [
      'an object with a class',
      new (class Point {
        x = 1;
      })(),
    ],
    ['an object that says how to be written', { toJSON: () => 'a' }],
    ['a boxed string', new String('a')], // oxlint-disable-line no-new-wrappers
    ['a circle', circle],
    ['a value that is too deep', JSON.parse('['.repeat(66) + ']'.repeat(66))],
  ];
  for (const [title, value] of refused) {
    it(`refuses ${title}`, () => assert.throws(() => canonicalBytes(value), { code: 'request.invalid' }));
  }

  it('refuses without showing the value', () => {
    assert.throws(
      () => canonicalBytes({ password: 'hunter2', bad: undefined }),
      (error: Error) => !error.message.includes('hunter2'),
    );
  });
});

describe('digestOf', () => {
  it('is lower-case SHA-256 over the canonical bytes', () => {
    assert.equal(sha256Hex(new Uint8Array()), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    assert.equal(digestOf({ b: 2, a: 1 }), '43258cff783fe7036d8a43033f830adfc60ec037382473548ac742b888292777');
    assert.notEqual(digestOf('1'), digestOf(1));
    assert.notEqual(digestOf({ a: null }), digestOf({}));
  });
});
