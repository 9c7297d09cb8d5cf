// What may go into the proxy configuration, and what would break out of it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ProxyOptions, renderProxyConfig } from '#deploy/nginx/proxy-config.ts';

const good: ProxyOptions = {
  serverName: 'sentinel.test',
  tlsCertPath: '/etc/nginx/certs/server.crt',
  tlsKeyPath: '/etc/nginx/certs/server.key',
  clientCaPath: '/etc/nginx/certs/device-ca.crt',
  upstreamUrl: 'http://127.0.0.1:8000',
  proxySecret: 'Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyMDE',
  listen: '443',
};

const bad: readonly [keyof ProxyOptions, readonly string[]][] = [
  ['serverName', ['', '_', 'a b', 'a;', 'a{', 'sentinel.test;return 200', '$host', 'a\nb', '*.test', '-a', 'A.test']],
  [
    'tlsCertPath',
    ['', 'relative.crt', '/etc/a b.crt', '/etc/a;b', '/etc/"a"', '/etc/$a', '/etc/a\n', '/etc/{a}', '/etc/a#b'],
  ],
  ['tlsKeyPath', ['server.key', '/etc/a;', String.raw`/etc/a\b`]],
  ['clientCaPath', ['', "/etc/a'b"]],
  [
    'upstreamUrl',
    [
      '',
      'http://127.0.0.1',
      'https://127.0.0.1:8000',
      'http://10.0.0.1:8000',
      'http://127.0.0.1:8000/path',
      'http://127.0.0.1:8000;',
      'http://127.0.0.1:99999',
      'http://user@127.0.0.1:8000',
      'http://127.0.0.1.evil.test:8000',
      'http://127.0.0.1:8000\n',
    ],
  ],
  [
    'proxySecret',
    [
      '',
      'short',
      `${'a'.repeat(43)}"; return 200 "`,
      `${'a'.repeat(43)}$host`,
      `${'a'.repeat(43)}\n`,
      `a b${'c'.repeat(43)}`,
    ],
  ],
  [
    'listen',
    ['', '0', '65536', '443 default_server', '443;', '127.0.0.1', '1.2.3:443', '[zz]:443', '::1:443', 'localhost:443'],
  ],
];

describe('renderProxyConfig', () => {
  for (const [option, values] of bad) {
    it(`refuses a ${option} that could be more than one`, () => {
      for (const value of values)
        assert.throws(
          () => renderProxyConfig({ ...good, [option]: value }),
          { code: 'request.invalid' },
          JSON.stringify(value),
        );
    });
  }

  it('names every mistake at once, without the secret', () => {
    const wrong = { ...good, serverName: '', listen: '', proxySecret: 'canary secret' };
    assert.throws(
      () => renderProxyConfig(wrong),
      (error: Error) => {
        assert.match(error.message, /--server-name.*\n.*proxy secret.*\n.*--listen/);
        return !error.message.includes('canary');
      },
    );
  });

  it('listens where it is told', () => {
    for (const listen of ['8443', '127.0.0.1:8443', '[::1]:8443'])
      assert.ok(renderProxyConfig({ ...good, listen }).includes(`listen ${listen} ssl http2;`));
  });
});
