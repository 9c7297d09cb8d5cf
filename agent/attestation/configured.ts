// The provider of a configuration.
import type { Clock } from '#contracts/deps.ts';
import type { AgentConfig } from '../config.ts';
import type { System } from '../system.ts';
import type { EvidenceProvider } from './provider.ts';
import { createQuoteCommand } from './quote-command.ts';
import { createSignedMeasurements } from './signed-measurement.ts';

export interface ProviderDeps {
  readonly system: System;
  readonly clock: Clock;
  /** What the quote command is given as its environment. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** `null` when attestation is off: no pair of keys is named, and no command that quotes. */
export function configuredProvider(config: AgentConfig, deps: ProviderDeps): EvidenceProvider | null {
  const { attestation_private_key_path: privatePath, attestation_public_key_path: publicPath } = config;
  const deviceId = config.device_id;
  if (config.attestation_provider === 'tpm_quote_v1') {
    if (config.tpm_quote_command.length === 0) return null;
    const timeoutMs = config.tpm_quote_timeout_seconds * 1000;
    return createQuoteCommand({
      deviceId,
      command: config.tpm_quote_command,
      timeoutMs,
      environment: deps.environment,
    });
  }
  if (privatePath === null || publicPath === null) return null;
  return createSignedMeasurements(
    { privatePath, publicPath, deviceId, measuredPcrsPath: config.measured_pcrs_path },
    deps,
  );
}
