import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseStrictJson } from '#protocols/strict-json.ts';

const parse = (text: string) => parseStrictJson(Buffer.from(text));
const codeOf = (input: string | Buffer): string => {
  try {
    parseStrictJson(Buffer.from(input));
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'read';
};

describe('strict JSON', () => {
  it('reads every value as the parser of the language does', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 8 }), (text) => {
        const poisoned = /"(__proto__|constructor|prototype)"|\\u0000/.test(text);
        if (!poisoned) assert.deepEqual(parse(text), JSON.parse(text));
      }),
    );
  });

  it('answers nothing but a value or a problem code, whatever bytes come in', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          fc.string().map((text) => Buffer.from(text)),
        ),
        (bytes) => {
          assert.match(codeOf(Buffer.from(bytes)), /^(read|request\.malformed|request\.invalid)$/);
        },
      ),
    );
  });

  for (const [what, text] of [
    ['the same key twice', '{"a":1,"a":2}'],
    ['the same key twice, once escaped', String.raw`{"a":1,"\u0061":2}`],
    ['the same key twice further in', '{"x":[{"a":1,"b":{"c":1},"a":2}]}'],
    ['a key that reaches the prototype', '{"__proto__":{"admin":true}}'],
    ['such a key, escaped', String.raw`{"\u005f_proto__":{}}`],
    ['constructor.prototype', '{"constructor":{"prototype":{"x":1}}}'],
    ['NUL in a value', String.raw`{"a":"x\u0000y"}`],
    ['NUL in a key', String.raw`{"a\u0000":1}`],
    ['a high surrogate alone', String.raw`{"a":"\ud83d"}`],
    ['a low surrogate alone', String.raw`["\uDE00"]`],
    ['surrogates in the wrong order', String.raw`"\ude00\ud83d"`],
    ['seventeen levels', `${'['.repeat(17)}${']'.repeat(17)}`],
    ['a hundred thousand levels', '['.repeat(100_000)],
    ['too many keys', JSON.stringify(Object.fromEntries(Array.from({ length: 2049 }, (_, index) => [`k${index}`, 1])))],
  ] as const) {
    it(`refuses ${what}`, () => assert.equal(codeOf(text), 'request.invalid'));
  }

  for (const [what, bytes] of [
    ['no value', Buffer.from(' ')],
    ['a byte order mark', Buffer.from('\ufeff{}')],
    ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['a surrogate written in UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
    ['UTF-16', Buffer.from('{}', 'utf16le')],
    ['a string without end', Buffer.from('{"a":"b')],
    ['two values', Buffer.from('{}{}')],
    ['a comma too many', Buffer.from('[1,]')],
    ['a bare control character', Buffer.from('"\u0001"')],
    ['a broken escape', Buffer.from(String.raw`{"a\x":1}`)],
  ] as const) {
    it(`takes ${what} for no JSON`, () => assert.equal(codeOf(bytes), 'request.malformed'));
  }

  it('says nothing of the body in its message', () => {
    assert.throws(
      () => parse('{"password":"hunter2",}'),
      (error: Error) => !error.message.includes('hunter2'),
    );
  });

  it('takes surrogate pairs, and the same key in different objects', () => {
    assert.deepEqual(parse(String.raw`[{"a":"\ud83d\ude00"},{"a":1}]`), [{ a: '😀' }, { a: 1 }]);
  });
});
