// Data-protection keys: old keys stay readable, and nothing opens where it does not belong.
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { describe, it } from 'node:test';
import { CompactEncrypt } from 'jose';
import { decrypt, derivedKey, encrypt, readDataKeys } from '#protocols/data-keys.ts';

const key = (seed: number): Uint8Array => new Uint8Array(32).map((_, index) => index + seed);
const text = (seed: number): string => Buffer.from(key(seed)).toString('base64url');
const context = { table: 'account', column: 'totp_secret', row: 'alice' };
const plaintext = new TextEncoder().encode('attack at dawn');
const keys = readDataKeys({ '2025': text(1), '2026': `${text(2)}=` }, '2026');

describe('readDataKeys', () => {
  it('reads base64url with and without padding, so also keys that Fernet made (AR-02)', () => {
    const fernet = 'cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=';
    const read = readDataKeys({ old: text(1), new: fernet }, 'new');
    assert.deepEqual([...read.keys.keys()], ['old', 'new']);
    assert.equal(read.keys.get('new')?.export().toString('base64url'), fernet.replace('=', ''));
  });

  const refused: readonly [title: string, keys: unknown, active: string | undefined][] = [
    ['no keys at all (AR-05)', undefined, undefined],
    ['null (AR-05)', null, 'a'],
    ['an empty map (AR-05)', {}, 'a'],
    ['no active key (AR-05)', { a: text(1) }, undefined],
    ['an active key that is not there (AR-05)', { a: text(1) }, 'b'],
    ['an active key named like what every object has (AR-05)', { a: text(1) }, 'constructor'],
    ['a list', [text(1)], '0'],
    ['a text', text(1), 'a'],
    ['a key that is no text', { a: 1 }, 'a'],
    ['a key of 31 bytes', { a: Buffer.alloc(31, 'ab').toString('base64url') }, 'a'],
    ['a key of 33 bytes', { a: Buffer.alloc(33, 'ab').toString('base64url') }, 'a'],
    ['32 zero bytes', { a: Buffer.alloc(32).toString('base64url') }, 'a'],
    ['Base64 that is not base64url', { a: Buffer.alloc(32, 0xfb).toString('base64') }, 'a'],
    ['a bad key beside a good active one', { a: text(1), b: 'x' }, 'a'],
    ['a key without an id', { '': text(1) }, ''],
    ['a key id with a slash', { 'a/b': text(1) }, 'a/b'],
    ['more keys than anybody has', Object.fromEntries(Array.from({ length: 65 }, (_, i) => [i, text(i)])), '1'],
  ];
  for (const [title, given, active] of refused) {
    it(`refuses ${title}`, () => assert.throws(() => readDataKeys(given, active), { code: 'request.invalid' }));
  }

  it('shows no key, neither in an error nor when it is printed', () => {
    const short = 'c2VjcmV0LXNlY3JldA';
    assert.throws(
      () => readDataKeys({ a: short }, 'a'),
      (error: Error) => !inspect(error).includes(short) && error.message.includes('key a'),
    );
    const shown = `${inspect(keys, { depth: 9, showHidden: true })} ${JSON.stringify(keys)}`;
    for (const seed of [1, 2]) {
      assert.ok(!shown.includes(text(seed)) && !shown.includes(Buffer.from(key(seed)).toString('hex')));
    }
  });
});

