// Development certificates: what `npm run certs` makes, tried in a real TLS connection.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const script = fileURLToPath(new URL('../../../deploy/certs/generate-dev-certs.ts', import.meta.url));
const packageFile = fileURLToPath(new URL('../../../package.json', import.meta.url));

describe('npm run certs', () => {
  let directory: string;
  const read = async (name: string): Promise<string> => readFile(join(directory, name), 'utf8');
  const run = async (...args: string[]) =>
    promisify(execFile)(process.execPath, [script, '--out', directory, ...args], { timeout: 20_000 });

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sentinel-certs-'));
  });
  after(async () => rm(directory, { recursive: true }));

  it('makes ca.crt, server.crt and server.key that TLS accepts, and keeps them (DP-13)', async () => {
    const { stdout } = await run('--device', 'device-1');
    assert.match(
      stdout,
      /^SENTINEL_TLS_CERT=.*server\.crt\nSENTINEL_TLS_KEY=.*server\.key\nSENTINEL_TLS_CA=.*ca\.crt\n$/,
    );
    const names = (await readdir(directory)).toSorted();
    assert.deepEqual(names, ['ca.crt', 'ca.key', 'device-1.crt', 'device-1.key', 'server.crt', 'server.key']);
    for (const name of names.filter((file) => file.endsWith('.key'))) {
      assert.equal((await stat(join(directory, name))).mode & 0o777, 0o600, name);
    }

    const ca = await read('ca.crt');
    const server = createServer({
      cert: await read('server.crt'),
      key: await read('server.key'),
      ca,
      requestCert: true,
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>;
    const { port } = server.address() as AddressInfo;
    const device = { cert: await read('device-1.crt'), key: await read('device-1.key') };
    const client = connect({ port, host: '127.0.0.1', servername: 'localhost', ca, ...device });
    await once(client, 'secureConnect');
    const [socket] = await accepted;
    assert.equal(socket.getPeerCertificate().subject.CN, 'device-1');
    client.destroy();
    socket.destroy();
    server.close();

    const before = await read('server.crt');
    await run();
    assert.equal(await read('server.crt'), before);
    assert.equal(await read('ca.crt'), ca);
  });

  it('is that script, and writes where git does not look (DP-13)', async () => {
    const { scripts } = JSON.parse(await readFile(packageFile, 'utf8')) as { scripts: Record<string, string> };
    assert.equal(scripts.certs, 'node deploy/certs/generate-dev-certs.ts');
    const ignored = await readFile(join(packageFile, '..', '.gitignore'), 'utf8');
    assert.ok(ignored.split('\n').includes('deploy/certs/out/'));
  });

  for (const [title, args, code] of [
    ['an unknown option', ['--force'], 2],
    ['a word too many', ['now'], 2],
    ['a device id that is a path', ['--device', '../device'], 2],
  ] as const) {
    it(`refuses ${title} with exit code ${code}`, async () => {
      await assert.rejects(run(...args), (error) => (error as { code?: unknown }).code === code);
    });
  }
});
