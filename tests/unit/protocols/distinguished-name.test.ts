// Distinguished names: written so that nothing in a value can pass for structure.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readDer } from '#protocols/der.ts';
import { readName, writeName } from '#protocols/distinguished-name.ts';
import { Malformed } from '#protocols/malformed.ts';
import { cn, der, derName, ou } from './certificate-forge.ts';

const read = (bytes: Uint8Array) => readName(readDer(Buffer.from(bytes)));
const utf8 = 0x0c;

describe('RFC 4514', () => {
  const written: readonly [title: string, name: Uint8Array, text: string][] = [
    ['the last relative name first', derName([[ou, utf8, 'a']], [[cn, utf8, 'b']]), 'CN=b,OU=a'],
    ['an empty name as nothing', derName(), ''],
    ['an empty value', derName([[cn, utf8, '']]), 'CN='],
    ['every special character escaped', derName([[cn, utf8, ',+"\\<>;=#']]), String.raw`CN=\,\+\"\\\<\>\;=#`],
    ['spaces and # escaped where they would be lost', derName([[cn, utf8, '# a ']]), String.raw`CN=\# a\ `],
    ['a single space', derName([[cn, utf8, ' ']]), String.raw`CN=\ `],
    ['a forged relative name as one value', derName([[cn, utf8, 'x,CN=y+OU=z']]), String.raw`CN=x\,CN=y\+OU=z`],
    [
      'characters that cannot be seen as octets',
      derName([[cn, utf8, 'a\0b\u202Ec\u0085\u2028\nd\x7f']]),
      String.raw`CN=a\00b\E2\80\AEc\C2\85\E2\80\A8\0Ad\7F`,
    ],
    ['letters of any script as they are', derName([[cn, utf8, 'Żółw 亀 🐢']]), 'CN=Żółw 亀 🐢'],
    ['BMPString as its text', derName([[cn, 0x1e, Buffer.from('ü', 'utf16le').swap16()]]), 'CN=ü'],
    ['TeletexString as its text', derName([[cn, 0x14, Buffer.from([0xfc])]]), 'CN=ü'],
    ['a byte order mark as a character', derName([[cn, utf8, '\uFEFFa']]), String.raw`CN=\EF\BB\BFa`],
    ['UTF-8 that is none as its DER', derName([[cn, utf8, Buffer.from([0xff])]]), 'CN=#0C01FF'],
    ['a BMPString of a lone surrogate as its DER', derName([[cn, 0x1e, Buffer.from([0xd8, 0])]]), 'CN=#1E02D800'],
    ['a BMPString of half a character as its DER', derName([[cn, 0x1e, Buffer.from([0])]]), 'CN=#1E0100'],
    ['a PrintableString beyond ASCII as its DER', derName([[cn, 0x13, Buffer.from([0xe9])]]), 'CN=#1301E9'],
    ['a value that is no string as its DER', derName([[cn, 0x02, Buffer.from([1])]]), 'CN=#020101'],
    [
      'a type without a short name as its DER',
      derName([['2b06010401868d1f01', utf8, 'x']]),
      '1.3.6.1.4.1.99999.1=#0C0178',
    ],
  ];
  for (const [title, name, text] of written) {
    it(`writes ${title}`, () => assert.equal(writeName(read(name)), text));
  }

  it('writes everything beyond ASCII as octets where that is asked for', () => {
    assert.equal(writeName(read(derName([[cn, utf8, 'ü🐢~']])), 'ascii'), String.raw`CN=\C3\BC\F0\9F\90\A2~`);
  });
});

describe('readName', () => {
  const attribute = der(0x30, der(0x06, Buffer.from(cn, 'hex')), der(utf8, 'x'));
  const refused: readonly [title: string, name: Uint8Array][] = [
    ['a relative name without attributes', der(0x30, der(0x31))],
    ['an attribute outside a relative name', der(0x30, attribute)],
    ['an attribute without a value', der(0x30, der(0x31, der(0x30, der(0x06, Buffer.from(cn, 'hex')))))],
    [
      'an attribute with two values',
      der(0x30, der(0x31, der(0x30, der(0x06, Buffer.from(cn, 'hex')), der(utf8), der(utf8)))),
    ],
    ['something else than a SEQUENCE', der(0x31, der(0x31, attribute))],
    ['more attributes than anybody has', der(0x30, ...Array.from({ length: 65 }, () => der(0x31, attribute)))],
  ];
  for (const [title, name] of refused) {
    it(`refuses ${title}`, () => assert.throws(() => read(name), Malformed));
  }
});
