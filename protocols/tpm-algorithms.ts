// The algorithms of TPM 2.0 that something may rest on, by their numbers: TCG Algorithm Registry §3; what is not here is refused.
import { Malformed } from './malformed.ts';

const hashes = {
  0x000b: { name: 'sha256', bytes: 32 },
  0x000c: { name: 'sha384', bytes: 48 },
} as const;
export type TpmHash = (typeof hashes)[keyof typeof hashes];

/** TPM_ECC_CURVE. */
const curves = {
  0x0003: { name: 'P-256', bytes: 32 },
  0x0004: { name: 'P-384', bytes: 48 },
} as const;
export type TpmCurve = (typeof curves)[keyof typeof curves];

const signatureSchemes = {
  0x0014: { name: 'rsassa', keyType: 'rsa' },
  0x0016: { name: 'rsapss', keyType: 'rsa' },
  0x0018: { name: 'ecdsa', keyType: 'ecc' },
} as const;
export type TpmSignatureScheme = (typeof signatureSchemes)[keyof typeof signatureSchemes];

export const algorithmIds = { rsa: 0x0001, aes: 0x0006, null: 0x0010, ecc: 0x0023, cfb: 0x0043 } as const;

export const tpmHash = (id: number): TpmHash => found(hashes, id, 'hash');
export const tpmCurve = (id: number): TpmCurve => found(curves, id, 'curve');
export const tpmSignatureScheme = (id: number): TpmSignatureScheme => found(signatureSchemes, id, 'signature scheme');

/** TPM_ALG_ID of a hash, as two bytes: names begin with it. */
export function hashId({ name }: TpmHash): Buffer {
  return Buffer.from(name === 'sha256' ? '000b' : '000c', 'hex');
}

function found<T>(table: Readonly<Record<number, T>>, id: number, what: string): T {
  const entry = table[id];
  if (entry === undefined) throw new Malformed(`the ${what} 0x${id.toString(16).padStart(4, '0')} is not used here`);
  return entry;
}
