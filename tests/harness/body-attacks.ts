// Bodies that are too much, sent over a bare TLS connection: what was answered, and how much of it was taken.
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { setTimeout as pause } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

export interface BodyAttack {
  readonly headers?: Readonly<Record<string, string>>;
  /** The body, or its pieces for as long as somebody takes them. */
  readonly body: string | Buffer | (() => Iterable<Buffer> | AsyncIterable<Buffer>);
  /** Acceptable: statuses, and whether the connection may simply be closed. */
  readonly expected: RegExp;
}

export interface AttackEnd {
  /** The status, or `closed`. */
  readonly answer: string;
  readonly sentBytes: number;
}

const chunked = (piece: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]);
const gigabyte = 1024 ** 3;

function* endless(): Generator<Buffer> {
  const piece = chunked(Buffer.alloc(64 * 1024, 'a'));
  for (let sent = 0; sent < gigabyte; sent += 64 * 1024) yield piece;
}

async function* dripping(): AsyncGenerator<Buffer> {
  for (let sent = 0; sent < 100_000; sent += 1) {
    yield chunked(Buffer.from('a'));
    await pause(1000);
  }
}

/** An object in an object, this deep, with a member at the bottom. */
const nested = (depth: number, member: string): string => `${'{"a":'.repeat(depth)}{${member}}${'}'.repeat(depth)}`;
const keys = (count: number): string => `{${Array.from({ length: count }, (_, index) => `"k${index}":1`).join(',')}}`;
const depths = [0, 1, 2, 3, 5, 8, 13];

export const bodyAttacks: Readonly<Record<string, BodyAttack>> = {
  'a megabyte': { body: `"${'x'.repeat(1024 * 1024)}"`, expected: /^(413|closed)$/ },
  'a gigabyte in pieces': { headers: { 'transfer-encoding': 'chunked' }, body: endless, expected: /^(413|closed)$/ },
  'a gigabyte, as announced': {
    headers: { 'content-length': String(gigabyte) },
    body: () => [Buffer.alloc(1024)],
    expected: /^(413|closed)$/,
  },
  'arrays 100 000 deep': { body: `${'['.repeat(100_000)}${']'.repeat(100_000)}`, expected: /^400$/ },
  'objects 40 000 deep': { body: nested(40_000, '"b":1'), expected: /^400$/ },
  'a million keys': { body: keys(1_000_000), expected: /^(413|closed)$/ },
  'as many keys as the limit of bytes lets through': { body: keys(20_000), expected: /^400$/ },
  'a bomb of gzip, 1000 to 1': {
    headers: { 'content-encoding': 'gzip' },
    body: gzipSync(Buffer.alloc(200 * 1024 * 1024)).subarray(0, 200 * 1024),
    expected: /^(415|413|closed)$/,
  },
  ...Object.fromEntries(
    depths.flatMap((depth) => [
      [`__proto__ at depth ${depth}`, { body: nested(depth, '"__proto__":{"polluted":true}'), expected: /^400$/ }],
      [
        `constructor.prototype at depth ${depth}`,
        { body: nested(depth, '"constructor":{"prototype":{"polluted":true}}'), expected: /^400$/ },
      ],
      [`a key twice at depth ${depth}`, { body: nested(depth, '"b":1,"b":2'), expected: /^400$/ }],
    ]),
  ),
};

/** Takes longer than the others, since it takes the server's patience. */
export const slowAttack: BodyAttack = {
  headers: { 'transfer-encoding': 'chunked' },
  body: dripping,
  expected: /^(408|400|closed)$/,
};

export interface Target {
  readonly url: string;
  readonly ca: string;
  readonly identity?: { readonly certificatePem: string; readonly keyPem: string };
}

export async function attackBody({ url, ca, identity }: Target, attack: BodyAttack): Promise<AttackEnd> {
  const { hostname, port, pathname } = new URL(url);
  const socket = connect({
    host: hostname,
    port: Number(port),
    servername: hostname,
    ca,
    ...(identity === undefined ? {} : { cert: identity.certificatePem, key: identity.keyPem }),
  });
  let answer = '';
  let ended = false;
  const over = new Promise<void>((resolve) => {
    const end = (): void => {
      ended = true;
      resolve();
    };
    socket.once('error', end).once('close', end).once('end', end);
    socket.on('data', (data: Buffer) => {
      answer += data.toString('latin1');
      if (answer.includes('\r\n')) end();
    });
  });
  let sentBytes = 0;
  try {
    await Promise.race([once(socket, 'secureConnect'), over]);
    const body = typeof attack.body === 'function' ? null : Buffer.from(attack.body as string);
    const headers = {
      host: 'localhost',
      'content-type': 'application/json',
      ...(body === null ? {} : { 'content-length': String(body.length) }),
      ...attack.headers,
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    await write(socket, Buffer.from([`POST ${pathname} HTTP/1.1`, ...lines, '', ''].join('\r\n')), over);
    for await (const piece of body === null ? (attack.body as () => AsyncIterable<Buffer>)() : [body]) {
      if (ended) break;
      await write(socket, piece, over);
      sentBytes += piece.length;
    }
    await over;
    const status = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1];
    return { answer: status ?? 'closed', sentBytes };
  } finally {
    socket.destroy();
  }
}

async function write(socket: TLSSocket, bytes: Buffer, over: Promise<void>): Promise<void> {
  if (!socket.writable || socket.write(bytes)) return;
  await Promise.race([once(socket, 'drain').catch(() => {}), over]);
}
