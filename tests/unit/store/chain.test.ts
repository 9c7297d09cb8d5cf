// The hash of a link, against what any other program computes.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chainHash, firstHash, type Link } from '#store/chain.ts';

const link: Link = { stream: 'audit', project: 'default', sequence: 7, previous_hash: 'a'.repeat(64) };
const canonical = Buffer.from('{"a":1}');
// printf 'sentinel/audit-chain/v1\naudit\ndefault\n7\naaaa…\n{"a":1}' | sha256sum
const expected = '1c83dbe8e53fbfa4c13db4688a5cd4e393a9fab652711bf5aa035c4f04bff9d5';

describe('the hash of a link', () => {
  it('is the one that sha256sum computes', () => {
    assert.equal(chainHash(link, canonical), expected);
    assert.match(firstHash, /^0{64}$/);
  });

  const others: readonly [what: string, link: Link, canonical: Uint8Array][] = [
    ['stream', { ...link, stream: 'outbox' }, canonical],
    ['project', { ...link, project: 'other' }, canonical],
    ['number', { ...link, sequence: 8 }, canonical],
    ['event before', { ...link, previous_hash: firstHash }, canonical],
    ['content', link, Buffer.from('{"a":2}')],
  ];
  for (const [what, other, bytes] of others) {
    it(`is another for another ${what}`, () => assert.notEqual(chainHash(other, bytes), expected));
  }
});
