// Calls to addresses that somebody named: none reaches this machine or its neighbours, however the address is written.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { TrustError, type ProblemCode } from '#contracts/problems.ts';
import { createOutboundAddresses } from '#protocols/outbound-address.ts';
import { createOutbound, type OutboundCall } from '#outbound/request.ts';

const call: OutboundCall = { method: 'GET', timeoutMs: 2_000, maximumBytes: 1_000 };

const forbidden = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '100.64.0.1',
  '100.127.255.255',
  '127.0.0.1',
  '127.255.255.254',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.1',
  '192.0.0.170',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.1.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.7',
  '203.0.113.7',
  '224.0.0.1',
  '239.255.255.250',
  '240.0.0.1',
  '255.255.255.255',
  '168.63.129.16',
  '::',
  '::1',
  '::127.0.0.1',
  '::ffff:127.0.0.1',
  '::ffff:7f00:1',
  '::ffff:10.0.0.1',
  '::ffff:169.254.169.254',
  '64:ff9b::7f00:1',
  '64:ff9b::10.0.0.1',
  '64:ff9b:1::1',
  '100::1',
  '2001::1',
  '2001:0:4136:e378:8000:63bf:3fff:fdd2',
  '2001:db8::1',
  '2001:10::1',
  '2002:7f00:1::',
  '2002:a00:1::1',
  '3fff::1',
  '5f00::1',
  'fc00::1',
  'fd00:ec2::254',
  'fe80::1',
  'fec0::1',
  'ff02::1',
  '4000::1',
];
const open = ['1.1.1.1', '8.8.8.8', '100.63.255.255', '172.32.0.1', '2606:4700::1111', '::ffff:8.8.8.8'];

async function listener(t: TestContext, answer: RequestListener = (_request, response) => response.end('canary')) {
  let hits = 0;
  const server = createServer((request, response) => {
    hits += 1;
    answer(request, response);
  });
  server.on('connection', () => (hits += 1));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, hits: () => hits };
}

const codeOf = async (promise: Promise<unknown>): Promise<ProblemCode | null> => {
  try {
    await promise;
    return null;
  } catch (error) {
    assert.ok(error instanceof TrustError, String(error));
    return error.code;
  }
};

