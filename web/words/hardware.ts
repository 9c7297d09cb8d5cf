// Attestation keys and the hardware behind them, in words: what they are called, and what an approval of them means.
import type { AttestationBinding, AttestationProvider } from '#contracts/attestation.ts';
import { plainName } from './names.ts';

export const providerWords: Record<AttestationProvider, string> = {
  tpm_quote_v1: 'Quote of a TPM',
  signed_measurement_v1: 'Measurement signed by the agent',
};

const fieldWords: Readonly<Record<string, string>> = {
  provider: 'Kind of evidence',
  key_id: 'Attestation key',
  binding_id: 'Hardware',
  manufacturer: 'Made by',
};

export const hardwareField = (name: string): string => fieldWords[name] ?? plainName(name);

/** What a device is bound to now; undefined while that is being read. */
export type Bound = AttestationBinding | null | undefined;

/** What approving this key and hardware means for the device. */
export function hardwareChange(bound: Bound, claim: Readonly<Record<string, unknown>>): string {
  const unknown = claim['binding_id'] === null ? ' Nothing says which hardware holds this key.' : '';
  if (bound === undefined) return `With this, only evidence of this key and hardware counts for the device.${unknown}`;
  if (bound === null)
    return `The device is bound to nothing yet. Once this is approved, only evidence of this key and hardware counts for it.${unknown}`;
  const sameKey = bound.key_id === claim['key_id'];
  if (sameKey && bound.binding_id === claim['binding_id'])
    return `This is the key and hardware that the device is bound to already.${unknown}`;
  if (bound.binding_id !== null && bound.binding_id === claim['binding_id'])
    return 'The hardware stays the same, and its attestation key is another. Evidence of the former key will not count any more.';
  if (bound.binding_id === null || claim['binding_id'] === null)
    return `This is not what the device is bound to. Approve it only if somebody has replaced that.${unknown}`;
  return 'This is not the hardware that the device is bound to. Approve it only if somebody has replaced that.';
}
