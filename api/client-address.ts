// Where a request comes from: the address of its socket, and what the trusted proxy says only when it is the trusted proxy.
import { isIPv6 } from 'node:net';
import type { FastifyRequest } from 'fastify';
import { TrustError } from '#contracts/problems.ts';
import type { Settings } from '#contracts/settings.ts';
import { sameSecret } from '#protocols/constant-time.ts';

export interface TrustedProxy {
  /** Whether the installation has a proxy that may speak for devices. */
  readonly configured: boolean;
  /** Whether this request came from it: from one of its addresses, and with its secret. */
  isSource(request: FastifyRequest): boolean;
  /** Address of the client, for limits and the audit trail; never one that the client itself could have chosen. */
  clientAddress(request: FastifyRequest): string;
}

export type ProxySettings = Pick<
  Settings,
  'SENTINEL_TRUST_PROXY_CERT_HEADERS' | 'SENTINEL_TRUSTED_PROXY_ADDRESSES' | 'SENTINEL_PROXY_SHARED_SECRET'
>;

export const proxySecretHeader = 'x-sentinel-proxy-secret';

/** @throws TrustError `request.invalid` when the proxy is trusted without a secret, or without an address */
export function createTrustedProxy(settings: ProxySettings): TrustedProxy {
  const secret = settings.SENTINEL_PROXY_SHARED_SECRET;
  const addresses = new Set(settings.SENTINEL_TRUSTED_PROXY_ADDRESSES.map(plainAddress));
  const configured = settings.SENTINEL_TRUST_PROXY_CERT_HEADERS;
  if (configured && (secret === undefined || addresses.size === 0)) {
    throw new TrustError('request.invalid', {
      detail:
        'SENTINEL_TRUST_PROXY_CERT_HEADERS: also set SENTINEL_PROXY_SHARED_SECRET and SENTINEL_TRUSTED_PROXY_ADDRESSES',
    });
  }
  const isSource = (request: FastifyRequest): boolean =>
    configured &&
    secret !== undefined &&
    addresses.has(socketAddress(request)) &&
    sameSecret([request.headers[proxySecretHeader] ?? ''].flat().join(), secret);

  return {
    configured,
    isSource,
    clientAddress(request) {
      if (!isSource(request)) return socketAddress(request);
      // The last entry is the one that the proxy wrote; those before it came from outside.
      const forwarded = [request.headers['x-forwarded-for'] ?? []].flat().join(',').split(',').at(-1)?.trim() ?? '';
      return forwarded === '' || forwarded.length > 45 ? socketAddress(request) : plainAddress(forwarded);
    },
  };
}

/** What limits count by: one customer of an IPv6 provider has a whole /64. */
export function addressBlock(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  const missing = tail === undefined ? 0 : 8 - groups.length - (tail === '' ? 0 : tail.split(':').length);
  return [...groups, ...Array<string>(missing).fill('0'), ...(tail ?? '').split(':')].slice(0, 4).join(':');
}

function socketAddress(request: FastifyRequest): string {
  return plainAddress(request.socket.remoteAddress ?? '');
}

/** One spelling of an IPv4 address, also where the listener speaks IPv6. */
function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
}
