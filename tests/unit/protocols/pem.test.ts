// PEM: Base64 as it is written, and nothing beside the blocks.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Malformed } from '#protocols/malformed.ts';
import { readPem } from '#protocols/pem.ts';

const maximum = { blocks: 2, bytes: 8 };
const block = (body: string): string => `-----BEGIN X-----\n${body}\n-----END X-----\n`;
const read = (text: string): string[] => readPem(text, 'X', maximum).map((bytes) => bytes.toString('latin1'));

describe('readPem', () => {
  it('reads the blocks that are there, with white space around and inside', () => {
    assert.deepEqual(read(''), []);
    assert.deepEqual(read(block('YWI=')), ['ab']);
    assert.deepEqual(read(` \r\n${block('YW\r\n\tI=')}\n${block('YWJj')} `), ['ab', 'abc']);
    assert.deepEqual(read(block('YWJjZGVmZ2g=')), ['abcdefgh']);
  });

  const refused: readonly [title: string, text: string][] = [
    ['an empty block', block('')],
    ['padding left out', block('YWI')],
    ['too much padding', block('YWI==')],
    ['padding in the middle', block('YWI=YWJj')],
    ['bits after the end', block('YWJ=')],
    ['base64url', block('_-8=')],
    ['a NUL', block('YW\0I=')],
    ['a space that is not ASCII', block('YW\u00a0I=')],
    ['a header', block('Proc-Type: 4,ENCRYPTED\n\nYWI=')],
    ['a block inside a block', block(block('YWI='))],
    ['another label', block('YWI=').replaceAll('X', 'Y')],
    ['another label at the end', block('YWI=').replace('END X', 'END Y')],
    ['no end', '-----BEGIN X-----\nYWI=\n'],
    ['an end first', '-----END X-----\n-----BEGIN X-----\n'],
    ['text before', `x${block('YWI=')}`],
    ['text between', `${block('YWI=')}x\n${block('YWI=')}`],
    ['text after', `${block('YWI=')}x`],
    ['one byte too many', block('YWJjZGVmZ2hp')],
    ['one block too many', block('YWI=').repeat(3)],
    ['a body of nothing but white space', block(' '.repeat(100_000))],
  ];
  for (const [title, text] of refused) {
    it(`refuses ${title}`, () => assert.throws(() => read(text), Malformed));
  }
});
