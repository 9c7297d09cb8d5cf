// DER: one encoding for each value, and no byte unaccounted for.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import * as reader from '#protocols/der.ts';
import { Malformed } from '#protocols/malformed.ts';
import { der } from './certificate-forge.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const read = (text: string): reader.DerElement => reader.readDer(hex(text));
const { tags } = reader;

describe('readDer', () => {
  const refused: readonly [title: string, bytes: string][] = [
    ['nothing', ''],
    ['a tag without a length', '30'],
    ['a byte after the element', '05 00 00'],
    ['content that is cut off', '04 02 00'],
    ['a length that is cut off', '04 82 01'],
    ['the indefinite length', '30 80 00 00'],
    ['a length in more bytes than it needs', '04 81 01 00'],
    ['a length that begins with zero', '04 82 00 80'],
    ['a length of four bytes', '04 84 00 00 00 00'],
    ['a tag number above 30', '1f 1f 00'],
  ];
  for (const [title, bytes] of refused) {
    it(`refuses ${title} (X.690 §10.1)`, () => assert.throws(() => read(bytes), Malformed));
  }

  it('reads every length in its shortest form', () => {
    for (const size of [0, 1, 127, 128, 255, 256, 65_535, 65_536]) {
      assert.equal(reader.readDer(der(0x04, Buffer.alloc(size))).content.length, size);
    }
  });

  it('refuses any bytes with Malformed and nothing else, however they are read', () => {
    const readers = [
      reader.readBoolean,
      reader.readInteger,
      reader.readOid,
      reader.readBytes,
      reader.readBits,
      reader.readTime,
    ];
    const body = fc.uint8Array({ maxLength: 24 });
    const bytes = fc.oneof(
      body,
      fc.tuple(fc.nat(255), body).map(([tag, content]) => der(tag, Buffer.from(content))),
    );
    fc.assert(
      fc.property(bytes, fc.nat(255), (input, tag) => {
        for (const act of [...readers, (element: reader.DerElement) => reader.fieldsOf(element, tag).takeAll(tag)]) {
          try {
            act(reader.readDer(Buffer.from(input)));
          } catch (error) {
            assert.ok(error instanceof Malformed, String(error));
          }
        }
      }),
    );
  });
});

describe('fieldsOf', () => {
  const pair = read('30 06 02 01 05 01 01 ff');

  it('gives the fields in order and refuses what is left over', () => {
    const fields = reader.fieldsOf(pair, tags.sequence);
    assert.equal(reader.readInteger(fields.take(tags.integer)), 5n);
    assert.equal(fields.takeIf(tags.null), undefined);
    assert.throws(() => fields.end(), Malformed);
    assert.equal(reader.readBoolean(fields.take()), true);
    fields.end();
    assert.throws(() => fields.take(), Malformed);
  });

  const refused: readonly [title: string, act: () => unknown][] = [
    ['another tag than the one asked for', () => reader.fieldsOf(pair, tags.set)],
    ['a field of another kind', () => reader.fieldsOf(pair, tags.sequence).take(tags.boolean)],
    ['a list with a field of another kind', () => reader.fieldsOf(pair, tags.sequence).takeAll(tags.integer)],
    ['an empty list', () => reader.fieldsOf(read('30 00'), tags.sequence).takeAll(tags.integer)],
    ['a field that reaches past the end', () => reader.fieldsOf(read('30 03 04 05 00'), tags.sequence)],
    [
      'more fields than are ever needed',
      () => reader.fieldsOf(reader.readDer(der(0x30, Buffer.alloc(258, hex('0500')))), 0x30),
    ],
  ];
  for (const [title, act] of refused) {
    it(`refuses ${title}`, () => assert.throws(act, Malformed));
  }
});

describe('the readers of values', () => {
  it('read what is well formed', () => {
    assert.equal(reader.readBoolean(read('01 01 00')), false);
    assert.equal(reader.readInteger(read('02 02 00 80')), 128n);
    assert.equal(reader.readInteger(read('02 01 80')), -128n);
    assert.equal(reader.readOid(read('06 03 55 04 03')), '2.5.4.3');
    assert.equal(reader.readOid(read('06 06 2a 86 48 86 f7 0d')), '1.2.840.113549');
    assert.equal(reader.readOid(read('06 03 88 37 03')), '2.999.3');
    assert.deepEqual(reader.readBits(read('03 02 05 a0')), [0, 2]);
    assert.deepEqual(reader.readBits(read('03 03 07 00 80')), [8]);
    assert.deepEqual(reader.readBits(read('03 01 00')), []);
    assert.equal(reader.readTime(reader.readDer(der(0x17, '491231235959Z'))), '2049-12-31T23:59:59.000Z');
    assert.equal(reader.readTime(reader.readDer(der(0x17, '500101000000Z'))), '1950-01-01T00:00:00.000Z');
    assert.equal(reader.readTime(reader.readDer(der(0x18, '99991231235959Z'))), '9999-12-31T23:59:59.000Z');
  });

  const refused: readonly [title: string, act: () => unknown][] = [
    ['a BOOLEAN that is neither 00 nor FF', () => reader.readBoolean(read('01 01 01'))],
    ['a BOOLEAN of two bytes', () => reader.readBoolean(read('01 02 ff ff'))],
    ['an empty INTEGER', () => reader.readInteger(read('02 00'))],
    ['a padded positive INTEGER', () => reader.readInteger(read('02 02 00 7f'))],
    ['a padded negative INTEGER', () => reader.readInteger(read('02 02 ff 80'))],
    ['an INTEGER longer than anything needs', () => reader.readInteger(reader.readDer(der(0x02, Buffer.alloc(65, 1))))],
    ['an empty OBJECT IDENTIFIER', () => reader.readOid(read('06 00'))],
    ['an arc that is cut off', () => reader.readOid(read('06 02 55 84'))],
    ['an arc with padding', () => reader.readOid(read('06 03 55 80 03'))],
    ['an endless OBJECT IDENTIFIER', () => reader.readOid(reader.readDer(der(0x06, Buffer.alloc(65, 1))))],
    ['a key that does not end at a byte', () => reader.readBytes(read('03 02 01 00'))],
    ['an empty BIT STRING', () => reader.readBytes(read('03 00'))],
    ['a BIT STRING with eight unused bits', () => reader.readBits(read('03 02 08 00'))],
    ['a BIT STRING whose unused bits are set', () => reader.readBits(read('03 02 05 a1'))],
    ['an empty BIT STRING with unused bits', () => reader.readBits(read('03 01 05'))],
    ...['261301000000Z', '260230000000Z', '260101240000Z', '2601010000Z', '260101000000+0100', '260101000000', ''].map(
      (text): [string, () => unknown] => [`UTCTime ${text}`, () => reader.readTime(reader.readDer(der(0x17, text)))],
    ),
    ...['20260101000000.5Z', '00500101000000Z0', '2026010100000Z', '20260229000000Z'].map(
      (text): [string, () => unknown] => [
        `GeneralizedTime ${text}`,
        () => reader.readTime(reader.readDer(der(0x18, text))),
      ],
    ),
    ['a time of another tag', () => reader.readTime(reader.readDer(der(0x0c, '260101000000Z')))],
  ];
  for (const [title, act] of refused) {
    it(`refuse ${title}`, () => assert.throws(act, Malformed));
  }
});
