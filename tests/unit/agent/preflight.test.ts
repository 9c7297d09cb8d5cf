// The preflight of an agent, on real files and against a real TLS server: what it finds, and what it says to do.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { chmod, chown, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { preflight, type Finding } from '#agent/preflight.ts';
import { checkAccess } from '#agent/preflight/files.ts';
import { checkClock } from '#agent/preflight/server.ts';
import { createSystem } from '#agent/system.ts';
import { systemClock as clock, systemRandom as random } from '#contracts/deps.ts';
import { createDevelopmentCa } from '#protocols/development-ca.ts';
import { scriptedApi, type Script } from '#tests/fakes/scripted-api.ts';
import { agentFolder, issuedDevice, mutualTls } from '#tests/harness/agent.ts';

const dayMs = 86_400_000;
const alive: Script = () => ({ body: { status: 'ok', version: '0.1.0' } });

async function aDevice(
  t: TestContext,
  {
    script = alive,
    issue = {},
    tls = {},
  }: {
    readonly script?: Script;
    readonly issue?: { notBefore?: Date; notAfter?: Date };
    readonly tls?: object;
  } = {},
) {
  const { folder, ca, configFor } = await issuedDevice(t, issue);
  const api = await scriptedApi(t, script, { ...mutualTls(ca), ...tls });
  const source = {
    server_url: api.url,
    attestation_private_key_path: '',
    attestation_public_key_path: '',
    update_signing_public_key_path: '',
  };
  const userId = process.getuid?.() ?? 0;
  const look = async (changes: object = {}): Promise<Finding[]> =>
    preflight(configFor({ ...source, ...changes }), null, {
      clock,
      random,
      system: createSystem(),
      searchPath: process.env.PATH ?? '',
      userId,
    });
  return { folder, ca, api, look };
}

const bad = (findings: readonly Finding[]) => findings.filter(({ level }) => level !== 'ok');
const words = (findings: readonly Finding[]) =>
  bad(findings)
    .map(({ level, subject, message, advice }) => `${level} ${subject}: ${message} → ${advice}`)
    .join('\n');

/** `NAME.key` and `NAME.pub`. */
async function writePair(folder: string, name: string): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  await writeFile(join(folder, `${name}.key`), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  await writeFile(join(folder, `${name}.pub`), publicKey.export({ type: 'spki', format: 'pem' }), { mode: 0o644 });
}

