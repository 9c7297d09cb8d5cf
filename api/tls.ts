// TLS of the listeners: current versions, no resumed sessions, and a client certificate that is asked for and judged by us.
import { constants } from 'node:crypto';
import type { ServerOptions } from 'node:https';

export interface TlsMaterial {
  /** Certificate chain and key of the server (PEM). */
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
}

/**
 * Options of a listener.
 *
 * @param devices Authorities to name in the handshake; null for a listener that does not ask for a certificate.
 */
export function tlsOptions({ cert, key }: TlsMaterial, devices: readonly string[] | null): ServerOptions {
  return {
    ...secureContextOptions({ cert, key }, devices),
    requestCert: devices !== null,
    // Browsers have none, and what is wrong with a device's is answered as a problem, not as a broken connection.
    rejectUnauthorized: false,
    handshakeTimeout: 10_000,
  };
}

/** The part that may change while a listener is open. */
export function secureContextOptions({ cert, key }: TlsMaterial, devices: readonly string[] | null) {
  return {
    cert,
    key,
    // An empty list, and not none: Node would name every authority that browsers know.
    ca: devices === null ? [] : [...devices],
    minVersion: 'TLSv1.2' as const,
    // A resumed session would skip the certificate that was revoked since.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}
