// Passwords: argon2id, the two formats of Werkzeug, and nothing that costs more than it should.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hashPassword, verifyPassword, verifyUnknownUser } from '#protocols/password.ts';

const password = 'correct horse battery staple – ü🐢';
/** Made by generate_password_hash of Werkzeug 3.1.8. */
const werkzeug = {
  'scrypt:32768:8:1':
    'scrypt:32768:8:1$QyjP1T3rqEWgh3ou$28b6ce2e61a5a324540fd1cd06e03be817787d4386dc02e1bddac8134a7dab073b88f0c8c7632c594716befffbf1b142d3d72b50a77a22b4888c1a2bc2ced119',
  'pbkdf2:sha256:600000':
    'pbkdf2:sha256:600000$ri7BwvePBeFPaP9i$0729213af4906d400fc95ea1d8c1fccb1c118cae6fdfbf9a08acbb07db81f1b4',
  'pbkdf2:sha512:1000':
    'pbkdf2:sha512:1000$BIaSs734xnRIWHWI$8393d479d25b9a8890bc058e5fd40d28f57f4c794ff96c6d1d4adca5ff556c5fa705c5c80768f94cbba6e69b6dd452aee3c40215f994b30ea0b2af8adbd2937e',
};
const cheap =
  'scrypt:1024:8:1$yfQ2GtsrlCR6ikMR$5515f526843191aded75da2a15b1d550d5d47848090331c577c753dabc1046b930baa55fa348abbfa2a6f00b92b54ef2472bf9272716ba95db88949392f60384';
const valid = { valid: true, needsRehash: false };
const invalid = { valid: false, needsRehash: false };

