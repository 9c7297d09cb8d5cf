// TPM quotes: real ones of every kind are accepted, and nothing that differs from them in a byte.
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { TpmEvidenceOnTheWire } from '#protocols/tpm-evidence.ts';
import { verifyTpmQuote } from '#protocols/tpm-quote.ts';
import { bytesOf, flipped, quoteVector, refusalOf, refuses, textOf, vectors, type QuoteVector } from './tpm-vectors.ts';

const rsa = quoteVector('rsassa', 'sha256');
const p256 = quoteVector('ecdsa', 'sha256', 'ecc');

type Fields = Partial<Record<keyof TpmEvidenceOnTheWire, unknown>>;
const judge = ({ evidence, challenge }: QuoteVector, fields: Fields = {}) =>
  verifyTpmQuote({ evidence: { ...evidence, ...fields }, challenge });

/** A quote of any content under a key of ours, which no TPM would sign. */
function forge(change: { attest?: (quote: Buffer) => Buffer; area?: (akPublic: Buffer) => Buffer }): Fields {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const area = Buffer.from(bytesOf(p256.evidence.ak_public));
  Buffer.concat([bytesOf(x), Buffer.from('0020', 'hex'), bytesOf(y)]).copy(area, area.length - 66);
  const akPublic = change.area?.(area) ?? area;
  const name = createHash('sha256').update(akPublic.subarray(2)).digest();
  const quote = Buffer.from(bytesOf(p256.evidence.quote));
  name.copy(quote, 10);
  const attest = change.attest?.(quote) ?? quote;
  const signature = sign('sha256', attest, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  const parts = [Buffer.from('0018000b0020', 'hex'), signature.subarray(0, 32), Buffer.from('0020', 'hex')];
  return {
    quote: textOf(attest),
    signature: textOf(Buffer.concat([...parts, signature.subarray(32)])),
    ak_public: textOf(akPublic),
  };
}

/** Offsets in a quote of a key whose name is 34 bytes, answering 32 bytes of nonce. */
const offsets = { extraData: 44, clock: 76, safe: 92, selection: 101 } as const;

describe('verifyTpmQuote', () => {
  it('accepts real quotes: RSASSA, RSAPSS and ECDSA, SHA-256 and SHA-384, P-256 and P-384', () => {
    for (const vector of vectors.quotes) {
      const verified = judge(vector);
      assert.deepEqual(verified.pcrs, vector.evidence.pcrs);
      assert.equal(verified.akName, vector.ak_name, 'the name that the TPM itself has for the key');
      assert.equal(verified.scheme, vector.kind.scheme);
      assert.equal(verified.hash, vector.kind.hash);
      assert.equal(verified.signerParent, 'endorsement_key');
      assert.match(verified.firmwareVersion, /^[0-9a-f]{16}$/);
      assert.ok(verified.clock.milliseconds > 0 && verified.clock.safe);
    }
    assert.equal(new Set(vectors.quotes.map(({ kind }) => kind.scheme + kind.hash + kind.key)).size, 8);
  });

  it('shows where a key stands that is not below the endorsement key that was sent', () => {
    const { ek_public: _, ...without } = p256.evidence;
    assert.equal(verifyTpmQuote({ evidence: without, challenge: p256.challenge }).signerParent, null);
    assert.equal(judge(p256, { ek_public: rsa.evidence.ek_public }).signerParent, null);
  });

  it('refuses every vector with any one byte of it changed (SA-02)', () => {
    for (const vector of vectors.quotes) {
      for (const field of ['quote', 'signature', 'ak_public'] as const) {
        const bytes = bytesOf(vector.evidence[field]);
        for (let position = 0; position < bytes.length; position += 1) {
          const changed = textOf(flipped(bytes, position, position % 8));
          const message = `${JSON.stringify(vector.kind)} ${field}[${position}]`;
          // A public area that differs is another key: it may verify, but never under the name that was enrolled.
          const other = field === 'ak_public' ? nameOf(vector, { [field]: changed }) : null;
          if (other === null) refusalOf(() => judge(vector, { [field]: changed }), message);
          else assert.notEqual(other, vector.ak_name, message);
        }
      }
    }
  });

  it('refuses every reported register with any one digit changed (SA-02)', () => {
    for (const vector of vectors.quotes) {
      for (const [bank, values] of Object.entries(vector.evidence.pcrs)) {
        for (const [register, value] of Object.entries(values)) {
          for (let digit = 0; digit < value.length; digit += 1) {
            const other = value[digit] === '0' ? '1' : '0';
            const changed = value.slice(0, digit) + other + value.slice(digit + 1);
            const pcrs = { ...vector.evidence.pcrs, [bank]: { ...values, [register]: changed } };
            refuses('pcr_digest', () => judge(vector, { pcrs }));
          }
        }
      }
    }
  });

  it('refuses structures that are cut off or too long', () => {
    for (const field of ['quote', 'signature', 'ak_public', 'ek_public'] as const) {
      const bytes = bytesOf(rsa.evidence[field] ?? '');
      for (let length = 1; length < bytes.length; length += 1)
        refusalOf(() => judge(rsa, { [field]: textOf(bytes.subarray(0, length)) }), `${field} ${length}`);
      refuses('malformed', () => judge(rsa, { [field]: textOf(Buffer.concat([bytes, Buffer.of(0)])) }), field);
    }
  });

  it('refuses the quote of another challenge, and a nonce that only the bundle names', () => {
    const other = vectors.quotes.at(-1)?.challenge.nonce ?? '';
    refuses('attestation.nonce_unknown', () => judge(rsa, { nonce: other }));
    const challenge = { ...rsa.challenge, nonce: other };
    refuses('attestation.nonce_unknown', () => judge({ ...rsa, challenge }));
    refuses('attestation.nonce_unknown', () => judge({ ...rsa, challenge }, { nonce: other }));
  });

  it('refuses more registers, fewer and others than were asked for', () => {
    const asked = (selection: QuoteVector['challenge']['selection']) => ({
      ...rsa,
      challenge: { ...rsa.challenge, selection },
    });
    refuses('pcr_selection', () => judge(asked({ sha256: [0, 1, 2, 4, 7] })));
    refuses('pcr_selection', () => judge(asked({ sha256: [0, 1, 2, 4, 7, 14, 15] })));
    refuses('pcr_selection', () => judge(asked({ sha384: [0, 1, 2, 4, 7, 14] })));
    const { sha256 = {} } = rsa.evidence.pcrs;
    const { 14: _, ...fewer } = sha256;
    refuses('pcr_selection', () => judge(rsa, { pcrs: { sha256: fewer } }));
    refuses('pcr_selection', () => judge(rsa, { pcrs: { sha256: { ...sha256, 15: '00'.repeat(32) } } }));
    refuses('malformed', () => judge(rsa, { pcrs: { sha256, sha384: {} } }));
    refuses('malformed', () => judge(rsa, { pcrs: { sha256: { ...sha256, 14: '00'.repeat(48) } } }));
    refuses('malformed', () => judge(rsa, { pcrs: { sha256: { ...sha256, 14: sha256[14]?.toUpperCase() } } }));
  });

  it('asks for something: a challenge without registers is a mistake of ours', () => {
    for (const selection of [{}, { sha256: [] }, { sha256: [1, 0] }, { sha256: [0, 0] }, { sha256: [24] }])
      assert.throws(() => judge({ ...rsa, challenge: { ...rsa.challenge, selection } }), RangeError);
  });

  it('refuses a signature by another key, of another scheme or another hash', () => {
    refuses('algorithm_unfit', () => judge(rsa, { signature: p256.evidence.signature }));
    refuses('algorithm_unfit', () => judge(rsa, { ak_public: quoteVector('rsapss', 'sha256').evidence.ak_public }));
    refuses('algorithm_unfit', () => judge(rsa, { ak_public: quoteVector('rsassa', 'sha384').evidence.ak_public }));
    const another = forge({});
    refuses('signature_invalid', () => judge(p256, { ak_public: another.ak_public }));
    refuses('signature_invalid', () => judge(p256, { signature: another.signature }));
    const signature = bytesOf(p256.evidence.signature);
    const zeros = Buffer.concat([
      Buffer.from('0018000b0020', 'hex'),
      Buffer.alloc(32),
      Buffer.from('0020', 'hex'),
      Buffer.alloc(32),
    ]);
    refuses('signature_invalid', () => judge(p256, { signature: textOf(zeros) }));
    const longer = Buffer.concat([signature.subarray(0, 4), Buffer.from('002100', 'hex'), signature.subarray(6)]);
    refuses('malformed', () => judge(p256, { signature: textOf(longer) }));
  });

  it('refuses algorithms that are not of the table, by their numbers', () => {
    const ids = { sha1: '0004', sha512: '000d', ecdaa: '001a', sm2: '001b', hmac: '0005', null: '0010' };
    for (const [name, id] of Object.entries(ids)) {
      for (const at of [0, 2]) {
        const signature = Buffer.from(bytesOf(rsa.evidence.signature));
        Buffer.from(id, 'hex').copy(signature, at);
        refuses('malformed', () => judge(rsa, { signature: textOf(signature) }), `${name} at ${at}`);
      }
    }
  });

  it('takes a forged quote that is whole only as that of another key', () => {
    const forged = judge(p256, forge({}));
    assert.notEqual(forged.akName, p256.ak_name);
    assert.equal(forged.signerParent, null);
  });

  it('refuses what is signed but is no quote that a TPM makes', () => {
    const put = (offset: number, hex: string) => (quote: Buffer) => {
      Buffer.from(hex, 'hex').copy(quote, offset);
      return quote;
    };
    refuses('malformed', () => judge(p256, forge({ attest: put(0, 'ff544348') })), 'magic');
    refuses('malformed', () => judge(p256, forge({ attest: put(4, '8017') })), 'a certification instead of a quote');
    refuses('malformed', () => judge(p256, forge({ attest: put(8, '000c') })), 'a signer with another hash');
    refuses('malformed', () => judge(p256, forge({ attest: put(offsets.clock, 'ffffffffffffffff') })), 'clock');
    refuses('malformed', () => judge(p256, forge({ attest: put(offsets.safe, '02') })), 'neither safe nor unsafe');
    refuses('attestation.nonce_unknown', () => judge(p256, forge({ attest: put(offsets.extraData, '00') })));
    refuses('malformed', () => judge(p256, forge({ attest: put(offsets.selection, '00000011') })), 'banks');
    refuses('malformed', () => judge(p256, forge({ attest: put(offsets.selection + 4, '0004') })), 'the SHA-1 bank');
    refuses('malformed', () => judge(p256, forge({ attest: put(offsets.selection + 4, '000c') })), 'a bank twice');
    refuses(
      'malformed',
      () => judge(p256, forge({ attest: put(offsets.selection + 7, '000000') })),
      'nothing of a bank',
    );
    refuses('pcr_selection', () => judge(p256, forge({ attest: put(offsets.selection + 7, '810080') })), 'one more');
    const tail = (quote: Buffer): Buffer => Buffer.concat([quote, Buffer.of(0)]);
    refuses('malformed', () => judge(p256, forge({ attest: tail })), 'a byte after the end');
  });

  it('tells a restart: the counters and the clock are those of the quote', () => {
    const clock = Buffer.from('00000000000186a0000000070000000300', 'hex');
    const attest = (quote: Buffer): Buffer => {
      clock.copy(quote, offsets.clock);
      return quote;
    };
    assert.deepEqual(judge(p256, forge({ attest })).clock, {
      milliseconds: 100_000,
      resetCount: 7,
      restartCount: 3,
      safe: false,
    });
  });

  it('refuses an attestation key that may do anything else than sign what its TPM made up', () => {
    const attributes = (hex: string) => (area: Buffer) => {
      Buffer.from(hex, 'hex').copy(area, 6);
      return area;
    };
    assert.equal(bytesOf(p256.evidence.ak_public).readUInt32BE(6), 0x00050072);
    assert.ok(judge(p256, forge({ area: attributes('00050472') })), 'noDA does not matter');
    const unfit = {
      'not restricted: signs anything': '00040072',
      'not fixedTPM: can be copied': '00050070',
      'not fixedParent': '00050062',
      'not born in the TPM': '00050052',
      'also decrypts': '00070072',
      'does not sign': '00010072',
    };
    for (const [why, hex] of Object.entries(unfit))
      refuses('key_unfit', () => judge(p256, forge({ area: attributes(hex) })), why);
    refuses('malformed', () => judge(p256, forge({ area: attributes('80050072') })), 'a reserved bit');
    refuses('key_unfit', () => judge(p256, { ak_public: p256.evidence.ek_public }), 'the endorsement key');
  });

  it('refuses weak keys: RSA of less than 2048 bits, small exponents, curves that are not of the table', () => {
    const area = bytesOf(rsa.evidence.ak_public);
    const modulus = area.length - 256;
    const change = (offset: number, hex: string): string => {
      const other = Buffer.from(area);
      Buffer.from(hex, 'hex').copy(other, offset);
      return textOf(other);
    };
    assert.equal(area.readUInt16BE(modulus - 8), 2048);
    refuses('malformed', () => judge(rsa, { ak_public: change(modulus - 8, '0400') }), '1024 bits');
    refuses('malformed', () => judge(rsa, { ak_public: change(modulus - 6, '00000003') }), 'exponent 3');
    refuses('malformed', () => judge(rsa, { ak_public: change(modulus - 6, '00010000') }), 'an even exponent');
    refuses('malformed', () => judge(rsa, { ak_public: change(modulus, '00') }), 'a shorter modulus in disguise');
    const short = Buffer.concat([
      area.subarray(0, modulus - 8),
      Buffer.from('0400000000000080', 'hex'),
      area.subarray(modulus, modulus + 128),
    ]);
    short.writeUInt16BE(short.length - 2);
    refuses('malformed', () => judge(rsa, { ak_public: textOf(short) }), 'a whole key of 1024 bits');
    for (const curve of ['0001', '0002', '0005', '0010', '0020']) {
      const ecc = Buffer.from(bytesOf(p256.evidence.ak_public));
      Buffer.from(curve, 'hex').copy(ecc, ecc.length - 72);
      assert.equal(bytesOf(p256.evidence.ak_public).readUInt16BE(ecc.length - 72), 3);
      refuses('malformed', () => judge(p256, { ak_public: textOf(ecc) }), curve);
    }
    const beside = flipped(bytesOf(p256.evidence.ak_public), bytesOf(p256.evidence.ak_public).length - 1, 0);
    refuses('malformed', () => judge(p256, { ak_public: textOf(beside) }), 'a point beside the curve');
  });

  it('refuses bundles with members that are missing, unknown or of another kind', () => {
    for (const evidence of [null, 1, 'x', [], {}, { ...rsa.evidence, provider: 'signed_measurement_v1' }])
      refuses('malformed', () => verifyTpmQuote({ evidence, challenge: rsa.challenge }));
    refuses('malformed', () => judge(rsa, { more: 1 } as Fields));
    for (const field of Object.keys(rsa.evidence) as (keyof TpmEvidenceOnTheWire)[])
      for (const value of [null, 1, {}, [], '', '!', 'A', `${'A'.repeat(9000)}`])
        refusalOf(() => judge(rsa, { [field]: value }), `${field} ${JSON.stringify(value)}`);
    refuses('malformed', () => judge(rsa, { quote: `${rsa.evidence.quote}=` }), 'padding');
    refuses('malformed', () => judge(rsa, { endorsement_chain: Array.from({ length: 8 }, () => '') }));
    refuses('malformed', () => judge(rsa, { tpm_manufacturer: 'a\nb' }));
  });

  it('answers anything at all with codes of the table', () => {
    const bytes = fc.uint8Array({ maxLength: 400 }).map((value) => textOf(Buffer.from(value)));
    const mutated = (good: string) =>
      fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 4 }).map((changes) => {
        const other = Buffer.from(bytesOf(good));
        for (const [at, value] of changes) if (at < other.length) other[at] = value;
        return textOf(other);
      });
    const field = (name: 'quote' | 'signature' | 'ak_public' | 'ek_public') =>
      fc.oneof(bytes, mutated(p256.evidence[name] ?? ''), fc.constant(p256.evidence[name]), fc.jsonValue());
    fc.assert(
      fc.property(
        fc.record({
          quote: field('quote'),
          signature: field('signature'),
          ak_public: field('ak_public'),
          ek_public: field('ek_public'),
          pcrs: fc.oneof(fc.jsonValue(), fc.constant(p256.evidence.pcrs)),
        }),
        (fields) => {
          const good = Object.entries(fields).every(
            ([name, value]) => value === p256.evidence[name as keyof TpmEvidenceOnTheWire],
          );
          const other = nameOf(p256, fields);
          assert.ok(other === null || other !== p256.ak_name || good || fields.ek_public !== p256.evidence.ek_public);
        },
      ),
      { numRuns: 1000, seed: 20261201 },
    );
  });
});

/** The name of the key that verified; null for a refusal. */
function nameOf(vector: QuoteVector, fields: Fields): string | null {
  let name: string | null = null;
  try {
    name = judge(vector, fields).akName;
  } catch (error) {
    refusalOf(() => {
      throw error;
    });
  }
  return name;
}
