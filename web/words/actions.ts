// Audited actions, in words; those that have none here are said as they are called.
import { plainName } from './names.ts';

const actionWords: Readonly<Record<string, string>> = {
  'attestation.failed': 'Evidence was refused',
  hardware_identity_mismatch: 'Evidence of other hardware or another key',
  'device.attestation.confirmed': 'Evidence verified again by its actor',
  'device.attestation.disputed': 'Evidence not borne out when verified again',
  'device.attestation.key_replaced': 'Another attestation key of the same hardware taken over',
  'device.hardware.bound': 'Bound to attestation key and hardware',
  'device.hardware.rejected': 'Attestation key and hardware turned down',
  'device.trust.updated': 'Trust changed',
};

export const actionTitle = (action: string): string => actionWords[action] ?? plainName(action);
