// Stands between Sentinel and Temporal, call by call, and keeps answers back when it is told to.
import { once } from 'node:events';
import http2, { type ClientHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';

export interface GrpcProxy {
  /** host:port */
  readonly address: string;
  /** Calls of these methods reach Temporal, and their answers nobody. Empty lets everything through again. */
  swallow(methods: readonly string[]): void;
  /** Answers that were kept back so far, by method. */
  readonly swallowed: ReadonlyMap<string, number>;
  close(): Promise<void>;
}

/** @param upstream host:port, which may be away for a while */
export async function startGrpcProxy(upstream: string): Promise<GrpcProxy> {
  let session: ClientHttp2Session | null = null;
  let methods: readonly string[] = [];
  const swallowed = new Map<string, number>();
  const servers = new Set<http2.ServerHttp2Session>();

  function connected(): ClientHttp2Session {
    if (session !== null && !session.closed && !session.destroyed) return session;
    const made = http2.connect(`http://${upstream}`);
    made.on('error', () => {});
    made.on('close', () => {
      if (session === made) session = null;
    });
    session = made;
    return made;
  }

  function pass(stream: ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
    const method = String(headers[':path']).split('/').at(-1) ?? '';
    const { ':authority': _, ...others } = headers;
    const call = connected().request(others, { endStream: false });
    let trailers: http2.IncomingHttpHeaders = {};
    let kept = false;
    let ended = false;
    const lost = (): void => {
      if (!stream.destroyed) stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
      if (!call.destroyed) call.close(http2.constants.NGHTTP2_CANCEL);
    };
    call.on('error', lost);
    // A server that dies closes what is open without an error.
    call.on('close', () => {
      if (!ended && !kept) lost();
    });
    stream.on('error', lost);
    stream.on('aborted', lost);
    stream.pipe(call);
    const keepBack = (): boolean => {
      if (!methods.includes(method)) return false;
      swallowed.set(method, (swallowed.get(method) ?? 0) + 1);
      kept = true;
      call.resume();
      return true;
    };
    call.on('response', ({ ':status': status, ...rest }, flags) => {
      if (stream.destroyed || keepBack()) return;
      const answer = { ':status': status, ...rest };
      ended = (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      if (ended) return stream.respond(answer, { endStream: true });
      stream.respond(answer, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers(trailers));
      call.on('data', (chunk: Buffer) => stream.write(chunk));
      call.on('end', () => {
        ended = Object.keys(trailers).length > 0;
        if (ended) stream.end();
      });
    });
    call.on('trailers', (given) => (trailers = given));
  }

  const server = http2.createServer();
  server.on('session', (each) => {
    servers.add(each);
    each.on('error', () => {});
    each.on('close', () => servers.delete(each));
  });
  server.on('stream', pass);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    swallow: (wanted) => void (methods = wanted),
    swallowed,
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const each of servers) each.destroy();
      session?.destroy();
      await closed;
    },
  };
}
