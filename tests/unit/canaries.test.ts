// The search for secrets finds each form that a secret is likely to take, wherever in a longer text it stands.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findCanaries } from '#tests/harness/canaries.ts';

const secret = 'pass "word"/+\\ with spaces\n7h1s';
const canaries = new Map([['the secret', secret]]);
const find = (text: string): string[] => findCanaries(canaries, new Map([['here', Buffer.from(text)]]));

describe('the search for secrets', () => {
  it('finds none where none is', () => {
    assert.deepEqual(find('pass word, password, 7h1s'), []);
  });

  const shown: Readonly<Record<string, (text: string) => string>> = {
    'as it is': (text) => text,
    'in JSON': (text) => JSON.stringify({ a: [text] }),
    'in JSON in JSON': (text) => JSON.stringify({ a: JSON.stringify({ b: text }) }),
    'in an address': (text) => `?q=${encodeURIComponent(text)}`,
    'in hexadecimal': (text) => Buffer.from(text).toString('hex'),
    'in hexadecimal capitals': (text) => Buffer.from(text).toString('hex').toUpperCase(),
  };
  for (const [how, show] of Object.entries(shown)) {
    it(`finds one ${how}`, () => assert.deepEqual(find(`… ${show(secret)} …`), ['the secret in here']));
  }
  for (const encoding of ['base64', 'base64url'] as const) {
    for (const before of ['', 'a', 'ab', 'abc', 'user:']) {
      it(`finds one in ${encoding} after ${before.length} others`, () => {
        const text = Buffer.from(`${before}${secret} and more`).toString(encoding);
        assert.deepEqual(find(`x ${text} y`), ['the secret in here']);
      });
    }
  }

  it('refuses a secret that would be found by chance', () => {
    assert.throws(() => findCanaries(new Map([['short', '12345']]), new Map()), /too short/);
  });
});
