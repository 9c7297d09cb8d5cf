// The files of an agent: its state, the lock on it, and its identity.
import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { FileProblem } from '#agent/file-problem.ts';
import { readIdentity } from '#agent/identity.ts';
import { lockPath, lockState } from '#agent/lock.ts';
import { openState } from '#agent/state.ts';
import { systemRandom as random } from '#contracts/deps.ts';
import { agentFolder, issuedDevice } from '#tests/harness/agent.ts';

const problemWith = (words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof FileProblem, String(error));
  assert.match(`${error.problem} ${error.advice}`, words);
  return true;
};

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
    const { configFor } = await issuedDevice(t);
    const identity = await readIdentity(configFor(), 'lab-1');
    assert.equal(identity.commonName, 'lab-1');
    assert.match(identity.fingerprint, /^[0-9a-f]{64}$/);
  });

  it('is refused when something does not fit, and the words never hold a key', async (t) => {
    const { folder, ca, configFor } = await issuedDevice(t);
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
    const { configFor } = await issuedDevice(t);
    await assert.rejects(readIdentity(configFor({ certificate_path: '/dev/zero' })), problemWith(/no certificate/));
  });
});
