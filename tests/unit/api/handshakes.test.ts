// Many connect at the same moment: a few handshakes at a time, the latest first, and nobody is left waiting for ever.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import { connect as connectPlain, type AddressInfo, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { limitHandshakes, type HandshakeOptions } from '#api/handshakes.ts';
import { systemClock, systemRandom } from '#contracts/deps.ts';
import { createDevelopmentCa } from '#protocols/development-ca.ts';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

async function serverWith(t: TestContext, options: HandshakeOptions) {
  const folder = await mkdtemp(join(tmpdir(), 'sentinel-handshakes-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const ca = await createDevelopmentCa(folder, { clock: systemClock, random: systemRandom });
  const [cert, key] = await Promise.all(['server.crt', 'server.key'].map((name) => readFile(join(folder, name))));
  const server: Server = createServer({ cert, key }, (_request, response) => response.end('served'));
  const time = { nowMs: 0 };
  const handshakes = limitHandshakes(server, () => time.nowMs, options);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const open: (Socket | TLSSocket)[] = [];
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.closeAllConnections();
    server.close();
  });
  const keep = <S extends Socket>(socket: S): S => {
    socket.on('error', () => {});
    open.push(socket);
    return socket;
  };
  /** Connects and says nothing, so that its handshake is under way until it ends. */
  const silent = async (): Promise<Socket> => {
    const socket = keep(connectPlain(port, '127.0.0.1'));
    await Promise.all([once(socket, 'connect'), once(server, 'connection')]);
    return socket;
  };
  const secure = (): TLSSocket => keep(connect({ port, host: '127.0.0.1', ca: ca.caCertificatePem }));
  const arrived = (): Promise<unknown> => once(server, 'connection');
  return { silent, secure, arrived, time, handshakes, server };
}

describe('handshakes', () => {
  it('are as many at once as there may be, and the rest begins when one is through or gone (FT-11)', async (t) => {
    const { silent, secure, arrived } = await serverWith(t, {
      atOnce: 2,
      turnMs: 60_000,
      waitMs: 1_000,
      maximumWaiting: 10,
    });
    const [first] = [await silent(), await silent()];
    const arrival = arrived();
    const third = secure();
    await arrival;
    assert.equal(third.authorized, false);
    const through = once(third, 'secureConnect');
    first.destroy();
    await through;
    // That one is through, so that there is room for another.
    const fourth = secure();
    await once(fourth, 'secureConnect');
    fourth.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    const [answer] = (await once(fourth, 'data')) as [Buffer];
    assert.match(answer.toString(), /^HTTP\/1\.1 200/);
  });

  it('begin with whoever came last, and end for whoever has waited too long (FT-11)', async (t) => {
    const { silent, secure, arrived, time } = await serverWith(t, {
      atOnce: 1,
      turnMs: 60_000,
      waitMs: 1_000,
      maximumWaiting: 10,
    });
    const holding = await silent();
    const early = await silent();
    const ended = once(early, 'close');
    time.nowMs = 900;
    const arrival = arrived();
    const late = secure();
    await arrival;
    time.nowMs = 1_500;
    const through = once(late, 'secureConnect');
    holding.destroy();
    await Promise.all([through, ended]);
  });

  it('are held up by nobody who says nothing', async (t) => {
    const { silent, secure } = await serverWith(t, { atOnce: 1, turnMs: 10, waitMs: 60_000, maximumWaiting: 10 });
    await silent();
    await once(secure(), 'secureConnect');
  });

  it('let those go that have waited longest when too many wait', async (t) => {
    const { silent, handshakes } = await serverWith(t, { atOnce: 1, turnMs: 60_000, waitMs: 1_000, maximumWaiting: 1 });
    await silent();
    const second = await silent();
    const ended = once(second, 'close');
    const third = await silent();
    await ended;
    const last = once(third, 'close');
    handshakes.close();
    await last;
  });
});
