// GET /metrics of a process that serves nothing else: for Prometheus, on loopback unless a setting says otherwise.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { isIP, type AddressInfo } from 'node:net';
import { TrustError, problems } from '#contracts/problems.ts';
import { sameSecret } from '#protocols/constant-time.ts';

export interface MetricsServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** SENTINEL_MONITORING_BEARER_TOKEN. */
  readonly token: string | undefined;
  readonly registry: { readonly contentType: string; metrics(): Promise<string> };
}

export interface MetricsServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Whether the sender of this header may see the metrics.
 *
 * @throws TrustError `auth.required` | `auth.invalid_credentials`
 */
export function requireMonitoringToken(authorization: string | undefined, token: string | undefined): void {
  if (token === undefined) return;
  const given = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
  if (given === undefined) throw new TrustError('auth.required', { detail: 'Send the monitoring token' });
  if (!sameSecret(given, token)) throw new TrustError('auth.invalid_credentials');
}

/** @throws TrustError `request.invalid` when everybody could read them; the system's error when the port is taken */
export async function serveMetrics({ host, port, token, registry }: MetricsServerOptions): Promise<MetricsServer> {
  if (token === undefined && !isLoopback(host)) {
    throw new TrustError('request.invalid', {
      detail: 'SENTINEL_METRICS_HOST: anything but loopback needs SENTINEL_MONITORING_BEARER_TOKEN',
    });
  }
  const server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000, maxHeaderSize: 8_192 });
  server.maxConnections = 20;
  server.on('request', (request, response) => {
    request.resume();
    const answer = (status: number, body: string, headers: Record<string, string> = {}): void => {
      response.writeHead(status, {
        'content-type': 'text/plain; charset=utf-8',
        'cache-control': 'no-store',
        ...headers,
      });
      response.end(body);
    };
    if (request.method !== 'GET' || request.url !== '/metrics') return answer(404, 'GET /metrics\n');
    try {
      requireMonitoringToken(request.headers.authorization, token);
    } catch (error) {
      const { code } = error as TrustError;
      return answer(problems[code].status, `${code}\n`, { 'www-authenticate': 'Bearer realm="sentinel"' });
    }
    registry.metrics().then(
      (text) => answer(200, text, { 'content-type': registry.contentType }),
      () => answer(500, 'internal.error\n'),
    );
  });
  server.listen(port, host);
  // Rejects when the port cannot be had.
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