describe('addresses that may be called', () => {
  it('are the public ones, in whatever form an address is written (SA-19)', () => {
    const { isAllowed } = createOutboundAddresses([]);
    assert.deepEqual(forbidden.filter(isAllowed), []);
    assert.deepEqual(
      open.filter((address) => !isAllowed(address)),
      [],
    );
    for (const nonsense of ['', 'localhost', '127.1', '0x7f000001', 'fe80::1%lo'])
      assert.equal(isAllowed(nonsense), false);
  });

  it('are those that are listed, and only those', () => {
    const { isAllowed } = createOutboundAddresses(['10.1.0.0/16', '127.0.0.1', 'fd00::/8']);
    for (const address of ['10.1.2.3', '127.0.0.1', '::ffff:127.0.0.1', 'fd12::1'])
      assert.ok(isAllowed(address), address);
    for (const address of ['10.2.0.1', '127.0.0.2', 'fc00::1']) assert.ok(!isAllowed(address), address);
  });

  it('cannot be listed by name or by mistake', () => {
    for (const entry of ['localhost', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', '*', '10.0.0'])
      assert.throws(
        () => createOutboundAddresses([entry]),
        (error) => error instanceof TrustError && error.code === 'request.invalid',
      );
  });
});

describe('a call', () => {
  it('never reaches a forbidden address, whatever it is called (SA-19)', async (t) => {
    const canary = await listener(t);
    const outbound = createOutbound({ addresses: createOutboundAddresses([]) });
    const hosts = [
      '127.0.0.1',
      '127.1',
      '2130706433',
      '0x7f000001',
      '0177.0.0.1',
      '0',
      'localhost',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '[::ffff:7f00:1]',
      '[0:0:0:0:0:ffff:127.0.0.1]',
      '①②⑦.0.0.1',
      '127。0。0。1',
    ];
    for (const host of hosts)
      assert.equal(await codeOf(outbound(`http://${host}:${canary.port}/`, call)), 'outbound.forbidden', host);
    assert.equal(canary.hits(), 0);
  });

  it('goes where the name was found to lead, and asks no second time (SA-19)', async (t) => {
    const canary = await listener(t);
    let asked = 0;
    const outbound = createOutbound({
      addresses: createOutboundAddresses([]),
      // Public at first, this machine afterwards.
      lookup: async () => [{ address: (asked += 1) === 1 ? '192.0.2.1' : '127.0.0.1', family: 4 }],
    });
    assert.equal(await codeOf(outbound(`http://rebind.example:${canary.port}/`, call)), 'outbound.forbidden');
    const mixed = createOutbound({
      addresses: createOutboundAddresses([]),
      lookup: async () => [
        { address: '8.8.8.8', family: 4 },
        { address: '127.0.0.1', family: 4 },
      ],
    });
    assert.equal(await codeOf(mixed(`http://mixed.example:${canary.port}/`, call)), 'outbound.forbidden');
    assert.equal(canary.hits(), 0);

    let lookups = 0;
    const listed = createOutbound({
      addresses: createOutboundAddresses(['127.0.0.1']),
      async lookup() {
        lookups += 1;
        return [{ address: lookups === 1 ? '127.0.0.1' : '169.254.169.254', family: 4 }];
      },
    });
    assert.equal((await listed(`http://named.example:${canary.port}/`, call)).body.toString(), 'canary');
    assert.equal(lookups, 1);
  });

  it('follows no redirect (SA-19)', async (t) => {
    const canary = await listener(t);
    const elsewhere = await listener(t, (_request, response) =>
      response.writeHead(302, { location: `http://127.0.0.1:${canary.port}/` }).end(),
    );
    const outbound = createOutbound({ addresses: createOutboundAddresses(['127.0.0.1']) });
    assert.equal((await outbound(`http://127.0.0.1:${elsewhere.port}/`, call)).status, 302);
    assert.equal(canary.hits(), 0);
  });

  it('is for http and https alone, without credentials, and not for the ports of other services', async () => {
    const outbound = createOutbound({ addresses: createOutboundAddresses(['127.0.0.1']) });
    for (const url of [
      'file:///etc/passwd',
      'gopher://127.0.0.1/',
      'ftp://127.0.0.1/',
      'nonsense',
      'http://u:p@127.0.0.1/',
      'http://127.0.0.1:25/',
    ])
      assert.equal(await codeOf(outbound(url, call)), 'outbound.forbidden', url);
  });

  it('ends in time, and takes no more than it may (SA-19)', async (t) => {
    const outbound = createOutbound({ addresses: createOutboundAddresses(['127.0.0.1']) });
    const silent = await listener(t, () => {});
    const dripping = await listener(t, (_request, response) => void response.write('x'));
    const endless = await listener(t, (_request, response) => {
      response.writeHead(200);
      const more = (): void => {
        while (response.writable && response.write('x'.repeat(10_000)));
        if (response.writable) response.once('drain', more);
      };
      more();
    });
    const short = { ...call, timeoutMs: 100 };
    for (const { port } of [silent, dripping])
      assert.equal(await codeOf(outbound(`http://127.0.0.1:${port}/`, short)), 'outbound.failed');
    assert.equal(await codeOf(outbound(`http://127.0.0.1:${endless.port}/`, call)), 'outbound.failed');
    const switching = await listener(t, (_request, response) =>
      response.writeHead(101, { connection: 'Upgrade', upgrade: 'something' }).end(),
    );
    assert.equal(await codeOf(outbound(`http://127.0.0.1:${switching.port}/`, call)), 'outbound.failed');
    const lost = createOutbound({ addresses: createOutboundAddresses([]), lookup: () => new Promise(() => {}) });
    assert.equal(await codeOf(lost('http://slow.example/', short)), 'outbound.failed');
  });
});
