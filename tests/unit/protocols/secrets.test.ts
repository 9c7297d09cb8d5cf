// CSRF tokens, keys from settings, and the comparison of secrets.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sameSecret } from '#protocols/constant-time.ts';
import { csrfToken, requireCsrfToken } from '#protocols/csrf.ts';
import { readSecretKey } from '#protocols/secret-key.ts';

const key = new Uint8Array(32).map((_, index) => index);

describe('csrfToken', () => {
  it('belongs to one session and one key', () => {
    const token = csrfToken('session-1', key);
    requireCsrfToken(token, 'session-1', key);
    assert.equal(csrfToken('session-1', key), token);
    assert.match(token, /^[A-Za-z0-9_-]{43}$/);
  });

  const token = csrfToken('session-1', key);
  const refused: readonly [title: string, token: string | undefined, session?: string][] = [
    ['nothing', undefined],
    ['an empty token', ''],
    ['the token of another session', csrfToken('session-2', key)],
    ['the token with another session', token, 'session-2'],
    ['the token of another key', csrfToken('session-1', new Uint8Array(32).fill(9))],
    ['a longer token', `${token}A`],
    ['a shorter token', token.slice(1)],
    ['the session itself', 'session-1'],
  ];
  for (const [title, given, session = 'session-1'] of refused) {
    it(`refuses ${title}`, () => assert.throws(() => requireCsrfToken(given, session, key), { code: 'auth.csrf' }));
  }

  it('cannot be made with a short key', () =>
    assert.throws(() => csrfToken('session-1', new Uint8Array(16)), RangeError));
});

describe('sameSecret', () => {
  it('compares text and bytes of any length', () => {
    assert.ok(sameSecret('secret', 'secret'));
    assert.ok(sameSecret('secret', Buffer.from('secret')));
    for (const [a, b] of [
      ['secret', 'secret '],
      ['secret', 'Secret'],
      ['a', 'b'],
      ['a', ''],
      ['', 'a'],
    ] as const) {
      assert.equal(sameSecret(a, b), false);
    }
  });

  it('never matches a secret that is not set', () => assert.equal(sameSecret('', ''), false));
});

describe('readSecretKey', () => {
  const written = Buffer.from(key).toString('base64url');

  it('reads base64url with or without padding', () => {
    assert.deepEqual(readSecretKey(written, 'X'), key);
    assert.deepEqual(readSecretKey(`${written}=`, 'X'), key);
    assert.equal(readSecretKey(Buffer.alloc(48, 'ab').toString('base64url'), 'X').length, 48);
  });

  const refused: readonly [title: string, text: string][] = [
    ['nothing', ''],
    ['31 bytes', Buffer.from(key.subarray(1)).toString('base64url')],
    ['a placeholder', 'change-me-change-me-change-me-change-me-change me'],
    ['32 zero bytes', Buffer.alloc(32).toString('base64url')],
    ['the wrong padding', `${written}==`],
    ['padding in front', `=${written}`],
    ['Base64 that is not base64url', Buffer.alloc(33, 0xfb).toString('base64')],
    ['bits after the end', `${written.slice(0, -1)}9`],
    ['a newline', `${written}\n`],
  ];
  for (const [title, text] of refused) {
    it(`refuses ${title} and does not show it`, () =>
      assert.throws(
        () => readSecretKey(text, 'SENTINEL_SECRET_KEY'),
        ({ message }: Error) => message.startsWith('SENTINEL_SECRET_KEY') && (text === '' || !message.includes(text)),
      ));
  }
});