describe('the preflight of an agent', () => {
  it('passes with the three paths of later features empty, and leaves nothing behind (AG-04)', async (t) => {
    const { folder, look } = await aDevice(t);
    const findings = await look();
    assert.deepEqual(bad(findings), []);
    for (const subject of ['certificate_path', 'server_ca_path', 'state_path', 'server_url', 'clock'])
      assert.ok(
        findings.some((finding) => finding.subject === subject),
        subject,
      );
    assert.deepEqual((await readdir(folder)).toSorted(), ['ca', 'ca.crt', 'device.crt', 'device.key']);
  });

  it('asks for nothing of the server but whether it lives', async (t) => {
    const { api, look } = await aDevice(t);
    await look();
    assert.deepEqual(
      api.seen.map(({ method, path, clientName }) => [method, path, clientName]),
      [['GET', '/api/health/live', 'lab-1']],
    );
  });

  it('finds a key that others can read, and files that others can change', async (t) => {
    const { folder, look } = await aDevice(t);
    await chmod(join(folder, 'device.key'), 0o640);
    await chmod(join(folder, 'ca.crt'), 0o666);
    const text = words(await look());
    assert.match(text, /error private_key_path: .* can be read or changed by others → Close it: chmod 600/);
    assert.match(text, /warning server_ca_path: .* can be changed by others/);
  });

  it('finds files of another user, and tells root that they may be right', async (t) => {
    const { folder } = await aDevice(t);
    const path = join(folder, 'device.crt');
    const { uid } = await stat(path);
    const look = (userId: number) => checkAccess('certificate_path', path, { isSecret: false, userId });
    assert.deepEqual(await look(uid), []);
    if (process.getuid?.() === 0) await chown(path, 4_242, 4_242);
    const owner = (await stat(path)).uid;
    assert.match(words(await look(owner + 1)), /error certificate_path: .* belongs to another user .* → Make it yours/);
    assert.match(words(await look(0)), /warning certificate_path: .* → Right if the agent runs as that user/);
  });

  it('finds a certificate that has expired, is not valid yet, or soon runs out', async (t) => {
    const cases: readonly [issue: { notBefore?: Date; notAfter?: Date }, found: RegExp][] = [
      [{ notBefore: new Date(Date.now() - 9 * dayMs), notAfter: new Date(Date.now() - dayMs) }, /error .* expired at/],
      [{ notBefore: new Date(Date.now() + dayMs) }, /error .* valid from .*clock of this device/],
      [{ notAfter: new Date(Date.now() + 3.5 * dayMs) }, /warning .* expires in 3 days/],
    ];
    for (const [issue, found] of cases) {
      const { look } = await aDevice(t, { issue, tls: { rejectUnauthorized: false } });
      assert.match(words(await look()), found);
    }
  });

  it('finds a certificate of another device, and does not go on to the server with it', async (t) => {
    const { api, look } = await aDevice(t);
    const findings = await look({ device_id: 'lab-2' });
    assert.match(words(findings), /error certificate_path: .*"lab-1" and not of lab-2 → Correct device_id/);
    assert.equal(api.seen.length, 0);
  });

  it('finds a state that is damaged, of another device, or cannot be written', async (t) => {
    const { folder, look } = await aDevice(t);
    await writeFile(join(folder, 'state.json'), '{}', { mode: 0o600 });
    assert.match(words(await look()), /error state_path: .* is damaged/);
    await writeFile(join(folder, 'file'), '');
    assert.match(words(await look({ state_path: 'file/state.json' })), /error state_path: .* cannot be written to/);
  });

  it('says which step of the way to the server fails, and nothing about those behind it', async (t) => {
    const { ca, look } = await aDevice(t);
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve));
    const { port } = free.address() as AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    const plain = await scriptedApi(t, alive);
    const named = await ca.issueServer({ names: ['elsewhere.example'] });
    const misnamed = await scriptedApi(t, alive, { cert: named.certificatePem, key: named.keyPem });
    const strangerFolder = await agentFolder(t);
    const stranger = await createDevelopmentCa(strangerFolder, { clock, random });
    const strange = await scriptedApi(t, alive, { cert: stranger.serverCertificatePem, key: stranger.serverKeyPem });
    const distrustful = await scriptedApi(t, alive, {
      cert: ca.serverCertificatePem,
      key: ca.serverKeyPem,
      ca: stranger.caCertificatePem,
      requestCert: true,
      rejectUnauthorized: true,
    });

    const cases: readonly [url: string, found: RegExp][] = [
      ['https://no-such-host.invalid', /no-such-host\.invalid has no address/],
      [`https://127.0.0.1:${port}`, /nobody listens there → Check host and port/],
      [plain.url.replace('http:', 'https:'), /does not speak TLS/],
      [misnamed.url, /certificate is for another name/],
      [strange.url, /authority is not trusted → .*server_ca_path/],
      [distrustful.url, /(refuses this certificate|ends the connection) → /],
    ];
    for (const [server_url, found] of cases) {
      const problems = bad(await look({ server_url }));
      assert.equal(problems.length, 1, words(problems));
      assert.match(words(problems), found);
    }
  });

  it('finds that something else answers there', async (t) => {
    const { look } = await aDevice(t, { script: () => ({ status: 404, body: 'not here' }) });
    assert.match(words(await look()), /warning server_url: .* answers 404, and not as Sentinel does/);
  });

  it('compares the clock with that of the server', async (t) => {
    const { look } = await aDevice(t, {
      script: () => ({ headers: { date: new Date(Date.now() + 600_000).toUTCString() } }),
    });
    assert.match(words(await look()), /error clock: The clock is (599|600|601) s behind the server → Set it/);
    const now = new Date('2026-11-22T12:00:00Z');
    assert.equal(checkClock('Sun, 22 Nov 2026 12:00:59 GMT', now).level, 'ok');
    assert.match(checkClock('Sun, 22 Nov 2026 11:58:00 GMT', now).message, /120 s ahead of/);
    assert.equal(checkClock(null, now).level, 'warning');
    assert.equal(checkClock('soon', now).level, 'warning');
  });

  it('checks the keys of later features, and leaves nobody to believe that they work (AG-04)', async (t) => {
    const { folder, look } = await aDevice(t);
    await writePair(folder, 'update');
    const good = await look({ update_signing_public_key_path: 'update.pub' });
    assert.ok(good.every(({ level }) => level !== 'error'));
    assert.equal(good.filter(({ message }) => /has no effect/.test(message)).length, 1);
    const wrong = words(await look({ update_signing_public_key_path: 'update.key' }));
    assert.match(wrong, /error update_signing_public_key_path: .* is no Ed25519 public key/);
  });

  it('checks the pair that signs measurements, and their values (AG-04, AG-05)', async (t) => {
    const { folder, look } = await aDevice(t);
    await writePair(folder, 'attest');
    await writePair(folder, 'other');
    await writeFile(join(folder, 'pcrs.json'), JSON.stringify({ sha256: { '0': 'AB'.repeat(32) } }), { mode: 0o644 });
    await writeFile(join(folder, 'half.json'), JSON.stringify({ sha256: { '0': 'ab' } }), { mode: 0o644 });
    const pair = { attestation_private_key_path: 'attest.key', attestation_public_key_path: 'attest.pub' };
    const good = await look({ ...pair, measured_pcrs_path: 'pcrs.json' });
    assert.deepEqual(bad(good), []);
    assert.ok(good.some(({ message }) => message === 'The two attestation keys belong together'));

    const cases: readonly [changes: object, found: RegExp][] = [
      [{ attestation_private_key_path: 'attest.key' }, /error attestation_public_key_path: Only one of the two/],
      [{ attestation_public_key_path: 'attest.pub' }, /error attestation_private_key_path: Only one of the two/],
      [
        { ...pair, attestation_private_key_path: 'device.key' },
        /is no Ed25519 private key.*sentinel ca attestation-key/,
      ],
      [{ ...pair, attestation_public_key_path: 'attest.key' }, /is no Ed25519 public key/],
      [{ ...pair, attestation_public_key_path: 'other.pub' }, /other\.pub is not the public half of .*attest\.key/],
      [{ ...pair, attestation_public_key_path: 'gone.pub' }, /gone\.pub does not exist/],
      [{ ...pair, measured_pcrs_path: 'half.json' }, /error measured_pcrs_path: .* does not hold register values/],
      [{ ...pair, measured_pcrs_path: 'gone.json' }, /error measured_pcrs_path: .* cannot be read/],
    ];
    for (const [changes, found] of cases) {
      const text = words(await look(changes));
      assert.match(text, found);
      assert.doesNotMatch(text, /BEGIN/);
    }
    await chmod(join(folder, 'attest.key'), 0o644);
    assert.match(words(await look(pair)), /error attestation_private_key_path: .* can be read or changed by others/);
  });

  it('finds the program that quotes, or says that it is not there (AG-06)', async (t) => {
    const { folder, look } = await aDevice(t);
    const provider = { attestation_provider: 'tpm_quote_v1' };
    assert.match(words(await look(provider)), /error tpm_quote_command: tpm_quote_v1 needs a command/);
    assert.deepEqual(bad(await look({ ...provider, tpm_quote_command: [process.execPath, 'collector.js'] })), []);
    assert.match(
      words(await look({ ...provider, tpm_quote_command: ['sh'] })),
      /warning tpm_quote_command: sh is looked for in PATH/,
    );
    await writeFile(join(folder, 'no-program'), '', { mode: 0o644 });
    for (const program of [join(folder, 'no-program'), join(folder, 'gone'), folder, 'no-such-program'])
      assert.match(
        words(await look({ ...provider, tpm_quote_command: [program] })),
        /error tpm_quote_command: .* is no program that can be run here/,
      );
  });

  it('leaves no folder of the state behind, which could be closed to the agent', async (t) => {
    const { folder, look } = await aDevice(t);
    const before = await readdir(folder);
    assert.deepEqual(bad(await look({ state_path: 'new/deep/state.json' })), []);
    assert.deepEqual(await readdir(folder), before);
    await mkdir(join(folder, 'state'));
    assert.match(words(await look({ state_path: 'state' })), /error state_path: .* is a folder/);
    assert.deepEqual(await readdir(join(folder, 'state')), []);
  });
});
