// fetch for Node programs, with an authority of our own and a client certificate (mTLS); browsers have theirs.
import { Agent, fetch as undiciFetch } from 'undici';
import type { Fetch } from './request.ts';

export interface TransportOptions {
  /** Authorities to trust the server with (PEM); those of Node when absent. */
  readonly ca?: string | undefined;
  /** Client certificate and its key (PEM). */
  readonly identity?: { readonly certificate: string; readonly key: string } | undefined;
  readonly connectTimeoutMs?: number | undefined;
  /** How long an idle connection is kept; the server's own hint wins when it is shorter. */
  readonly keepAliveMs?: number | undefined;
}

export interface Transport {
  readonly fetch: Fetch;
  /** Ends the idle connections, and those in use when their answers have come. */
  close(): Promise<void>;
}

const largestAnswerBytes = 32 * 1024 * 1024;

/** Makes a transport with connections of its own: two identities never share one. */
export function createTransport(options: TransportOptions = {}): Transport {
  const dispatcher = new Agent({
    connections: 4,
    keepAliveTimeout: options.keepAliveMs ?? 4_000,
    maxResponseSize: largestAnswerBytes,
    connect: {
      timeout: options.connectTimeoutMs ?? 5_000,
      ...(options.ca === undefined ? {} : { ca: options.ca }),
      ...(options.identity === undefined ? {} : { cert: options.identity.certificate, key: options.identity.key }),
    },
  });
  return {
    // undici's own fetch: the one built into Node is of another version and refuses this dispatcher.
    fetch: (url, init) => undiciFetch(url, { ...init, dispatcher }),
    close: () => dispatcher.close(),
  };
}
