// Structures of TPM 2.0 that evidence consists of (Part 2): read to the last byte, and nothing of them proven.
import type { PcrSelection } from './pcr.ts';
import { Malformed } from './malformed.ts';
import { tpmHash, tpmSignatureScheme, type TpmHash, type TpmSignatureScheme } from './tpm-algorithms.ts';
import { readWhole, type TpmReader } from './tpm-reader.ts';

/** TPM_GENERATED_VALUE, with which everything begins that a TPM makes up itself: no key signs other data that does. */
const generatedByTpm = 0xff544347;
/** TPM_ST_ATTEST_QUOTE. */
const quoteTag = 0x8018;
/** The largest of TPMU_NAME: the number of a hash, and a digest. */
const maximumNameBytes = 2 + 64;
const maximumDigestBytes = 64;
const maximumRsaBytes = 512;
const maximumCoordinateBytes = 66;

/** TPMS_CLOCK_INFO: what tells a restart. */
export interface TpmClock {
  /** Milliseconds that the TPM has been running, over all restarts. */
  readonly milliseconds: number;
  /** Power was off, or the platform was reset. */
  readonly resetCount: number;
  /** The platform was suspended or restarted since the last reset. */
  readonly restartCount: number;
  /** False when the clock may have shown a higher value before. */
  readonly safe: boolean;
}

/** TPMS_ATTEST of the type TPM_ST_ATTEST_QUOTE. */
export interface TpmQuote {
  /** Qualified name of the key that signed. */
  readonly qualifiedSigner: Buffer;
  readonly extraData: Buffer;
  readonly clock: TpmClock;
  /** Sixteen hex digits, which mean what the manufacturer says. */
  readonly firmwareVersion: string;
  readonly selection: PcrSelection;
  /** Banks in the order in which their registers were hashed. */
  readonly bankOrder: readonly TpmHash['name'][];
  readonly pcrDigest: Buffer;
}

/** @throws Malformed */
export function readQuote(bytes: Buffer): TpmQuote {
  return readWhole(bytes, (reader) => {
    if (reader.uint32() !== generatedByTpm) throw new Malformed('no TPM has made it');
    if (reader.uint16() !== quoteTag) throw new Malformed('it is not a quote');
    const qualifiedSigner = reader.sized(maximumNameBytes);
    const extraData = reader.sized(maximumDigestBytes + 2);
    const clock = {
      milliseconds: safeNumber(reader.uint64()),
      resetCount: reader.uint32(),
      restartCount: reader.uint32(),
      safe: reader.flag(),
    };
    const firmwareVersion = reader.uint64().toString(16).padStart(16, '0');
    const banks = readSelection(reader);
    return {
      qualifiedSigner,
      extraData,
      clock,
      firmwareVersion,
      selection: Object.fromEntries(banks),
      bankOrder: banks.map(([bank]) => bank),
      pcrDigest: reader.sized(maximumDigestBytes),
    };
  });
}

/** TPMT_SIGNATURE: for RSA as it is, for ECDSA the two numbers one after the other, each as long as the curve. */
export interface TpmSignature {
  readonly scheme: TpmSignatureScheme;
  readonly hash: TpmHash;
  readonly rsa?: Buffer;
  readonly ecdsa?: { readonly r: Buffer; readonly s: Buffer };
}

/** @throws Malformed */
export function readSignature(bytes: Buffer): TpmSignature {
  return readWhole(bytes, (reader) => {
    const scheme = tpmSignatureScheme(reader.uint16());
    const hash = tpmHash(reader.uint16());
    if (scheme.keyType === 'rsa') return { scheme, hash, rsa: reader.sized(maximumRsaBytes) };
    return {
      scheme,
      hash,
      ecdsa: { r: reader.sized(maximumCoordinateBytes), s: reader.sized(maximumCoordinateBytes) },
    };
  });
}

/** TPML_PCR_SELECTION: each bank at most once, and none of it empty. */
function readSelection(reader: TpmReader): [TpmHash['name'], number[]][] {
  const count = reader.uint32();
  if (count > 16) throw new Malformed('it selects too many banks');
  const banks: [TpmHash['name'], number[]][] = [];
  while (banks.length < count) {
    const { name } = tpmHash(reader.uint16());
    const bits = reader.bytes(reader.uint8());
    if (bits.length < 1 || bits.length > 4) throw new Malformed('a selection is too short or too long');
    const registers = [...bits].flatMap((byte, index) =>
      [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (byte & (1 << bit)) !== 0).map((bit) => index * 8 + bit),
    );
    if (registers.length === 0 || banks.some(([bank]) => bank === name))
      throw new Malformed('it selects nothing of a bank, or a bank twice');
    banks.push([name, registers]);
  }
  return banks;
}

function safeNumber(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Malformed('a clock shows more than any clock can');
  return Number(value);
}
