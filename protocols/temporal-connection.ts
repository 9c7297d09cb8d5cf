// How this installation reaches Temporal's frontend: TLS by setting, and plaintext to this machine only (SA-27).
import { BlockList, isIP } from 'node:net';
import { TrustError } from '#contracts/problems.ts';
import type { Settings } from '#contracts/settings.ts';

/** As both SDK connections take it: `Connection` of the client and `NativeConnection` of the worker. */
export interface TemporalConnection {
  /** host:port */
  readonly address: string;
  readonly tls: TemporalTls | null;
  readonly apiKey?: string;
}

export interface TemporalTls {
  readonly serverRootCACertificate?: Buffer;
  readonly clientCertPair?: { readonly crt: Buffer; readonly key: Buffer };
  readonly serverNameOverride?: string;
}

export type TemporalSettings = Pick<
  Settings,
  | 'SENTINEL_TEMPORAL_ADDRESS'
  | 'SENTINEL_TEMPORAL_PORT'
  | 'SENTINEL_TEMPORAL_TLS_CA'
  | 'SENTINEL_TEMPORAL_TLS_CERT'
  | 'SENTINEL_TEMPORAL_TLS_KEY'
  | 'SENTINEL_TEMPORAL_TLS_SERVER_NAME'
  | 'SENTINEL_TEMPORAL_API_KEY'
>;

const defaultPort = 7233;
const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/**
 * Decides how to connect. Whoever can speak to an unprotected frontend can forge signals, so that one must be on loopback.
 *
 * @param readFile Reads the PEM files that the settings name.
 * @throws TrustError `request.invalid`, which names the setting
 */
export function temporalConnection(settings: TemporalSettings, readFile: (path: string) => Buffer): TemporalConnection {
  const { host, port } = parseAddress(settings);
  const address = `${host}:${port}`;
  const {
    SENTINEL_TEMPORAL_TLS_CA: ca,
    SENTINEL_TEMPORAL_TLS_CERT: certificate,
    SENTINEL_TEMPORAL_TLS_KEY: key,
    SENTINEL_TEMPORAL_TLS_SERVER_NAME: serverName,
    SENTINEL_TEMPORAL_API_KEY: apiKey,
  } = settings;
  if ((certificate === undefined) !== (key === undefined)) {
    throw refused('SENTINEL_TEMPORAL_TLS_CERT and SENTINEL_TEMPORAL_TLS_KEY: set both or none');
  }
  const withTls = [ca, certificate, serverName, apiKey].some((value) => value !== undefined);
  if (!withTls) {
    if (isLoopback(host)) return { address, tls: null };
    throw refused(
      `SENTINEL_TEMPORAL_ADDRESS: ${host} is not this machine, and without TLS anybody on the way could forge decisions. ` +
        'Set SENTINEL_TEMPORAL_TLS_CA, and SENTINEL_TEMPORAL_TLS_CERT with SENTINEL_TEMPORAL_TLS_KEY.',
    );
  }
  return {
    address,
    tls: {
      ...(ca === undefined ? {} : { serverRootCACertificate: readFile(ca) }),
      ...(certificate === undefined || key === undefined
        ? {}
        : { clientCertPair: { crt: readFile(certificate), key: readFile(key) } }),
      ...(serverName === undefined ? {} : { serverNameOverride: serverName }),
    },
    ...(apiKey === undefined ? {} : { apiKey }),
  };
}

/** Only the plain form: gRPC takes other schemes (`dns:`, `unix:`), whose host is not where it seems to be. */
function parseAddress(settings: TemporalSettings): { host: string; port: number } {
  const { SENTINEL_TEMPORAL_ADDRESS: address } = settings;
  if (address === undefined) return { host: '127.0.0.1', port: settings.SENTINEL_TEMPORAL_PORT };
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::([0-9]{1,5}))?$/.exec(address);
  const port = Number(match?.[2] ?? defaultPort);
  if (match?.[1] === undefined || port < 1 || port > 65_535) throw refused('SENTINEL_TEMPORAL_ADDRESS: say host:port');
  return { host: match[1], port };
}

function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true;
  const bare = host.replace(/^\[|\]$/g, '');
  const family = isIP(bare);
  return family !== 0 && loopback.check(bare, family === 6 ? 'ipv6' : 'ipv4');
}

function refused(detail: string): TrustError {
  return new TrustError('request.invalid', { detail });
}
