// The connection of an agent: what it believes of an answer, and which certificate it shows while another one waits.
import assert from 'node:assert/strict';
import { chmod, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { createDateWatch } from '#agent/certificate-dates.ts';
import { openConnection } from '#agent/connection.ts';
import { readIdentity } from '#agent/identity.ts';
import { openState } from '#agent/state.ts';
import { systemRandom as random } from '#contracts/deps.ts';
import type { IssuedCertificate } from '#protocols/issue-certificate.ts';
import { fakeClock } from '#tests/fakes/fake-clock.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { problemAnswer, scriptedApi, type ScriptedAnswer } from '#tests/fakes/scripted-api.ts';
import { issuedDevice, mutualTls } from '#tests/harness/agent.ts';

const accepted = { status: 'accepted', trust_tier: 'monitored', next_heartbeat_seconds: 15 };
const repeated = (times: number, line: string): string[] => Array.from({ length: times }, () => line);
const taken = { body: accepted };
const pending = { status: 202, body: { ...accepted, status: 'pending' } };
const rejected = problemAnswer(403, 'device.rejected');

/** A device whose server answers each certificate as the test says, by the order in which it saw them; with 200 else. */
async function connected(t: TestContext) {
  const device = await issuedDevice(t);
  const { ca, folder } = device;
  const answers: ScriptedAnswer[] = [];
  const known: string[] = [];
  const api = await scriptedApi(
    t,
    ({ clientFingerprint = '' }) => {
      if (!known.includes(clientFingerprint)) known.push(clientFingerprint);
      return answers[known.indexOf(clientFingerprint)] ?? taken;
    },
    mutualTls(ca),
  );
  const config = device.configFor({ server_url: api.url });
  const log = fakeLog();
  const opened = async () => {
    const { nextCounter, replaced } = await openState(config.state_path, 'lab-1', random);
    return { nextCounter, connection: await openConnection(config, { log, random, nextCounter, replaced }) };
  };
  let { nextCounter, connection } = await opened();
  t.after(() => connection.close());
  /** As the agent is after its process ended, or was killed, which leaves it no time to look at its files. */
  async function restart(how: 'stopped' | 'killed') {
    if (how === 'stopped') await connection.close();
    ({ nextCounter, connection } = await opened());
  }

  /** Whom the server saw since the last look (0 is the first certificate), and with what counters. */
  let looked = 0;
  function seen() {
    const requests = api.seen.slice(looked);
    looked = api.seen.length;
    return requests.map(({ clientFingerprint = '' }) => known.indexOf(clientFingerprint));
  }
  const counters = () => api.seen.map(({ body }) => (body as { heartbeat_counter: number }).heartbeat_counter);
  const send = async () => connection.send({ device_id: 'lab-1', heartbeat_counter: await nextCounter() });
  async function replace(next: Pick<IssuedCertificate, 'certificatePem' | 'keyPem'>) {
    await writeFile(join(folder, 'device.crt'), next.certificatePem);
    await writeFile(join(folder, 'device.key'), next.keyPem);
  }
  const another = () => ca.issueDevice({ deviceId: 'lab-1' });
  const stateText = () => readFile(config.state_path, 'utf8');
  const onDisk = () => readIdentity(config);
  return {
    ...device,
    ...{ api, answers, log, send, seen, counters, replace, another, restart, stateText, onDisk },
    /** Of the agent that runs now. */
    get connection() {
      return connection;
    },
  };
}

describe('the connection of an agent', () => {
  it('goes on with the old certificate while the new one waits, and with the new one once that is accepted', async (t) => {
    const { answers, log, connection, send, seen, counters, replace, another } = await connected(t);
    await send();
    const before = connection.identity().fingerprint;
    await replace(await another());
    answers[1] = pending;
    for (let round = 0; round < 3; round += 1) {
      assert.equal((await send()).status, 'accepted', 'the device stays online');
      assert.equal(connection.identity().fingerprint, before);
    }
    assert.deepEqual(seen(), [0, 1, 0, 1, 0, 1, 0]);
    const told = log.lines.map(({ message }) => message);
    assert.match(told[0] ?? '', /was replaced on disk: the one before it goes on/);
    assert.deepEqual(told.slice(1), ['The new certificate waits for approval']);
    assert.match(log.text(), /sentinel device approve lab-1/);

    answers[0] = rejected;
    answers[1] = taken;
    for (let round = 0; round < 3; round += 1) assert.equal((await send()).status, 'accepted');
    assert.deepEqual(seen(), [1, 1, 1], 'the old one is not shown any more');
    assert.notEqual(connection.identity().fingerprint, before);
    assert.equal(connection.waiting(), null);
    assert.match(log.lines.at(-1)?.message ?? '', /is accepted, and the one before it is not used/);
    const used = counters();
    assert.ok(
      used.every((counter, index) => index === 0 || counter > (used[index - 1] ?? 0)),
      `each heartbeat has a counter of its own: ${used.join()}`,
    );
  });

  for (const how of ['stopped', 'killed'] as const)
    it(`goes on with the old certificate also after it was ${how} while the new one waits (AG-08)`, async (t) => {
      const device = await connected(t);
      const { answers, send, seen, replace, another, restart, stateText, onDisk } = device;
      await send();
      const before = device.connection.identity();
      await replace(await another());
      answers[1] = pending;
      await send();
      assert.ok((await stateText()).includes(JSON.stringify(before.key)));
      for (let round = 0; round < 2; round += 1) {
        await restart(how);
        assert.equal(device.connection.identity().fingerprint, before.fingerprint);
        assert.equal(device.connection.waiting()?.fingerprint, (await onDisk()).fingerprint);
        assert.equal((await send()).status, 'accepted', 'the device stays online');
      }
      answers[0] = rejected;
      answers[1] = taken;
      await send();
      assert.deepEqual(seen(), [0, 1, 0, 1, 0, 1, 0, 1]);
      assert.ok(!(await stateText()).includes('PRIVATE KEY'), 'the old key is not kept once it is of no use');
      await restart(how);
      assert.equal(device.connection.waiting(), null);
      await send();
      assert.deepEqual(seen(), [1]);
    });

  it('goes on with the old certificate when the files were replaced just before it was stopped (AG-08)', async (t) => {
    const { answers, send, seen, replace, another, restart } = await connected(t);
    await send();
    await replace(await another());
    await restart('stopped');
    answers[1] = rejected;
    await send();
    await send();
    assert.deepEqual(seen(), [0, 1, 0, 0]);
  });

  it('has no use for an old certificate that is on disk again, refused, or not one of this device (AG-08)', async (t) => {
    const device = await connected(t);
    const { answers, send, seen, replace, another, restart, stateText, configFor, log } = device;
    await send();
    const { certificate: certificatePem, key: keyPem } = device.connection.identity();
    await replace(await another());
    answers[1] = pending;
    await send();
    await replace({ certificatePem, keyPem });
    await restart('killed');
    assert.equal(device.connection.waiting(), null);
    await send();
    assert.deepEqual(seen(), [0, 1, 0, 0]);

    await replace(await another());
    answers[2] = pending;
    await send();
    answers[0] = problemAnswer(403, 'certificate.expired');
    await restart('killed');
    assert.equal((await send()).status, 'pending');
    assert.equal((await send()).status, 'pending');
    assert.deepEqual(seen(), [2, 0, 2, 0, 2]);

    const state = JSON.parse(await stateText()) as object;
    const other = await device.ca.issueDevice({ deviceId: 'lab-2' });
    for (const replaced_identity of [
      null,
      'lab-1',
      {},
      { certificate: certificatePem },
      { certificate: certificatePem, private_key: other.keyPem },
      { certificate: other.certificatePem, private_key: other.keyPem },
      { certificate: 'none', private_key: 'none' },
    ]) {
      await writeFile(configFor().state_path, JSON.stringify({ ...state, replaced_identity }));
      await restart('killed');
      assert.equal(device.connection.waiting(), null);
      assert.ok(!(await stateText()).includes('replaced_identity'));
    }
    assert.ok(!log.text().includes('PRIVATE KEY'));
  });

  it('leaves the evidence to the certificate that is in use while the new one waits', async (t) => {
    const { answers, api, connection, send, replace, another } = await connected(t);
    await send();
    await replace(await another());
    answers[1] = pending;
    const attestation = { provider: 'signed_measurement_v1' };
    await connection.send({ device_id: 'lab-1', heartbeat_counter: 40, attestation });
    const bodies = api.seen.slice(1).map(({ body }) => body as { attestation?: object });
    assert.deepEqual(
      bodies.map((body) => body.attestation),
      [undefined, attestation],
    );
  });

  it('says that the new certificate was rejected, and shows it no more until its files change', async (t) => {
    const { answers, log, send, seen, replace, another, folder } = await connected(t);
    await send();
    await replace(await another());
    answers[1] = rejected;
    for (let round = 0; round < 3; round += 1) assert.equal((await send()).status, 'accepted');
    await chmod(join(folder, 'device.crt'), 0o600);
    await send();
    assert.deepEqual(seen(), [0, 1, 0, 0, 0, 0]);
    const refusals = log.lines.filter(({ message }) => message.includes('refused for good'));
    assert.equal(refusals.length, 1);
    assert.deepEqual(refusals[0]?.level, 'warn');
    assert.match(log.text(), /device\.rejected/);

    await replace(await another());
    answers[2] = pending;
    await send();
    assert.deepEqual(seen(), [2, 0]);
  });

  it('shows the new certificate again after a refusal that passes', async (t) => {
    const { answers, log, send, seen, replace, another } = await connected(t);
    await send();
    await replace(await another());
    for (const passing of [
      problemAnswer(403, 'device.other_certificate_pending'),
      problemAnswer(403, 'certificate.crl_unavailable'),
      problemAnswer(503, 'service.unavailable', {}, { 'retry-after': '1' }),
      { hangUp: true as const },
    ]) {
      answers[1] = passing;
      await send();
      await send();
    }
    answers[1] = taken;
    await send();
    assert.deepEqual(seen(), [0, ...Array.from({ length: 8 }, () => [1, 0]).flat(), 1]);
    assert.equal(log.lines.filter(({ level }) => level === 'warn').length, 4, log.text());
  });

  it('goes on with the new certificate alone when the old one is refused', async (t) => {
    for (const code of ['certificate.revoked', 'certificate.expired', 'certificate.untrusted'] as const) {
      const { answers, connection, send, seen, replace, another } = await connected(t);
      await send();
      await replace(await another());
      answers[0] = problemAnswer(403, code);
      answers[1] = pending;
      assert.equal((await send()).status, 'pending', code);
      assert.equal((await send()).status, 'pending');
      assert.deepEqual(seen(), [0, 1, 0, 1], code);
      assert.equal(connection.waiting(), null);
    }
  });

  it('keeps the old certificate through refusals that are not about it', async (t) => {
    const { answers, send, seen, replace, another } = await connected(t);
    await send();
    await replace(await another());
    answers[1] = pending;
    for (const [status, code] of [
      [403, 'attestation.failed'],
      [403, 'certificate.ocsp_unavailable'],
      [409, 'heartbeat.replayed'],
      [503, 'service.unavailable'],
    ] as const) {
      answers[0] = problemAnswer(status, code);
      await assert.rejects(send(), { code });
    }
    answers[0] = taken;
    assert.equal((await send()).status, 'accepted');
    assert.deepEqual(seen(), [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]);
  });

  it('asks with the new one alone when both are refused, so that a reset is noticed', async (t) => {
    const { answers, send, seen, replace, another } = await connected(t);
    await send();
    await replace(await another());
    answers[0] = rejected;
    answers[1] = rejected;
    await assert.rejects(send(), { code: 'device.rejected' });
    await assert.rejects(send(), { code: 'device.rejected' });
    assert.deepEqual(seen(), [0, 1, 0, 1]);
  });

  it('takes up a new certificate at once when the old one was never taken', async (t) => {
    const { answers, connection, send, seen, replace, another } = await connected(t);
    answers[0] = problemAnswer(401, 'certificate.untrusted');
    await assert.rejects(send(), { code: 'certificate.untrusted' });
    await replace(await another());
    answers[1] = pending;
    await send();
    assert.equal(connection.waiting(), null);
    assert.deepEqual(seen(), [0, 1]);
  });

  it('lets the new certificate go when the old one is put back', async (t) => {
    const { answers, connection, folder, send, seen, replace, another } = await connected(t);
    await send();
    const old = {
      certificatePem: await readFile(join(folder, 'device.crt'), 'utf8'),
      keyPem: await readFile(join(folder, 'device.key'), 'utf8'),
    };
    await replace(await another());
    answers[1] = pending;
    await send();
    await replace(old);
    await send();
    assert.equal(connection.waiting(), null);
    assert.deepEqual(seen(), [0, 1, 0, 0]);
  });

  it('trusts the server by the authorities that are on disk, also while a new certificate waits', async (t) => {
    const { ca, answers, folder, send, seen, replace, another } = await connected(t);
    const { ca: strange } = await issuedDevice(t);
    await send();
    await replace(await another());
    answers[1] = pending;
    await send();
    await writeFile(join(folder, 'ca.crt'), strange.caCertificatePem);
    await assert.rejects(send(), { status: 0 });
    await writeFile(join(folder, 'ca.crt'), `${strange.caCertificatePem}\n${ca.caCertificatePem}`);
    assert.equal((await send()).status, 'accepted');
    assert.deepEqual(seen(), [0, 1, 0, 1, 0]);
  });

  it('waits for both files of the new certificate', async (t) => {
    const { folder, ca, log, connection, send } = await connected(t);
    await send();
    const before = connection.identity().fingerprint;
    const next = await ca.issueDevice({ deviceId: 'lab-1' });

    await writeFile(join(folder, 'device.crt'), next.certificatePem);
    await send();
    assert.equal(connection.identity().fingerprint, before, 'the key is still that of the old one');
    assert.match(log.text(), /cannot be used yet/);

    await writeFile(join(folder, 'device.key'), next.keyPem);
    await send();
    assert.notEqual(connection.identity().fingerprint, before);
    assert.match(log.text(), /was replaced on disk/);
  });

  it('goes on with the old certificate when the new one is of another device or gone', async (t) => {
    const { folder, ca, connection, send } = await connected(t);
    const before = connection.identity().fingerprint;
    const other = await ca.issueDevice({ deviceId: 'lab-2' });
    await writeFile(join(folder, 'new.crt'), other.certificatePem);
    await rename(join(folder, 'new.crt'), join(folder, 'device.crt'));
    await writeFile(join(folder, 'device.key'), other.keyPem);
    await send();
    await rm(join(folder, 'device.crt'));
    await send();
    assert.equal(connection.identity().fingerprint, before);
  });

  it('keeps its connection when a file was only touched', async (t) => {
    const { folder, log, send } = await connected(t);
    await send();
    await chmod(join(folder, 'device.crt'), 0o600);
    await send();
    assert.deepEqual(log.lines, []);
  });

  it('refuses an answer without an end, a redirect, and what Sentinel does not answer', async (t) => {
    const { answers, send } = await connected(t);
    answers[0] = { body: 'x'.repeat(2_000_000) };
    await assert.rejects(send(), /too large/);
    answers[0] = { status: 307, headers: { location: 'https://elsewhere.example' } };
    await assert.rejects(send(), /redirects/);
    answers[0] = { status: 101, headers: { connection: 'Upgrade', upgrade: 'something' } };
    await assert.rejects(send(), /another protocol/);
    for (const body of [
      '',
      'null',
      '<html>',
      {},
      { ...accepted, status: 'fine' },
      { ...accepted, trust_tier: 'boundless' },
      { ...accepted, next_heartbeat_seconds: 'soon' },
      { ...accepted, next_heartbeat_seconds: null },
    ]) {
      answers[0] = { body };
      await assert.rejects(send(), /not (one of Sentinel|JSON)/, JSON.stringify(body));
    }
    answers[0] = taken;
    assert.deepEqual(await send(), accepted);
  });
});

describe('the dates of a certificate', () => {
  it('are warned of once a day from two weeks before its end, also when a new one waits', async (t) => {
    const { configFor } = await issuedDevice(t);
    const identity = { ...(await readIdentity(configFor())), notAfter: new Date('2026-12-10T12:00:00.000Z') };
    const clock = fakeClock('2026-11-25T00:00:00.000Z');
    const log = fakeLog();
    const watch = createDateWatch({ clock, log });
    const waitingFrom = new Date('2026-12-05');
    for (; clock.now() < new Date('2026-12-13'); clock.advance(3_600_000))
      watch({ ...identity, notBefore: new Date(0) }, clock.now() < waitingFrom ? null : identity);
    assert.deepEqual(
      log.lines.map(({ level, message, fields }) => `${level} ${message}. ${(fields as { advice: string }).advice}`),
      [
        ...repeated(8, 'warn The certificate expires soon. Have a new one issued and put it in the place of this one'),
        ...repeated(6, 'warn The certificate expires soon. Have the new one approved, which is in its place already'),
        ...repeated(2, 'warn The certificate has expired. Have the new one approved, which is in its place already'),
      ],
    );
  });

  it('say when the clock of the device is behind', async (t) => {
    const { configFor } = await issuedDevice(t);
    const log = fakeLog();
    createDateWatch({ clock: fakeClock('2020-01-01T00:00:00.000Z'), log })(await readIdentity(configFor()), null);
    assert.match(log.text(), /not valid yet/);
    assert.match(log.text(), /clock of this device/);
  });
});