describe('encrypt and decrypt', () => {
  it('write with the active key and read with the one that was used (AR-02)', async () => {
    const old = await encrypt({ ...keys, activeKeyId: '2025' }, plaintext, context);
    const now = await encrypt(keys, plaintext, context);
    assert.deepEqual([kidOf(old), kidOf(now)], ['2025', '2026']);
    assert.deepEqual(await decrypt(keys, old, context), plaintext);
    assert.deepEqual(await decrypt(keys, now, context), plaintext);
  });

  it('never write the same twice, nor anything of the text or of the context', async () => {
    const [one, two] = await Promise.all([encrypt(keys, plaintext, context), encrypt(keys, plaintext, context)]);
    assert.notEqual(one, two);
    const seen = one.split('.').map((part) => Buffer.from(part, 'base64url').toString('latin1'));
    assert.ok(['attack', 'alice', 'totp_secret'].every((word) => !seen.join().includes(word)));
  });

  it('do not mind the order in which the context is written', async () => {
    const token = await encrypt(keys, plaintext, context);
    assert.deepEqual(await decrypt(keys, token, { row: 'alice', table: 'account', column: 'totp_secret' }), plaintext);
  });

  const elsewhere: readonly [title: string, context: Record<string, string>][] = [
    ['another row', { ...context, row: 'bob' }],
    ['another column', { ...context, column: 'note' }],
    ['less', { table: 'account', row: 'alice' }],
    ['more', { ...context, project: 'default' }],
    ['the same values under other names', { table: 'account', row: 'totp_secret', column: 'alice' }],
  ];
  for (const [title, other] of elsewhere) {
    it(`refuse a context that is ${title}`, async () => {
      const token = await encrypt(keys, plaintext, context);
      await assert.rejects(decrypt(keys, token, other), { code: 'data.unreadable' });
    });
  }

  it('refuse a context that says nothing', async () => {
    await assert.rejects(encrypt(keys, plaintext, {}), RangeError);
    await assert.rejects(decrypt(keys, await encrypt(keys, plaintext, context), {}), RangeError);
  });

  const header = { alg: 'dir', enc: 'A256GCM', kid: '2026' } as const;
  const sealed = async (more: object, secret = key(2)): Promise<string> =>
    new CompactEncrypt(plaintext).setProtectedHeader({ ...header, ...more }).encrypt(secret);
  const refused: readonly [title: string, token: () => string | Promise<string>][] = [
    ['nothing', () => ''],
    ['no token', () => 'a.b.c.d.e'],
    ['a token without a context, made with the right key', async () => sealed({})],
    ['a token whose context is no text, made with the right key', async () => sealed({ ctx: 1 })],
    ['a token with a key that was removed', async () => sealed({ kid: '2024' })],
    ['a token without a key id', async () => sealed({ kid: undefined })],
    ['a token that names another key', async () => sealed({ kid: '2025' })],
    ['a token of another cipher', async () => sealed({ enc: 'A128CBC-HS256' })],
    ['a token whose key is wrapped', async () => sealed({ alg: 'A256KW' })],
    ['a compressed token', async () => sealed({ zip: 'DEF' })],
  ];
  for (const [title, make] of refused) {
    it(`refuse ${title}`, async () => {
      const token = await make();
      await assert.rejects(decrypt(keys, token, context), { code: 'data.unreadable' });
    });
  }

  it('refuse a token with one character changed, whichever it is', async () => {
    const token = await encrypt(keys, plaintext, context);
    for (let index = 0; index < token.length; index += 1) {
      const changed = token.slice(0, index) + (token[index] === 'A' ? 'Q' : 'A') + token.slice(index + 1);
      await assert.rejects(decrypt(keys, changed, context), { code: 'data.unreadable' }, `character ${index}`);
    }
  });

  function kidOf(token: string): unknown {
    return JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid;
  }
});

describe('derivedKey', () => {
  it('is another one for another purpose and for another data key', () => {
    const derived = [
      derivedKey(keys, '2026', ['a', 'b']),
      derivedKey(keys, '2026', ['ab']),
      derivedKey(keys, '2026', ['a', null]),
      derivedKey(keys, '2026', ['a', '']),
      derivedKey(keys, '2025', ['a', 'b']),
      key(2),
    ];
    assert.equal(new Set(derived.map((bytes) => Buffer.from(bytes).toString('hex'))).size, derived.length);
    assert.deepEqual(derivedKey(keys, '2026', ['a', 'b']), derived[0]);
    assert.throws(() => derivedKey(keys, '2024', ['a']), { code: 'data.unreadable' });
  });
});
