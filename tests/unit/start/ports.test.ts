import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { TrustError } from '#contracts/problems.ts';
import { readSettings, type Settings } from '#contracts/settings.ts';
import { addressesOf, requirePorts } from '#start/addresses.ts';
import { findFreePort, requireFreePort } from '#start/ports.ts';

async function takenPort(t: TestContext): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}

async function freePorts(changes: Record<string, string> = {}): Promise<Settings> {
  const names = ['SENTINEL_PORT', 'SENTINEL_DATABASE_PORT', 'SENTINEL_TEMPORAL_PORT', 'SENTINEL_TEMPORAL_UI_PORT'];
  const ports = await Promise.all(names.map(async (name) => [name, String(await findFreePort())]));
  return readSettings({ ...Object.fromEntries(ports), ...changes });
}

describe('ports', () => {
  it('that are taken are an error that names the setting', async (t) => {
    const port = await takenPort(t);
    await assert.rejects(requireFreePort('SENTINEL_DATABASE_PORT', '127.0.0.1', port), (error: unknown) => {
      assert.ok(error instanceof TrustError);
      assert.match(error.message, new RegExp(`^SENTINEL_DATABASE_PORT: port ${port} on 127\\.0\\.0\\.1 is taken`));
      return true;
    });
  });

  it('are free again after they were looked at', async () => {
    const port = await findFreePort();
    await requireFreePort('SENTINEL_PORT', '127.0.0.1', port);
    await requireFreePort('SENTINEL_PORT', '127.0.0.1', port);
  });

  it('on an address that is not of this machine are an error that says so', async () => {
    await assert.rejects(
      requireFreePort('SENTINEL_PORT', '192.0.2.1', 0),
      /SENTINEL_PORT: this machine has no address/,
    );
  });

  it('are all looked at before anything starts, also the optional ones', async (t) => {
    const port = String(await takenPort(t));
    await requirePorts(await freePorts());
    const optional = ['SENTINEL_DEVICE_PORT', 'SENTINEL_HTTP_PORT'];
    for (const name of [
      'SENTINEL_PORT',
      'SENTINEL_DATABASE_PORT',
      'SENTINEL_TEMPORAL_PORT',
      'SENTINEL_TEMPORAL_UI_PORT',
      ...optional,
    ])
      await assert.rejects(requirePorts(await freePorts({ [name]: port })), new RegExp(`^TrustError: ${name}: `));
  });

  it('of embedded parts do not matter when external ones are given', async (t) => {
    const taken = String(await takenPort(t));
    await requirePorts(
      await freePorts({
        SENTINEL_DATABASE_URL: 'postgresql://x',
        SENTINEL_DATABASE_PORT: taken,
        SENTINEL_TEMPORAL_ADDRESS: '127.0.0.1:1',
        SENTINEL_TEMPORAL_PORT: taken,
        SENTINEL_TEMPORAL_UI_PORT: taken,
      }),
    );
  });

  it('that two settings share are an error that names both', async () => {
    const settings = await freePorts();
    const twice = { ...settings, SENTINEL_HTTP_PORT: settings.SENTINEL_DATABASE_PORT };
    await assert.rejects(requirePorts(twice), /SENTINEL_DATABASE_PORT: \d+ is the port of SENTINEL_HTTP_PORT already/);
  });
});

describe('addresses', () => {
  const of = (environment: Record<string, string>) => addressesOf(readSettings(environment));

  it('are on localhost, whose name the development certificate carries', () => {
    const usual = {
      apiUrl: 'https://localhost:8443',
      publicUrl: 'https://localhost:8443',
      deviceUrl: 'https://localhost:8443',
    };
    assert.deepEqual(of({}), usual);
    assert.deepEqual(of({ SENTINEL_HOST: '0.0.0.0' }), usual);
    assert.deepEqual(of({ SENTINEL_HOST: '::1' }), usual);
  });

  it('follow the settings', () => {
    assert.deepEqual(of({ SENTINEL_HOST: '192.0.2.7', SENTINEL_PORT: '1', SENTINEL_DEVICE_PORT: '2' }), {
      apiUrl: 'https://192.0.2.7:1',
      publicUrl: 'https://192.0.2.7:1',
      deviceUrl: 'https://192.0.2.7:2',
    });
    assert.equal(of({ SENTINEL_HOST: '2001:db8::1' }).apiUrl, 'https://[2001:db8::1]:8443');
    assert.equal(of({ SENTINEL_PUBLIC_URL: 'https://sentinel.example/' }).publicUrl, 'https://sentinel.example');
    assert.equal(of({ SENTINEL_PORT: '0', SENTINEL_HTTP_PORT: '81' }).apiUrl, 'http://localhost:81');
  });

  it('are refused when nothing would listen', () => {
    assert.throws(() => of({ SENTINEL_PORT: '0' }), /SENTINEL_PORT: 0 needs SENTINEL_HTTP_PORT/);
  });
});
