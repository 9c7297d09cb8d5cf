// The files of an agent: its state and the lock on it, its identity, and the connection that follows its identity.
import assert from 'node:assert/strict';
import { chmod, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { openConnection } from '#agent/connection.ts';
import { readConfig } from '#agent/config.ts';
import { FileProblem } from '#agent/file-problem.ts';
import { readIdentity } from '#agent/identity.ts';
import { lockPath, lockState } from '#agent/lock.ts';
import { openState } from '#agent/state.ts';
import { systemClock as clock, systemRandom as random } from '#contracts/deps.ts';
import { createDevelopmentCa } from '#protocols/development-ca.ts';
import { fakeLog } from '#tests/fakes/fake-log.ts';
import { scriptedApi } from '#tests/fakes/scripted-api.ts';
import { agentFolder, writeIdentity } from '#tests/harness/agent.ts';

const problemWith = (words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof FileProblem, String(error));
  assert.match(`${error.problem} ${error.advice}`, words);
  return true;
};

async function aDevice(t: TestContext, deviceId = 'lab-1') {
  const folder = await agentFolder(t);
  const ca = await createDevelopmentCa(join(folder, 'ca'), { clock, random });
  await writeIdentity(folder, await ca.issueDevice({ deviceId }), ca.caCertificatePem);
  const source = {
    device_id: deviceId,
    server_url: 'https://localhost:1',
    server_ca_path: 'ca.crt',
    certificate_path: 'device.crt',
    private_key_path: 'device.key',
    state_path: 'state.json',
  };
  return { folder, ca, configFor: (changes: object = {}) => readConfig({ ...source, ...changes }, folder) };
}

describe('the state of an agent', () => {
  it('holds the next counter before any counter below it is used, whenever it is opened again (AG-08)', async (t) => {
    const path = join(await agentFolder(t), 'deep', 'state.json');
    let last = 0;
    for (const uses of [1, 64, 65, 130]) {
      const { nextCounter } = await openState(path, 'lab-1', random);
      for (let use = 0; use < uses; use += 1) {
        const counter = await nextCounter();
        assert.ok(counter > last);
        last = counter;
        const written = JSON.parse(await readFile(path, 'utf8')) as { next_heartbeat_counter: number };
        assert.ok(written.next_heartbeat_counter > counter, 'written before it is used');
      }
    }
    assert.equal((await stat(path)).mode & 0o777, 0o600);
  });

  it('begins with 1', async (t) => {
    const { nextCounter } = await openState(join(await agentFolder(t), 'state.json'), 'lab-1', random);
    assert.equal(await nextCounter(), 1);
  });

  it('refuses a damaged file with what to do, and leaves it as it is', async (t) => {
    const path = join(await agentFolder(t), 'state.json');
    const damaged = [
      '',
      '{',
      '[]',
      '7',
      '{}',
      '{"device_id":"lab-1"}',
      '{"device_id":"lab-1","next_heartbeat_counter":0}',
      '{"device_id":"lab-1","next_heartbeat_counter":1.5}',
      '{"device_id":"lab-1","next_heartbeat_counter":"7"}',
      '{"device_id":"lab-1","next_heartbeat_counter":9007199254740991}',
      '{"device_id":1,"next_heartbeat_counter":7}',
    ];
    for (const text of damaged) {
      await writeFile(path, text);
      await assert.rejects(openState(path, 'lab-1', random), problemWith(/is damaged.*backup.*reset the device/), text);
      assert.equal(await readFile(path, 'utf8'), text);
    }
  });

  it('refuses the state of another device', async (t) => {
    const path = join(await agentFolder(t), 'state.json');
    await (await openState(path, 'lab-1', random)).nextCounter();
    await assert.rejects(openState(path, 'lab-2', random), problemWith(/"lab-1" and not of lab-2/));
  });

  it('keeps what a later version has written there', async (t) => {
    const path = join(await agentFolder(t), 'state.json');
    await writeFile(path, '{"device_id":"lab-1","next_heartbeat_counter":10,"attestation_nonce":"abc"}');
    assert.equal(await (await openState(path, 'lab-1', random)).nextCounter(), 10);
    assert.equal((JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>)['attestation_nonce'], 'abc');
  });

  it('gives out no counter that cannot be written down', async (t) => {
    const folder = await agentFolder(t);
    const { nextCounter } = await openState(join(folder, 'inside', 'state.json'), 'lab-1', random);
    await writeFile(join(folder, 'inside'), 'a file where the folder should be');
    await assert.rejects(nextCounter(), FileProblem);
  });
});

