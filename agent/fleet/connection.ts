// The connection of one device over mutual TLS, which can be made to break in the midst of a request, as a bad network does.
import { Agent, request as startRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { Fetch, FetchAnswer } from '#client/request.ts';

export interface ConnectionOptions {
  /** Authority to trust the server with (PEM). */
  readonly ca: string;
  /** Certificate and key of the device (PEM); none for somebody who has none. */
  readonly identity: { readonly certificate: string; readonly key: string } | null;
}

export interface Connection {
  readonly fetch: Fetch;
  /** Breaks the connection before the request is written whole, or when it is written. */
  readonly breaking: (when: 'lost_request' | 'lost_answer') => Fetch;
  close(): void;
}

type Break = Parameters<Connection['breaking']>[0];

const largestAnswerBytes = 1024 * 1024;
/** A device that is idle between two heartbeats keeps its connection; the server's own hint wins when it is shorter. */
const keepAliveMs = 600_000;

export function openConnection({ ca, identity }: ConnectionOptions): Connection {
  const agent = new Agent({
    keepAlive: true,
    maxSockets: 1,
    // A resumed session would spare the certificate.
    maxCachedSessions: 0,
    timeout: keepAliveMs,
    ca,
    ...(identity === null ? {} : { cert: identity.certificate, key: identity.key }),
  });
  return {
    fetch: (url, init) => exchange(agent, { url, init, when: null }),
    breaking: (when) => (url, init) => exchange(agent, { url, init, when }),
    close: () => agent.destroy(),
  };
}

interface Exchange {
  readonly url: string;
  readonly init: Parameters<Fetch>[1];
  readonly when: Break | null;
}

function exchange(agent: Agent, { url, init, when }: Exchange): Promise<FetchAnswer> {
  const body = Buffer.from(init.body ?? '');
  return new Promise((resolve, reject) => {
    const request = startRequest(url, {
      agent,
      method: init.method,
      headers: { ...init.headers, 'content-length': body.length },
      signal: init.signal,
    });
    const broken = (): void => void request.destroy(new Error('the network broke, as planned'));
    request.on('error', reject);
    request.on('response', (response) => {
      readWhole(response).then((text) => resolve(answerOf(response, text)), reject);
    });
    if (when === 'lost_request') request.write(body.subarray(0, body.length >> 1), broken);
    else if (when === 'lost_answer') request.end(body, broken);
    else request.end(body);
  });
}

async function readWhole(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > largestAnswerBytes) throw new RangeError('The answer is larger than 1 MiB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function answerOf({ statusCode = 0, headers }: IncomingMessage, text: string): FetchAnswer {
  return {
    status: statusCode,
    headers: {
      get: (name) => {
        const value = headers[name.toLowerCase()];
        return Array.isArray(value) ? value.join(', ') : (value ?? null);
      },
    },
    text: async () => text,
  };
}
