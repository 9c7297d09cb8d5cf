// What some simulated devices prove what they booted with: parts of an agent's configuration, by device.
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TrustError } from '#contracts/problems.ts';
import { configuredProvider, type ProviderDeps } from '../attestation/configured.ts';
import type { EvidenceProvider } from '../attestation/provider.ts';
import { ConfigError, readConfig } from '../config.ts';

export type EvidenceFor = (deviceId: string) => EvidenceProvider | null;

/** Of other keys a simulated device has no use, but a configuration is not one without them. */
const unused = { server_url: 'https://localhost', certificate_path: '-', private_key_path: '-', state_path: '-' };

/**
 * @param file `null`: no device proves anything.
 * @throws TrustError `request.invalid` when the file or a configuration of it cannot be used
 */
export async function evidenceProviders(file: string | null, deps: ProviderDeps): Promise<EvidenceFor> {
  if (file === null) return () => null;
  try {
    const parts = JSON.parse(await readFile(file, 'utf8')) as Record<string, Readonly<Record<string, unknown>>>;
    const providers = Object.entries(parts).map(([deviceId, part]) => {
      const config = readConfig({ ...unused, ...part, device_id: deviceId }, dirname(file));
      return [deviceId, configuredProvider(config, deps)] as const;
    });
    const byDevice = new Map(providers);
    return (deviceId) => byDevice.get(deviceId) ?? null;
  } catch (cause) {
    const why = cause instanceof ConfigError ? cause.message : 'it cannot be read as JSON';
    throw new TrustError('request.invalid', { detail: `${file}: ${why}`, cause });
  }
}
