// A real nginx with a rendered configuration, as a child with a folder of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { renderProxyConfig } from '#deploy/nginx/proxy-config.ts';
import { findFreePort } from '#start/ports.ts';
import type { Cleanup } from './cleanup.ts';
import { programPath } from './requires.ts';

export interface NginxOptions {
  readonly serverName: string;
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly clientCaPem: string;
  readonly upstreamPort: number;
  readonly proxySecret: string;
}

/** Starts nginx on a free port and ends it when the test is over. */
export async function startNginx(t: Cleanup, options: NginxOptions): Promise<{ readonly port: number }> {
  const directory = await mkdtemp(join(tmpdir(), 'sentinel-nginx-'));
  // nginx gives up root for its temporary files.
  await chmod(directory, 0o755);
  t.after(() => rm(directory, { recursive: true, force: true }));
  const port = await findFreePort();
  await writeConfiguration(directory, port, options);
  await runNginx(t, directory, port);
  return { port };
}

/** nginx with the `nginx.conf` of a folder, until the test is over. */
export async function runNginx(t: Cleanup, directory: string, port: number): Promise<void> {
  const child = spawn(programPath('nginx'), ['-p', directory, '-c', 'nginx.conf'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-4_000)));
  const ended = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGTERM');
    await ended;
  });
  for (let attempt = 0; attempt < 200; attempt++) {
    if (child.exitCode !== null) throw new Error(`nginx ended: ${said}`);
    if (await accepts(port)) return;
    await sleep(25);
  }
  throw new Error(`nginx does not listen: ${said}`);
}

async function writeConfiguration(directory: string, port: number, options: NginxOptions): Promise<void> {
  const file = (name: string): string => join(directory, name);
  await writeFile(file('server.pem'), options.certificatePem);
  await writeFile(file('server.key'), options.keyPem, { mode: 0o600 });
  await writeFile(file('devices.pem'), options.clientCaPem);
  const rendered = renderProxyConfig({
    serverName: options.serverName,
    tlsCertPath: file('server.pem'),
    tlsKeyPath: file('server.key'),
    clientCaPath: file('devices.pem'),
    upstreamUrl: `http://127.0.0.1:${options.upstreamPort}`,
    proxySecret: options.proxySecret,
    listen: `127.0.0.1:${port}`,
  });
  await writeFile(file('sentinel.conf'), rendered, { mode: 0o600 });
  await writeMainConfiguration(directory);
}

/** What is around `sentinel.conf`, without any of the machine's own configuration. */
export async function writeMainConfiguration(directory: string): Promise<void> {
  await mkdir(join(directory, 'temporary'));
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path temporary/${name};`,
  );
  await writeFile(
    join(directory, 'nginx.conf'),
    `daemon off; master_process off; pid nginx.pid; error_log stderr warn;
events { worker_connections 256; }
http { access_log off; ${temporary.join(' ')} include sentinel.conf; }
`,
  );
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
