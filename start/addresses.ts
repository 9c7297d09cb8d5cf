// The addresses of an installation, and the ports behind them, from its settings.
import { TrustError } from '#contracts/problems.ts';
import type { SettingName, Settings } from '#contracts/settings.ts';
import { requireFreePort } from './ports.ts';

type AddressSettings = Pick<
  Settings,
  | 'SENTINEL_HOST'
  | 'SENTINEL_PORT'
  | 'SENTINEL_DEVICE_PORT'
  | 'SENTINEL_HTTP_PORT'
  | 'SENTINEL_PUBLIC_URL'
  | 'SENTINEL_DATABASE_PORT'
  | 'SENTINEL_DATABASE_URL'
  | 'SENTINEL_TEMPORAL_PORT'
  | 'SENTINEL_TEMPORAL_ADDRESS'
  | 'SENTINEL_TEMPORAL_UI_PORT'
  | 'SENTINEL_METRICS_HOST'
  | 'SENTINEL_WORKER_METRICS_PORT'
  | 'SENTINEL_SEALER_METRICS_PORT'
>;

export interface Addresses {
  /** For programs on this machine; no slash at the end. */
  readonly apiUrl: string;
  /** For browsers; no slash at the end. */
  readonly publicUrl: string;
  /** Where devices report. */
  readonly deviceUrl: string;
}

/** @throws TrustError `request.invalid` when nothing would listen */
export function addressesOf(settings: AddressSettings): Addresses {
  const { SENTINEL_PORT: port, SENTINEL_HTTP_PORT: httpPort, SENTINEL_DEVICE_PORT: devicePort } = settings;
  if (port === 0 && httpPort === undefined) {
    throw new TrustError('request.invalid', {
      detail: 'SENTINEL_PORT: 0 needs SENTINEL_HTTP_PORT, or nobody can reach the API',
    });
  }
  const host = nameOf(settings.SENTINEL_HOST);
  const apiUrl = port === 0 ? `http://localhost:${httpPort}` : `https://${host}:${port}`;
  const publicUrl = settings.SENTINEL_PUBLIC_URL?.replace(/\/+$/, '') ?? apiUrl;
  return { apiUrl, publicUrl, deviceUrl: devicePort === undefined ? apiUrl : `https://${host}:${devicePort}` };
}

/** Where the metrics of each process are; that of the API is always there. */
export function metricsUrls(apiUrl: string, settings: AddressSettings): readonly string[] {
  const { SENTINEL_METRICS_HOST: host, SENTINEL_WORKER_METRICS_PORT, SENTINEL_SEALER_METRICS_PORT } = settings;
  const others = [SENTINEL_WORKER_METRICS_PORT, SENTINEL_SEALER_METRICS_PORT].filter((port) => port !== undefined);
  return [
    `${apiUrl}/api/metrics`,
    ...others.map((port) => `http://${host.includes(':') ? `[${host}]` : host}:${port}/metrics`),
  ];
}

/** A loopback or wildcard address is reached by the name that certificates carry. */
function nameOf(host: string): string {
  if (['127.0.0.1', '::1', '0.0.0.0', '::', 'localhost'].includes(host)) return 'localhost';
  return host.includes(':') ? `[${host}]` : host;
}

/**
 * Looks at every port before anything is started.
 *
 * @throws TrustError `request.invalid` for two settings that name one port, `service.unavailable` for a taken one
 */
export async function requirePorts(settings: AddressSettings): Promise<void> {
  const loopback = '127.0.0.1';
  const wanted: readonly (readonly [SettingName, string, number | undefined])[] = [
    ['SENTINEL_PORT', settings.SENTINEL_HOST, settings.SENTINEL_PORT || undefined],
    ['SENTINEL_DEVICE_PORT', settings.SENTINEL_HOST, settings.SENTINEL_DEVICE_PORT],
    ['SENTINEL_HTTP_PORT', loopback, settings.SENTINEL_HTTP_PORT],
    [
      'SENTINEL_DATABASE_PORT',
      loopback,
      settings.SENTINEL_DATABASE_URL === undefined ? settings.SENTINEL_DATABASE_PORT : undefined,
    ],
    [
      'SENTINEL_TEMPORAL_PORT',
      loopback,
      settings.SENTINEL_TEMPORAL_ADDRESS === undefined ? settings.SENTINEL_TEMPORAL_PORT : undefined,
    ],
    [
      'SENTINEL_TEMPORAL_UI_PORT',
      loopback,
      settings.SENTINEL_TEMPORAL_ADDRESS === undefined ? settings.SENTINEL_TEMPORAL_UI_PORT : undefined,
    ],
    ['SENTINEL_WORKER_METRICS_PORT', settings.SENTINEL_METRICS_HOST, settings.SENTINEL_WORKER_METRICS_PORT],
    ['SENTINEL_SEALER_METRICS_PORT', settings.SENTINEL_METRICS_HOST, settings.SENTINEL_SEALER_METRICS_PORT],
  ];
  const seen = new Map<number, SettingName>();
  for (const [setting, host, port] of wanted) {
    if (port === undefined) continue;
    const other = seen.get(port);
    if (other !== undefined)
      throw new TrustError('request.invalid', { detail: `${setting}: ${port} is the port of ${other} already` });
    seen.set(port, setting);
    await requireFreePort(setting, host, port);
  }
}
