// The one way to call an address that somebody named: public addresses only, no redirects, and limits on time and size.
import { lookup as systemLookup } from 'node:dns/promises';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { TrustError } from '#contracts/problems.ts';
import type { OutboundAddresses } from '#protocols/outbound-address.ts';

export interface OutboundCall {
  readonly method: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** For everything together, from the look-up of the name to the last byte. */
  readonly timeoutMs: number;
  readonly maximumBytes: number;
}

export interface OutboundAnswer {
  readonly status: number;
  readonly body: Buffer;
}

export type Outbound = (url: string, call: OutboundCall) => Promise<OutboundAnswer>;

export interface OutboundDeps {
  readonly addresses: OutboundAddresses;
  /** Every address of a name. */
  readonly lookup?: (name: string) => Promise<readonly { readonly address: string; readonly family: number }[]>;
}

/** Other services of a machine listen below 1024; those that answer over HTTP are these. */
const lowPorts: ReadonlySet<number> = new Set([80, 443]);

/**
 * Makes the function. A name is looked up once, every address that it has must be allowed, and the connection goes to one
 * of these: whoever answers differently the second time is not asked.
 *
 * @returns any answer, also a redirect, which is not followed
 * @throws TrustError `outbound.forbidden` for an address that may not be called, `outbound.failed` when there is no answer
 */
export function createOutbound({
  addresses,
  lookup = (name) => systemLookup(name, { all: true }),
}: OutboundDeps): Outbound {
  async function resolve(host: string): Promise<{ address: string; family: number }> {
    const literal = isIP(host);
    const found = literal === 0 ? await lookup(host) : [{ address: host, family: literal }];
    const [first] = found;
    if (first === undefined) throw new TrustError('outbound.failed', { detail: `${host} has no address` });
    if (!found.every(({ address }) => addresses.isAllowed(address))) throw forbidden(`${host} is not a public address`);
    return { address: first.address, family: first.family };
  }

  return async (text, call) => {
    const url = readUrl(text);
    const signal = AbortSignal.timeout(call.timeoutMs);
    try {
      const target = await within(signal, resolve(url.hostname.replace(/^\[|\]$/g, '')));
      return await send(url, target, call, signal);
    } catch (cause) {
      if (cause instanceof TrustError) throw cause;
      const why = signal.aborted ? `does not answer within ${call.timeoutMs / 1000} s` : 'cannot be reached';
      throw new TrustError('outbound.failed', { detail: `${url.host} ${why}`, cause });
    }
  };
}

function readUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) throw forbidden('Only http and https addresses are called');
  if (url.username !== '' || url.password !== '')
    throw forbidden('An address with a user name or password is not called');
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
  if (port < 1024 && !lowPorts.has(port)) throw forbidden(`Port ${port} is not called`);
  return url;
}

async function send(
  url: URL,
  { address, family }: { address: string; family: number },
  { method, headers = {}, body, maximumBytes }: OutboundCall,
  signal: AbortSignal,
): Promise<OutboundAnswer> {
  // Whatever the name is, this is where the connection goes; it stays the name for TLS and for the other side.
  const pinned: LookupFunction = (_name, { all }, done) =>
    all === true ? done(null, [{ address, family }]) : done(null, address, family);
  const options: RequestOptions = {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { 'content-length': String(body.byteLength) }) },
    lookup: pinned,
    signal,
    agent: false,
    maxHeaderSize: 16 * 1024,
  };
  const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, options);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  request.once('response', resolve);
  request.once('error', reject);
  // Nobody asked for that, and Node would say nothing more, not even when the time is over.
  request.once('upgrade', (_answer, socket) => {
    socket.destroy();
    reject(new Error('it switches to another protocol'));
  });
  request.end(body);
  try {
    const response = await within(signal, promise);
    return { status: response.statusCode ?? 0, body: await readBody(response, maximumBytes) };
  } finally {
    // Late errors of a connection that is given up are nobody's any more.
    request.on('error', () => {});
    request.destroy();
  }
}

async function readBody(response: IncomingMessage, maximumBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maximumBytes)
      throw new TrustError('outbound.failed', { detail: `The answer is larger than ${maximumBytes} bytes` });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Some of it cannot be stopped, such as the system's look-up, but nobody has to wait for it. */
function within<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const give = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', give, { once: true });
  return Promise.race([work, promise]).finally(() => signal.removeEventListener('abort', give));
}

function forbidden(detail: string): TrustError {
  return new TrustError('outbound.forbidden', { detail });
}
