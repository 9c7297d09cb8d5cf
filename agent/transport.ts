// fetch over node:https with a client certificate (mTLS). client/node-transport.ts does more, at three times the memory.
import { Agent, request } from 'node:https';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Fetch, FetchAnswer } from '#client/request.ts';
import type { Identity } from './identity.ts';

export interface AgentTransport {
  readonly fetch: Fetch;
  /** Ends every connection, at once. */
  close(): void;
}

const largestAnswerBytes = 1024 * 1024;
/** A device that is idle between two heartbeats keeps its connection, as long as the server does. */
const idleMs = 600_000;

/**
 * Makes a transport with a connection of its own; every request is limited by its signal.
 *
 * @param write Ends the request with this body; another one is for simulated networks.
 */
export function createAgentTransport(
  { ca, certificate, key }: Pick<Identity, 'ca'> & Partial<Identity>,
  write: (request: ClientRequest, body: string) => void = (sent, body) => void sent.end(body),
): AgentTransport {
  const agent = new Agent({
    keepAlive: true,
    maxSockets: 1,
    timeout: idleMs,
    ...(certificate === undefined ? {} : { cert: certificate, key }),
    ...(ca === null ? {} : { ca }),
  });
  return {
    fetch: (url, { method, headers, signal, body }) =>
      new Promise((resolve, reject) => {
        const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
        const sent = request(url, { agent, method, signal, headers: { ...headers, ...length } }, (answer) => {
          // A redirect would take the heartbeat to another place.
          if (answer.statusCode !== undefined && answer.statusCode >= 300 && answer.statusCode < 400) {
            answer.destroy();
            reject(new Error('the server redirects elsewhere'));
          } else readAnswer(answer).then(resolve, reject);
        });
        sent.on('error', reject);
        // Nobody asked for that, and Node would say nothing more, not even when the signal aborts.
        sent.once('upgrade', (_answer, socket) => {
          socket.destroy();
          reject(new Error('the server switches to another protocol'));
        });
        write(sent, body ?? '');
      }),
    close: () => agent.destroy(),
  };
}

async function readAnswer(answer: IncomingMessage): Promise<FetchAnswer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > largestAnswerBytes) throw new Error('the answer is too large');
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString();
  return {
    status: answer.statusCode ?? 0,
    headers: { get: (name) => [answer.headers[name.toLowerCase()] ?? null].flat()[0] ?? null },
    text: async () => text,
  };
}
