// The open ports: HTTPS for people and devices, a port of their own for devices, plain HTTP on loopback for a proxy.
import { once } from 'node:events';
import { createServer as createPlainServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { TrustError, type ProblemCode } from '#contracts/problems.ts';
import type { Admission } from './admission.ts';
import { limitHandshakes, type Handshakes } from './handshakes.ts';
import { presentProblem, problemMediaType, refusalOf } from './problems.ts';
import { restConnection } from './resting-connections.ts';
import { bareHeaders } from './security-headers.ts';
import { secureContextOptions, tlsOptions, type TlsMaterial } from './tls.ts';

/** Where to listen; a port of 0 takes a free one. */
export interface ListenerPlan {
  readonly host: string;
  /** HTTPS for people, and for devices unless they have a port of their own. */
  readonly port: number | null;
  readonly devicePort: number | null;
  /** Plain HTTP, always on loopback. */
  readonly httpPort: number | null;
  readonly tls: TlsMaterial | null;
}

export interface ListenerDeps {
  readonly admission: Admission;
  readonly requestId: () => string;
}

export interface Listeners {
  readonly ports: { readonly https: number | null; readonly device: number | null; readonly http: number | null };
  /** Names other authorities in handshakes from now on. */
  setAuthorities(pems: readonly string[]): void;
  /** Takes no more connections, and resolves when the requests that are under way have been answered. */
  close(graceMs: number): Promise<void>;
}

const limits = {
  requestTimeout: 15_000,
  headersTimeout: 10_000,
  connectionsCheckingInterval: 2_000,
  // Longer than devices pause between two heartbeats, so that most of them need no new handshake.
  keepAliveTimeout: 75_000,
} as const;
/** A certificate in a header of the proxy is several kilobytes; nobody else sends more than a token. */
const maximumHeaderBytes = { direct: 16 * 1024, proxied: 64 * 1024 } as const;
const maximumConnections = 20_000;
/** Connections that the system keeps while the process is held up; beyond that it drops them, and they try again seconds later. */
const maximumUnaccepted = 4_096;
const silenceMs = 120_000;
const loopback = '127.0.0.1';
const heartbeatPath = '/api/heartbeat';

/** @throws TrustError `request.invalid` when TLS is needed and missing; the system's error when a port is taken */
export async function openListeners(
  app: FastifyInstance,
  plan: ListenerPlan,
  authorities: readonly string[],
  { admission, requestId }: ListenerDeps,
): Promise<Listeners> {
  const { host, tls } = plan;
  const forDevices: TlsServer[] = [];
  const handshakes: Handshakes[] = [];
  const servers: Server[] = [];

  async function openTls(port: number, asksDevices: boolean, listener: RequestListener): Promise<number> {
    if (tls === null) {
      throw new TrustError('request.invalid', {
        detail: 'SENTINEL_TLS_CERT, SENTINEL_TLS_KEY and SENTINEL_TLS_CA: set all three, or SENTINEL_PORT=0',
      });
    }
    const options = {
      ...limits,
      ...tlsOptions(tls, asksDevices ? authorities : null),
      maxHeaderSize: maximumHeaderBytes.direct,
    };
    const server = createTlsServer(options, listener);
    // A handshake that fails is the business of the one who tried.
    server.on('tlsClientError', (_error, socket) => socket.destroy());
    handshakes.push(limitHandshakes(server, () => performance.now()));
    if (asksDevices) forDevices.push(server);
    return await open(server, host, port);
  }

  async function open(server: Server, address: string, port: number): Promise<number> {
    server.maxConnections = maximumConnections;
    server.setTimeout(silenceMs, (socket) => socket.destroy());
    server.on('clientError', answerClientError);
    server.listen({ port, host: address, backlog: maximumUnaccepted });
    // Rejects when the port cannot be had.
    await once(server, 'listening');
    servers.push(server);
    return (server.address() as AddressInfo).port;
  }

  const everything = shedding((request, response) => app.routing(request, response), { admission, requestId });
  try {
    const plain = { ...limits, maxHeaderSize: maximumHeaderBytes.proxied };
    const ports = {
      https: plan.port === null ? null : await openTls(plan.port, plan.devicePort === null, everything),
      device: plan.devicePort === null ? null : await openTls(plan.devicePort, true, onlyFor(everything, devicePaths)),
      http: plan.httpPort === null ? null : await open(createPlainServer(plain, everything), loopback, plan.httpPort),
    };
    return {
      ports,
      setAuthorities(pems) {
        if (tls !== null) for (const server of forDevices) server.setSecureContext(secureContextOptions(tls, pems));
      },
      close(graceMs) {
        for (const waiting of handshakes) waiting.close();
        return closeAll(servers, graceMs);
      },
    };
  } catch (error) {
    await closeAll(servers, 0);
    throw error;
  }
}

type RequestListener = (request: IncomingMessage, response: ServerResponse) => void;

/** What the port of devices answers; there is nothing for people behind it. */
const devicePaths: ReadonlySet<string> = new Set([heartbeatPath, '/api/health/live']);

/** Heartbeats that are not taken are answered before anything else is done for them; people never pass here. */
function shedding(next: RequestListener, { admission, requestId }: ListenerDeps): RequestListener {
  return (request, response) => {
    if (request.method !== 'POST' || pathOf(request) !== heartbeatPath) return next(request, response);
    const admitted = admission.admit();
    if (admitted.taken) {
      response.once('close', admitted.done);
      return next(request, response);
    }
    const id = requestId();
    const { status, headers, body } = bareProblem('heartbeat.shed', id);
    const { retryAfterSeconds } = admitted;
    // The connection stays: a handshake costs more than many refusals.
    response.writeHead(status, { ...headers, 'x-request-id': id, 'retry-after': String(retryAfterSeconds) });
    response.end(body);
    // The server itself goes on reading when the answer has gone; this comes after it.
    response.once('close', () => setImmediate(restConnection, request, retryAfterSeconds * 1000));
  };
}

function onlyFor(next: RequestListener, paths: ReadonlySet<string>): RequestListener {
  return (request, response) => {
    if (paths.has(pathOf(request))) return next(request, response);
    const { status, headers, body } = bareProblem('resource.not_found');
    response.writeHead(status, { ...headers, connection: 'close' }).end(body);
  };
}

function pathOf({ url = '' }: IncomingMessage): string {
  const query = url.indexOf('?');
  return query === -1 ? url : url.slice(0, query);
}

/** The request could not be read, so there is nothing but the socket to answer on. */
function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW' || error.code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW';
  const { status, headers, body } = bareProblem(tooLarge ? 'request.too_large' : 'request.malformed');
  const lines = Object.entries({ ...headers, connection: 'close' }).map(([name, value]) => `${name}: ${value}`);
  socket.end([`HTTP/1.1 ${status} Refused`, ...lines, '', body].join('\r\n'));
}

function bareProblem(code: ProblemCode, requestId = 'unread') {
  const problem = presentProblem(refusalOf(new TrustError(code)), requestId);
  const body = JSON.stringify(problem);
  const headers = {
    ...bareHeaders,
    'cache-control': 'no-store',
    'content-type': problemMediaType,
    'content-length': String(Buffer.byteLength(body)),
  };
  return { status: problem.status, headers, body };
}

async function closeAll(servers: readonly Server[], graceMs: number): Promise<void> {
  const closed = Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  for (const server of servers) server.closeIdleConnections();
  const timer = setTimeout(() => {
    for (const server of servers) server.closeAllConnections();
  }, graceMs);
  await closed;
  clearTimeout(timer);
}
