// A small HTTP server that answers each request as the test says, and remembers what it was sent.
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Cleanup } from '#tests/harness/cleanup.ts';

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
  /** Common name of the client certificate. */
  readonly clientName: string | string[] | undefined;
  /** SHA-256 of the client certificate, lower-case hex. */
  readonly clientFingerprint: string | undefined;
}

export interface ScriptedAnswer {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  /** An object goes out as JSON, a string as it is. */
  readonly body?: unknown;
  /** Closes the connection without an answer. */
  readonly hangUp?: true;
  /** Never answers. */
  readonly silent?: true;
}

export type Script = (request: SeenRequest, index: number) => ScriptedAnswer | Promise<ScriptedAnswer>;

/** Starts the server on a free port; with TLS options it speaks HTTPS. */
export async function scriptedApi(t: Cleanup, script: Script, tls?: ServerOptions) {
  const seen: SeenRequest[] = [];
  const listener: RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => void answer());
    const answer = async () => {
      const text = Buffer.concat(chunks).toString();
      const { method = '', url: path = '', headers } = request;
      const client = tls && (request.socket as TLSSocket).getPeerCertificate();
      const asked = {
        method,
        path,
        headers,
        body: text === '' ? undefined : JSON.parse(text),
        clientName: client?.subject?.CN,
        clientFingerprint: client?.fingerprint256?.replaceAll(':', '').toLowerCase(),
      };
      seen.push(asked);
      const scripted = await script(asked, seen.length - 1);
      if (scripted.silent) return;
      if (scripted.hangUp) return void request.socket.destroy();
      const body = scripted.body ?? {};
      response.writeHead(scripted.status ?? 200, { 'content-type': 'application/json', ...scripted.headers });
      response.end(typeof body === 'string' ? body : JSON.stringify(body));
    };
  };
  const server = tls ? createTlsServer(tls, listener) : createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: tls ? `https://localhost:${port}` : `http://127.0.0.1:${port}`, seen };
}

/** A refusal in the form of RFC 9457. */
export function problemAnswer(status: number, code: string, more: object = {}, headers: Record<string, string> = {}) {
  return {
    status,
    headers: { 'content-type': 'application/problem+json', ...headers },
    body: { type: 'about:blank', title: 'A title', status, detail: 'A detail', code, request_id: 'req-1', ...more },
  };
}
