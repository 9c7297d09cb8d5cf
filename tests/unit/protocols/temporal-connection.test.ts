import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readSettings } from '#contracts/settings.ts';
import { temporalConnection } from '#protocols/temporal-connection.ts';

const connect = (environment: Record<string, string>) =>
  temporalConnection(readSettings(environment), (path) => Buffer.from(`content of ${path}`));

describe('connection to Temporal', () => {
  it('is the embedded server on this machine unless another one is named', () => {
    assert.deepEqual(connect({ SENTINEL_TEMPORAL_PORT: '7300' }), { address: '127.0.0.1:7300', tls: null });
  });

  for (const address of ['localhost:7233', '127.0.0.1:7233', '127.8.9.1:1', '[::1]:7233', 'LOCALHOST:7233']) {
    it(`to ${address} may be plaintext (SA-27)`, () => {
      assert.deepEqual(connect({ SENTINEL_TEMPORAL_ADDRESS: address }), { address, tls: null });
    });
  }

  for (const address of [
    'temporal.example:7233',
    '10.0.0.1:7233',
    '0.0.0.0:7233',
    '[::]:7233',
    '[fe80::1]:7233',
    '[::ffff:10.0.0.1]:7233',
    '2130706433:7233',
    '0x7f.1:7233',
    '127.0.0.1.example:7233',
    'localhost.example:7233',
  ]) {
    it(`to ${address} is refused without TLS, by name of the setting (SA-27)`, () => {
      assert.throws(() => connect({ SENTINEL_TEMPORAL_ADDRESS: address }), {
        code: 'request.invalid',
        message: /SENTINEL_TEMPORAL_ADDRESS/,
      });
      assert.notEqual(connect({ SENTINEL_TEMPORAL_ADDRESS: address, SENTINEL_TEMPORAL_TLS_CA: 'ca.pem' }).tls, null);
    });
  }

  for (const address of [
    'unix:/run/x',
    'dns:///127.0.0.1:7233',
    'https://127.0.0.1:7233',
    '::1:7233',
    'a:0',
    'a:70000',
    'a b:1',
  ]) {
    it(`refuses ${address}, which is no host:port (SA-27)`, () => {
      assert.throws(() => connect({ SENTINEL_TEMPORAL_ADDRESS: address, SENTINEL_TEMPORAL_TLS_CA: 'x' }), {
        code: 'request.invalid',
        message: /SENTINEL_TEMPORAL_ADDRESS/,
      });
    });
  }

  it('honours every TLS setting (SA-27)', () => {
    assert.deepEqual(
      connect({
        SENTINEL_TEMPORAL_ADDRESS: 'temporal.example',
        SENTINEL_TEMPORAL_TLS_CA: 'ca.pem',
        SENTINEL_TEMPORAL_TLS_CERT: 'client.crt',
        SENTINEL_TEMPORAL_TLS_KEY: 'client.key',
        SENTINEL_TEMPORAL_TLS_SERVER_NAME: 'frontend',
        SENTINEL_TEMPORAL_API_KEY: 'key',
      }),
      {
        address: 'temporal.example:7233',
        tls: {
          serverRootCACertificate: Buffer.from('content of ca.pem'),
          clientCertPair: { crt: Buffer.from('content of client.crt'), key: Buffer.from('content of client.key') },
          serverNameOverride: 'frontend',
        },
        apiKey: 'key',
      },
    );
  });

  it('turns TLS on for an API key alone, so that it never goes out in clear (SA-27)', () => {
    assert.deepEqual(
      connect({ SENTINEL_TEMPORAL_ADDRESS: '127.0.0.1:7233', SENTINEL_TEMPORAL_API_KEY: 'key' }).tls,
      {},
    );
  });

  it('refuses half a client certificate', () => {
    for (const half of ['SENTINEL_TEMPORAL_TLS_CERT', 'SENTINEL_TEMPORAL_TLS_KEY']) {
      assert.throws(() => connect({ [half]: 'x' }), { code: 'request.invalid', message: /TLS_CERT and .*TLS_KEY/ });
    }
  });
});
