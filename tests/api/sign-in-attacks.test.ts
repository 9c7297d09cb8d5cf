// Guessing at the sign-in: what limits it cannot be reset by tricks, and neither words nor time tell who exists.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import { hash as argon2 } from '@node-rs/argon2';
import { hashPassword, verifyPassword } from '#protocols/password.ts';
import { fakeApi, password, problemOf } from '#tests/fakes/api-over-fakes.ts';
import { shareOfLonger, signInTimes } from '#tests/harness/sign-in-times.ts';

const totpSecret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';
/** The least that the algorithm allows: these tests are about counting, not about cost. */
const cheapCost = { memoryCost: 8, timeCost: 1, parallelism: 1, outputLen: 32 };
const cheap = await argon2(password, cheapCost);
const nobodys = await argon2('nobody has this one', cheapCost);
const cheapPasswords = { verifyUnknownUser: (given: string) => verifyPassword(nobodys, given) };

interface Attempt {
  readonly username?: string;
  readonly word?: string;
  readonly totp?: string;
  readonly from?: string;
}

async function guessing(t: Parameters<typeof fakeApi>[0], person: object = {}) {
  const api = await fakeApi(t, {
    people: [
      { username: 'target', password_hash: cheap, roles: ['viewer'], ...person },
      { username: 'attacker', password_hash: cheap, roles: ['viewer'] },
    ],
    passwords: { ...cheapPasswords, hashPassword: async () => cheap },
  });
  const guess = async ({ username = 'target', word = 'wrong', totp, from = '192.0.2.1' }: Attempt) =>
    (
      await api.app.inject({
        method: 'POST',
        url: '/api/admin/login',
        payload: { username, password: word, ...(totp === undefined ? {} : { totp }) },
        remoteAddress: from,
      })
    ).statusCode;
  return { ...api, guess };
}

