// The files of the keys of trust assertions: taken in while running, and former keys known for as long as they may be needed.
import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { createAssertionKeys } from '#api/assertion-keys.ts';
import { keyIdOf, verificationKeys } from '#protocols/signed-envelope.ts';
import { presentJwk, signTrustAssertion, verifyTrustAssertion } from '#protocols/trust-assertion.ts';
import { fakeClock } from '#tests/fakes/fake-clock.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';

interface Pair {
  readonly id: string;
  readonly whole: string;
  readonly half: string;
}

function pair(): Pair {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    id: keyIdOf(publicKey),
    whole: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    half: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}

const [first, second] = [pair(), pair()];
const lifetimeSeconds = 60;
const terms = { issuer: 'https://sentinel.test', audience: 'vpn', id: '0f9c2e4a-1b1f-4c8e-9d35-0a4a2d7f6b11' };
const claims = {
  project: 'default',
  device_id: 'lab-1',
  trust_tier: 'monitored',
  approval_state: 'approved',
  retired: false,
  certificate_fingerprint_sha256: null,
} as const;

async function keysIn(t: TestContext, files: readonly (readonly [name: string, text: string | null])[]) {
  const folder = await mkdtemp(join(tmpdir(), 'sentinel-assertions-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const [clock, log] = [fakeClock('2026-12-01T12:00:00.000Z'), fakeLog()];
  const put = async (name: string, text: string) => {
    await writeFile(join(folder, 'new'), text);
    await rename(join(folder, 'new'), join(folder, name));
  };
  for (const [name, text] of files) if (text !== null) await put(name, text);
  const paths = files.map(([name]) => join(folder, name));
  const keys = createAssertionKeys({ paths, lifetimeSeconds, clock, log });
  t.after(() => keys.close());
  await keys.refresh();
  const published = () => keys.published().map((key: KeyObject) => keyIdOf(key));
  const sign = () => signTrustAssertion(claims, { ...terms, issuedAt: clock.now(), lifetimeSeconds }, keys.signing());
  const verify = async (assertion: string) =>
    verifyTrustAssertion(assertion, { ...terms, keys: verificationKeys(keys.published()), now: clock.now() });
  const forget = (name: string) => rm(join(folder, name));
  return { keys, clock, log, put, forget, published, sign, verify };
}

const unavailable = { code: 'assertion.unavailable' };

describe('the keys of trust assertions', () => {
  it('are none when none is named: nothing is signed, and the reason names the setting (TF-05)', async (t) => {
    const { keys, published } = await keysIn(t, []);
    assert.throws(() => keys.signing(), {
      ...unavailable,
      message: /SENTINEL_TRUST_ASSERTION_SIGNING_PRIVATE_KEY_PATH/,
    });
    assert.deepEqual(published(), []);
  });

  for (const [title, text] of [
    ['is not there', null],
    ['holds no key', 'hello'],
    ['holds a public key only', second.half],
    ['is larger than any key', first.whole + ' '.repeat(20_000)],
  ] as const) {
    it(`sign nothing while the first file ${title}, although the second is well (TF-05)`, async (t) => {
      const { keys, published, put, sign, verify, log } = await keysIn(t, [
        ['a.pem', text],
        ['b.pem', second.whole],
      ]);
      assert.throws(() => keys.signing(), unavailable);
      assert.deepEqual(published(), [second.id]);
      assert.deepEqual(keys.state(), { files: 2, unreadable: 1, signs: false });
      assert.doesNotMatch(log.text(), /PRIVATE KEY|hello/);
      await put('a.pem', first.whole);
      await keys.refresh();
      assert.equal((await verify(await sign())).keyId, first.id);
      assert.deepEqual(keys.state(), { files: 2, unreadable: 0, signs: true });
    });
  }

  it('are those of all files, and the first one signs (TF-05)', async (t) => {
    const { keys, published } = await keysIn(t, [
      ['a.pem', first.whole],
      ['b.pem', second.half],
    ]);
    assert.equal(keys.signing().keyId, first.id);
    assert.deepEqual(published(), [first.id, second.id]);
  });

  it('change places without a restart, and what the old one has signed is verified by the keys of afterwards (TF-05)', async (t) => {
    const { keys, put, published, sign, clock } = await keysIn(t, [
      ['a.pem', first.whole],
      ['b.pem', second.whole],
    ]);
    const old = await sign();
    await put('b.pem', first.half);
    await put('a.pem', second.whole);
    await keys.refresh();
    assert.equal(keys.signing().keyId, second.id);
    assert.deepEqual(published(), [second.id, first.id]);
    const set = createLocalJWKSet({ keys: keys.published().map(presentJwk) });
    for (const assertion of [old, await sign()])
      await jwtVerify(assertion, set, { algorithms: ['EdDSA'], audience: 'vpn', currentDate: clock.now() });
  });

  it('stay published after they were replaced until nothing that they signed holds any more (TF-05, TF-06)', async (t) => {
    const { keys, clock, put, published, sign, verify } = await keysIn(t, [['a.pem', first.whole]]);
    const old = await sign();
    await put('a.pem', second.whole);
    await keys.refresh();
    assert.deepEqual(published(), [second.id, first.id]);
    clock.advance(89_000);
    assert.equal((await verify(old)).keyId, first.id);
    clock.advance(11_000);
    assert.deepEqual(published(), [second.id]);
    await assert.rejects(verify(old), { code: 'signature.invalid' });
  });

  it('are relied on through a moment in which a file is being written, and not for longer (TF-05)', async (t) => {
    const { keys, put, published, clock } = await keysIn(t, [['a.pem', first.whole]]);
    await put('a.pem', first.whole.slice(0, 40));
    await keys.refresh();
    assert.equal(keys.signing().keyId, first.id);
    await keys.refresh();
    assert.throws(() => keys.signing(), unavailable);
    clock.advance(100_000);
    assert.deepEqual(published(), []);
  });

  it('are given up when the file is gone (TF-05)', async (t) => {
    const { keys, forget } = await keysIn(t, [['a.pem', first.whole]]);
    await forget('a.pem');
    await keys.refresh();
    await keys.refresh();
    assert.throws(() => keys.signing(), unavailable);
  });

  it('are complained of once, not at every look', async (t) => {
    const { keys, log } = await keysIn(t, [['a.pem', null]]);
    await keys.refresh();
    await keys.refresh();
    assert.equal(log.lines.filter(({ level }) => level === 'error').length, 1);
  });
});
