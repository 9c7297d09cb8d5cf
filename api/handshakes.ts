// How many TLS handshakes are under way at once. After an outage a whole fleet connects at the same moment: unlimited, its
// handshakes hold up the heartbeats so long that these are taken for an overload, and devices are sent away to rest.
import type { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

export interface HandshakeOptions {
  readonly atOnce: number;
  /** One that takes longer waits for its other end and not for us: it goes on, and the next one begins. */
  readonly turnMs: number;
  /** Whoever has waited for so long has given up. */
  readonly waitMs: number;
  /** Connections that wait; of more, those go that have waited longest. */
  readonly maximumWaiting: number;
}

export const handshakeDefaults: HandshakeOptions = { atOnce: 16, turnMs: 50, waitMs: 8_000, maximumWaiting: 16_000 };

export interface Handshakes {
  /** Ends the connections that wait. */
  close(): void;
}

interface Waiting {
  readonly socket: Socket;
  readonly sinceMs: number;
}

/**
 * Lets connections begin their handshakes a few at a time, the latest first: in a crowd that is larger than what can be
 * served in time, whoever came first has gone before its turn, and somebody who comes now is served at once.
 */
export function limitHandshakes(
  server: TlsServer,
  nowMs: () => number,
  { atOnce, turnMs, waitMs, maximumWaiting }: HandshakeOptions = handshakeDefaults,
): Handshakes {
  const begin = server.listeners('connection') as ((this: TlsServer, socket: Socket) => void)[];
  server.removeAllListeners('connection');
  /** Each until it is through or its turn is over, by what only it has: the other end. */
  const underWay = new Map<string, { readonly socket: Socket; readonly turn: NodeJS.Timeout }>();
  /** The latest last. */
  const waiting: Waiting[] = [];

  function start(socket: Socket): void {
    const name = nameOf(socket);
    if (name === null) return void socket.destroy();
    underWay.set(name, { socket, turn: setTimeout(() => ended(name, socket), turnMs).unref() });
    socket.once('close', () => ended(name, socket));
    for (const listener of begin) listener.call(server, socket);
  }

  function ended(name: string | null, socket?: Socket): void {
    const found = name === null ? undefined : underWay.get(name);
    if (name === null || found === undefined || (socket !== undefined && found.socket !== socket)) return;
    clearTimeout(found.turn);
    underWay.delete(name);
    startWaiting();
  }

  function startWaiting(): void {
    while (underWay.size < atOnce) {
      const next = waiting.pop();
      if (next === undefined) return;
      if (next.socket.destroyed) continue;
      if (nowMs() - next.sinceMs < waitMs) start(next.socket);
      else giveUpOn([next, ...waiting.splice(0)]);
    }
  }

  function giveUpOn(given: readonly Waiting[]): void {
    for (const { socket } of given) socket.destroy();
  }

  server.on('connection', (socket: Socket) => {
    if (underWay.size < atOnce) return start(socket);
    socket.on('error', () => socket.destroy());
    waiting.push({ socket, sinceMs: nowMs() });
    if (waiting.length > maximumWaiting) giveUpOn(waiting.splice(0, waiting.length - maximumWaiting));
  });
  const through = (socket: TLSSocket): void => ended(nameOf(socket));
  server.on('secureConnection', through);
  server.on('tlsClientError', (_error, socket) => through(socket));
  return { close: () => giveUpOn(waiting.splice(0)) };
}

/** Null once the other end has gone. */
function nameOf({ remoteAddress, remotePort }: Socket): string | null {
  return remoteAddress === undefined || remotePort === undefined ? null : `${remoteAddress} ${remotePort}`;
}