describe('the limit of guesses', () => {
  it('is not reset by a success in between, of the same account or of another (SA-28)', async (t) => {
    const { guess } = await guessing(t);
    const statuses = [];
    for (let count = 0; count < 8; count += 1) {
      statuses.push(await guess({}));
      await guess({ username: 'attacker', word: password });
      if (count < 4) assert.equal(await guess({ word: password }), 200);
    }
    assert.deepEqual(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
    assert.equal(await guess({ word: password }), 429, 'the right password waits too, or it could be told apart');
  });

  it('counts every spelling of a name: another one is nobody, and counts for the address (SA-28)', async (t) => {
    const { guess } = await guessing(t);
    const spellings = [
      'TARGET',
      'Target',
      ' target',
      'target ',
      'target\u200b',
      'ｔａｒｇｅｔ',
      'target\u0301',
      'tаrget',
    ];
    for (const username of spellings) assert.equal(await guess({ username, word: password }), 401, username);
    let tried = spellings.length;
    for (; tried < 40; tried += 1) if ((await guess({ username: `target${' '.repeat(tried)}` })) === 429) break;
    assert.equal(tried, 30, 'all spellings together have the limit of an address');
    assert.equal(await guess({ word: password }), 429);
  });

  it('counts for the account, from however many addresses and whatever the form of the address (SA-28)', async (t) => {
    const { guess } = await guessing(t);
    let counted = 0;
    for (let address = 0; address < 80; address += 1) {
      const from = address % 2 === 0 ? `198.51.100.${address}` : `2001:db8:0:${address.toString(16)}::1`;
      if ((await guess({ from })) === 401) counted += 1;
    }
    assert.equal(counted, 50);
    const mapped = await guessing(t);
    for (const from of ['192.0.2.9', '::ffff:192.0.2.9', '::ffff:192.0.2.9', '192.0.2.9', '::FFFF:192.0.2.9'])
      assert.equal(await mapped.guess({ from }), 401);
    assert.equal(await mapped.guess({ from: '192.0.2.9' }), 429, 'one address in two spellings');
    const block = await guessing(t);
    for (let host = 1; host <= 5; host += 1) assert.equal(await block.guess({ from: `2001:db8::${host}` }), 401);
    assert.equal(await block.guess({ from: '2001:db8::ffff:6' }), 429, 'all addresses of one customer');
  });

  it('lets no single address keep the owner of an account out from everywhere (SA-28)', async (t) => {
    const { guess } = await guessing(t);
    const statuses = await Promise.all(Array.from({ length: 200 }, () => guess({})));
    assert.equal(statuses.filter((status) => status === 401).length, 5, 'many at once do not slip through');
    assert.equal(await guess({ word: password, from: '192.0.2.2' }), 200);
  });

  it('gives ten guesses at a one-time code, after the right password and from everywhere together (SA-28)', async (t) => {
    const { guess, clock } = await guessing(t, { mfa_totp_secret: totpSecret });
    const right = codeOf(totpSecret, clock.now());
    const wrong = String((Number(right) + 1) % 1_000_000).padStart(6, '0');
    const from = (host: number): string => `198.51.100.${host}`;
    // Whoever does not know the password uses up none of them.
    for (let host = 1; host <= 20; host += 1) await guess({ totp: wrong, from: from(host) });
    const statuses = [];
    for (let host = 21; host <= 32; host += 1)
      statuses.push(await guess({ word: password, totp: wrong, from: from(host) }));
    assert.deepEqual(statuses, [...Array<number>(10).fill(401), 429, 429]);
    assert.equal(await guess({ word: password, totp: right, from: from(40) }), 429);
  });

  it('counts a right code as no guess, and one that was used before as one (SA-28)', async (t) => {
    const { guess, clock } = await guessing(t, { mfa_totp_secret: totpSecret });
    let host = 0;
    const next = (): string => `198.51.100.${(host += 1)}`;
    for (let step = 0; step < 12; step += 1) {
      assert.equal(await guess({ word: password, totp: codeOf(totpSecret, clock.now()), from: next() }), 200);
      clock.advance(30_000);
    }
    const used = codeOf(totpSecret, clock.now());
    assert.equal(await guess({ word: password, totp: used, from: next() }), 200);
    const again = [];
    for (let count = 0; count < 11; count += 1) again.push(await guess({ word: password, totp: used, from: next() }));
    assert.deepEqual(again, [...Array<number>(10).fill(401), 429]);
  });
});

describe('a sign-in that fails', () => {
  it('does the same work for somebody who exists and for nobody (SA-30)', async (t) => {
    const work = async (username: string): Promise<string[]> => {
      const done: string[] = [];
      const noting =
        <Args extends unknown[], Result>(name: string, act: (...args: Args) => Promise<Result>) =>
        (...args: Args): Promise<Result> => {
          done.push(name);
          return act(...args);
        };
      const { app, sessions } = await fakeApi(t, {
        people: [{ username: 'known', password_hash: cheap, roles: ['viewer'], disabled: false }],
        passwords: {
          verifyPassword: noting('hash', verifyPassword),
          verifyUnknownUser: noting('hash', cheapPasswords.verifyUnknownUser),
          hashPassword: noting('a new hash', hashPassword),
        },
        signIn: {
          rehashes: { find: noting('look up', async () => null), save: noting('save', async () => {}) },
          audit: noting('audit', async () => {}),
          openSession: noting('session', async () => {}),
        },
      });
      assert.deepEqual(sessions.audit, []);
      const answer = await app.inject({
        method: 'POST',
        url: '/api/admin/login',
        payload: { username, password: 'wrong' },
      });
      assert.equal(problemOf(answer).code, 'auth.invalid_credentials');
      return done;
    };
    const [known, unknown] = [await work('known'), await work('nobody')];
    assert.deepEqual(known, ['look up', 'hash', 'audit']);
    assert.deepEqual(unknown, known);
  });

  it('takes as long for nobody as for somebody, in 2 000 sign-ins (SA-30)', async (t) => {
    const { known, unknown, words } = await signInTimes(t, {
      attempts: 2000,
      passwordHash: cheap,
      passwords: cheapPasswords,
    });
    assert.equal(words.size, 1, 'one answer for both');
    const chance = shareOfLonger(known, unknown);
    // 0.5 is no difference at all. With work left out for nobody it is above 0.95.
    assert.ok(chance > 0.35 && chance < 0.65, `somebody takes longer in ${(100 * chance).toFixed(1)} % of all pairs`);
  });

  it('is told apart by that measure when the work for nobody is left out', async (t) => {
    const { known, unknown } = await signInTimes(t, {
      attempts: 400,
      passwordHash: await argon2(password, { ...cheapCost, memoryCost: 1024 }),
      passwords: { verifyUnknownUser: async () => ({ valid: false, needsRehash: false }) },
    });
    const chance = shareOfLonger(known, unknown);
    assert.ok(chance > 0.8, `${chance}`);
  });
});

/** RFC 6238, made with Node alone. */
function codeOf(secret: string, at: Date): string {
  const bits = Array.from(secret, (letter) =>
    'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0'),
  ).join('');
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(at.getTime() / 30_000)));
  const digest = createHmac('sha1', key).update(step).digest();
  return String((digest.readUInt32BE((digest[19] ?? 0) & 15) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}