describe('hashPassword', () => {
  it('makes argon2id with 19 MiB and two passes, salted', async () => {
    const [one, two] = await Promise.all([hashPassword(password), hashPassword(password)]);
    assert.match(one, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    assert.notEqual(one, two);
    assert.deepEqual(await verifyPassword(one, password), valid);
    assert.deepEqual(await verifyPassword(one, `${password} `), invalid);
  });

  for (const [title, bad] of [
    ['nothing', ''],
    ['a lone surrogate', 'a\ud800'],
    ['1025 bytes', 'ü'.repeat(512) + 'a'],
  ] as const) {
    it(`refuses ${title}`, async () => assert.rejects(hashPassword(bad), { code: 'request.invalid' }));
  }
});

describe('verifyPassword', () => {
  for (const [method, hash] of Object.entries(werkzeug)) {
    it(`accepts Werkzeug's ${method} once, to be hashed again (AA-02)`, async () => {
      assert.deepEqual(await verifyPassword(hash, password), { valid: true, needsRehash: true });
      assert.deepEqual(await verifyPassword(hash, password.toUpperCase()), invalid);
    });
  }

  it('asks for a new hash when argon2id was made at another cost', async () => {
    const weaker = '$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$BbbKj4A4toOIetSRZTOFi0nLUgQBJsE09Mbp2HEbjAk';
    assert.deepEqual(await verifyPassword(weaker, 'password'), { valid: true, needsRehash: true });
    assert.deepEqual(await verifyPassword(weaker, 'passwort'), invalid);
  });

  const hex = '0'.repeat(64);
  const refused: readonly [title: string, hash: string][] = [
    ['nothing', ''],
    ['the password itself', password],
    ['bcrypt', '$2b$12$KIXIDmVZ8r0d0Z3vWJ6yEe1m0Hc4m3C7eG4E2nB0o8p6q1wYw9E1K'],
    ['argon2i', '$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$BbbKj4A4toOIetSRZTOFi0nLUgQBJsE09Mbp2HEbjAk'],
    [
      'argon2id with a gigabyte',
      '$argon2id$v=19$m=1048576,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$BbbKj4A4toOIetSRZTOFi0nLUgQBJsE09Mbp2HEbjAk',
    ],
    [
      'argon2id with 256 MiB',
      '$argon2id$v=19$m=262144,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$BbbKj4A4toOIetSRZTOFi0nLUgQBJsE09Mbp2HEbjAk',
    ],
    [
      'argon2id with 99 passes',
      '$argon2id$v=19$m=19456,t=99,p=1$c29tZXNhbHRzb21lc2FsdA$BbbKj4A4toOIetSRZTOFi0nLUgQBJsE09Mbp2HEbjAk',
    ],
    ['argon2id without a digest', '$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$'],
    ['scrypt that costs 256 MiB', `scrypt:262144:8:1$salt$${hex}`],
    ['scrypt whose cost is no power of two', `scrypt:32767:8:1$salt$${hex}`],
    ['scrypt without cost', `scrypt$salt$${hex}`],
    ['scrypt at no cost', `scrypt:0:0:0$salt$${hex}`],
    ['PBKDF2 with ten million rounds', `pbkdf2:sha256:9999999$salt$${hex}`],
    ['PBKDF2 without rounds', `pbkdf2:sha256$salt$${hex}`],
    ['PBKDF2 with no round', `pbkdf2:sha256:0$salt$${hex}`],
    ['PBKDF2 over SHA-1', `pbkdf2:sha1:1000$salt$${hex}`],
    ['an empty salt', `pbkdf2:sha256:1000$$${hex}`],
    ['an empty digest', 'pbkdf2:sha256:1000$salt$'],
    ['a short digest', 'pbkdf2:sha256:1000$salt$00'],
    ['Werkzeug’s plain text', 'plain$$password'],
    ['something after the hash', `${werkzeug['pbkdf2:sha512:1000']}\n`],
    ['a very long hash', `pbkdf2:sha256:1000$salt$${'0'.repeat(100_000)}`],
  ];
  for (const [title, hash] of refused) {
    it(`fits nothing to ${title}`, async () => {
      assert.deepEqual(await verifyPassword(hash, password), invalid);
      assert.deepEqual(await verifyPassword(hash, hash), invalid);
    });
  }

  it('fits no hash with one character changed', async () => {
    assert.equal((await verifyPassword(cheap, password)).valid, true);
    for (let index = cheap.indexOf('$'); index < cheap.length; index += 1) {
      const other = cheap[index] === '1' ? '2' : '1';
      const changed = cheap.slice(0, index) + other + cheap.slice(index + 1);
      assert.deepEqual(await verifyPassword(changed, password), invalid, `character ${index}`);
    }
  });

  it('fits no password that is empty, too long or not text', async () => {
    for (const bad of ['', 'a'.repeat(1025), '\udc00']) assert.deepEqual(await verifyPassword(cheap, bad), invalid);
  });

  it('turns away who would wait too long, and serves all who wait', async () => {
    const attempts = Array.from({ length: 70 }, async () => verifyPassword(cheap, password));
    const results = await Promise.allSettled(attempts);
    const turnedAway = results.filter(({ status }) => status === 'rejected');
    assert.equal(turnedAway.length, 4);
    assert.ok(
      turnedAway.every((result) => result.status === 'rejected' && result.reason.code === 'service.overloaded'),
    );
    assert.equal((await verifyPassword(cheap, password)).valid, true);
  });
});

describe('verifyUnknownUser', () => {
  it('fits nobody, and takes as long as a wrong password', async () => {
    const hash = await hashPassword(password);
    const timed = async (act: () => Promise<unknown>): Promise<number> => {
      const times: number[] = [];
      for (let round = 0; round < 3; round += 1) {
        const started = performance.now();
        assert.deepEqual(await act(), invalid);
        times.push(performance.now() - started);
      }
      return Math.min(...times);
    };
    const known = await timed(async () => verifyPassword(hash, 'wrong'));
    const unknown = await timed(async () => verifyUnknownUser('wrong'));
    // A rough guard against forgetting the work; SA-30 is measured on the sign-in route.
    assert.ok(unknown > known / 5, `${known} ms, ${unknown} ms`);
  });
});
