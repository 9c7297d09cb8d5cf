// Reader for the structures of TPM 2.0, which are big-endian fields without gaps (TPM 2.0 Part 2 §4): every byte is accounted for.
import { Malformed } from './malformed.ts';

export class TpmReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  uint8(): number {
    return this.bytes(1).readUInt8();
  }

  uint16(): number {
    return this.bytes(2).readUInt16BE();
  }

  uint32(): number {
    return this.bytes(4).readUInt32BE();
  }

  uint64(): bigint {
    return this.bytes(8).readBigUInt64BE();
  }

  /** TPMI_YES_NO: nothing but 0 and 1. */
  flag(): boolean {
    const value = this.uint8();
    if (value > 1) throw new Malformed('a flag is neither yes nor no');
    return value === 1;
  }

  /** A view of the next bytes. */
  bytes(length: number): Buffer {
    const end = this.#offset + length;
    if (end > this.#bytes.length) throw new Malformed('it is cut off');
    const bytes = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return bytes;
  }

  /** A TPM2B: two bytes of length, and that many bytes. */
  sized(maximum: number): Buffer {
    const length = this.uint16();
    if (length > maximum) throw new Malformed('a field is too long');
    return this.bytes(length);
  }

  end(): void {
    if (this.#offset !== this.#bytes.length) throw new Malformed('bytes follow its end');
  }
}

/** Reads a whole structure: a byte after its end is a refusal. */
export function readWhole<T>(bytes: Buffer, read: (reader: TpmReader) => T): T {
  const reader = new TpmReader(bytes);
  const value = read(reader);
  reader.end();
  return value;
}

/** Writes a TPM2B. */
export function sizedField(bytes: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