describe('the lock of an agent', () => {
  it('is held by one, and free again when that one ends', async (t) => {
    const path = join(await agentFolder(t), 'state.json');
    const held = await lockState(path);
    await assert.rejects(lockState(path), problemWith(new RegExp(`running agent, process ${process.pid}`)));
    held.release();
    (await lockState(path)).release();
  });

  it('is taken over from an agent that was killed', async (t) => {
    const path = join(await agentFolder(t), 'state.json');
    await writeFile(lockPath(path), JSON.stringify({ pid: process.pid, started: 'another boot/1', since: 'then' }));
    (await lockState(path)).release();
  });

  it('says why it cannot be taken', async (t) => {
    const folder = await agentFolder(t);
    await writeFile(join(folder, 'file'), '');
    await assert.rejects(lockState(join(folder, 'file', 'state.json')), FileProblem);
  });
});

describe('the identity of an agent', () => {
  it('is read when certificate, key and device belong together', async (t) => {
    const { configFor } = await aDevice(t);
    const identity = await readIdentity(configFor(), 'lab-1');
    assert.equal(identity.commonName, 'lab-1');
    assert.match(identity.fingerprint, /^[0-9a-f]{64}$/);
  });

  it('is refused when something does not fit, and the words never hold a key', async (t) => {
    const { folder, ca, configFor } = await aDevice(t);
    const other = await ca.issueDevice({ deviceId: 'lab-2' });
    const file = async (name: string, text: string): Promise<string> => {
      await writeFile(join(folder, name), text, { mode: 0o600 });
      return name;
    };
    const key = await readFile(join(folder, 'device.key'), 'utf8');
    const cases: readonly [changes: object, words: RegExp][] = [
      [{ certificate_path: 'missing.crt' }, /does not exist/],
      [{ certificate_path: '.' }, /is a folder/],
      [{ certificate_path: 'device.key' }, /is no certificate in PEM form/],
      [{ certificate_path: await file('other.crt', other.certificatePem) }, /"lab-2" and not of lab-1/],
      [{ private_key_path: await file('other.key', other.keyPem) }, /does not belong to/],
      [{ private_key_path: 'device.crt' }, /is no private key in PEM form/],
      [{ private_key_path: await file('short.key', key.slice(0, -40)) }, /is no private key in PEM form/],
      [
        { private_key_path: await file('locked.key', key.replaceAll('PRIVATE KEY', 'ENCRYPTED PRIVATE KEY')) },
        /passphrase/,
      ],
      [{ server_ca_path: 'device.crt' }, /no authority/],
      [{ server_ca_path: await file('empty.crt', '') }, /is no certificate in PEM form/],
    ];
    for (const [changes, words] of cases) {
      await assert.rejects(readIdentity(configFor(changes), 'lab-1'), (error: Error) => {
        assert.ok(!key.split('\n').some((line) => line.length > 40 && error.message.includes(line)));
        return problemWith(words)(error);
      });
    }
  });

  it('reads no more of an endless file than a certificate can be', async (t) => {
    const { configFor } = await aDevice(t);
    await assert.rejects(readIdentity(configFor({ certificate_path: '/dev/zero' })), problemWith(/no certificate/));
  });
});

describe('the connection of an agent', () => {
  const accepted = { status: 'accepted', trust_tier: 'monitored', next_heartbeat_seconds: 15 };

  async function connected(t: TestContext) {
    const device = await aDevice(t);
    const { ca } = device;
    const api = await scriptedApi(t, () => ({ body: accepted }), {
      cert: ca.serverCertificatePem,
      key: ca.serverKeyPem,
      ca: ca.caCertificatePem,
      requestCert: true,
      rejectUnauthorized: true,
    });
    const log = fakeLog();
    const connection = await openConnection(device.configFor({ server_url: api.url }), { log, random });
    t.after(() => connection.close());
    const send = async () => connection.send({ device_id: 'lab-1', heartbeat_counter: 1 });
    return { ...device, api, log, connection, send };
  }

  it('presents the certificate, and the next one as soon as both its files are there', async (t) => {
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
    assert.equal(log.lines.length, 2);
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
    const { ca, configFor } = await aDevice(t);
    const answers = [
      { body: 'x'.repeat(2_000_000) },
      { status: 307, headers: { location: 'https://elsewhere.example' } },
      { body: '' },
      { body: 'null' },
      { body: '<html>' },
      { body: {} },
      { body: { ...accepted, status: 'fine' } },
      { body: { ...accepted, trust_tier: 'boundless' } },
      { body: { ...accepted, next_heartbeat_seconds: 'soon' } },
      { body: { ...accepted, next_heartbeat_seconds: null } },
      { body: accepted },
    ];
    const api = await scriptedApi(t, (_request, index) => answers[index] ?? {}, {
      cert: ca.serverCertificatePem,
      key: ca.serverKeyPem,
    });
    const connection = await openConnection(configFor({ server_url: api.url }), { log: fakeLog(), random });
    t.after(() => connection.close());
    const send = async () => connection.send({ device_id: 'lab-1', heartbeat_counter: 1 });
    await assert.rejects(send(), /too large/);
    await assert.rejects(send(), /redirects/);
    for (let index = 2; index < answers.length - 1; index += 1)
      await assert.rejects(send(), /not (one of Sentinel|JSON)/, JSON.stringify(answers[index]));
    assert.deepEqual(await send(), accepted);
  });
});
