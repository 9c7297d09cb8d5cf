// The provider signed_measurement_v1: values that the agent finds, signed with its own key.
import type { Clock } from '#contracts/deps.ts';
import { makeSignedMeasurement, signedMeasurement } from '#protocols/signed-measurement.ts';
import type { System } from '../system.ts';
import { findPcrValues } from './measured-pcrs.ts';
import type { EvidenceProvider } from './provider.ts';
import { readSigningKey, type KeyPaths } from './signing-key.ts';

/** Reads its files each time, so that a pair or values that are replaced count from the next challenge on. */
export function createSignedMeasurements(
  options: KeyPaths & { readonly deviceId: string; readonly measuredPcrsPath: string | null },
  { system, clock }: { readonly system: System; readonly clock: Clock },
): EvidenceProvider {
  return {
    name: signedMeasurement,
    async measure({ nonce, pcr_selection }) {
      const privateKey = await readSigningKey(options);
      const pcrs = await findPcrValues(pcr_selection, { path: options.measuredPcrsPath, system });
      return {
        ...makeSignedMeasurement({ deviceId: options.deviceId, nonce, measuredAt: clock.now(), pcrs, privateKey }),
      };
    },
  };
}
