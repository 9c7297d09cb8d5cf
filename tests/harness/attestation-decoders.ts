// The decoders of attestation evidence, with what TPMs and devices really sent.
import { generateKeyPairSync } from 'node:crypto';
import { readChallenge } from '#agent/attestation/challenge.ts';
import { parseMeasuredPcrs } from '#agent/attestation/measured-pcrs.ts';
import { parseBundle } from '#agent/attestation/quote-command.ts';
import { readEd25519Key, readSigningKey } from '#agent/attestation/signing-key.ts';
import { readSettings, type Settings } from '#contracts/settings.ts';
import { TrustError } from '#contracts/problems.ts';
import { parseAttestationBasis } from '#protocols/attestation-basis.ts';
import { readBase64url } from '#protocols/base64url.ts';
import { parseEndorsementRoots, verifyEndorsement } from '#protocols/endorsement.ts';
import { parsePcrBaselines, readPcrBaselines } from '#protocols/pcr-baselines.ts';
import { readPcrIndex, readPcrValue, readPcrValues } from '#protocols/pcr.ts';
import { makeSignedMeasurement, verifySignedMeasurement } from '#protocols/signed-measurement.ts';
import { readEndorsementKey } from '#protocols/tpm-credential.ts';
import { readManufacturer, readTpmEvidence } from '#protocols/tpm-evidence.ts';
import { readTpmName, readTpmPublic } from '#protocols/tpm-public.ts';
import { readForeignQuote, verifyTpmQuote } from '#protocols/tpm-quote.ts';
import { readVerifierAnswer } from '#protocols/verifier-answer.ts';
import { readWhole } from '#protocols/tpm-reader.ts';
import { readQuote, readSignature } from '#protocols/tpm-structures.ts';
import { vectors } from '#tests/unit/protocols/tpm-vectors.ts';
import { ofJson, type Decoder } from './fuzz.ts';

const bytesOf = (text: string): Buffer => Buffer.from(text, 'base64url');

/** @param inFile Makes a decoder of the path of a file out of one of its bytes. */
export function attestationDecoders(
  inFile: (name: string, decode: (path: string) => unknown) => Decoder['decode'],
): Readonly<Record<string, Decoder>> {
  const [first] = vectors.quotes;
  if (first === undefined) throw new TypeError('there are recorded quotes');
  const evidences = vectors.quotes.map(({ evidence }) => JSON.stringify(evidence));
  const structures = vectors.quotes.map(({ evidence }) => evidence);
  const endorsement = vectors.endorsement.map(({ ek_public }) => bytesOf(ek_public));
  const now = new Date('2026-12-01T12:00:00Z');
  const nonce = Buffer.alloc(32, 7).toString('base64url');
  const selection = { sha256: [0] } as const;
  const pcrs = { sha256: { '0': 'ab'.repeat(32) } };
  const { privateKey } = generateKeyPairSync('ed25519');
  const measurement = makeSignedMeasurement({ deviceId: 'device-1', nonce, measuredAt: now, pcrs, privateKey });
  const roots = parseEndorsementRoots(vectors.authorities[0]);
  const structured = { refusesWith: ['Malformed'] };
  const challenge = { provider: 'tpm_quote_v1', nonce, expires_at: now.toISOString(), pcr_selection: selection };
  const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return {
    'protocols/attestation-basis.ts#parseAttestationBasis': {
      samples: ['/usr/bin/verify', '["/usr/bin/verify","--strict"]', 'ab'.repeat(32), ...vectors.authorities],
      decode: (bytes) => {
        const text = bytes.toString();
        const settings = { ...readSettings({}), SENTINEL_ATTESTATION_PROVIDER: 'tpm_quote_v1' };
        // One wrong thing at a time, since the first is what is refused.
        const wrongs: readonly Partial<Settings>[] = [
          { SENTINEL_TPM_QUOTE_VERIFIER_COMMAND: text },
          { SENTINEL_ATTESTATION_ALLOWED_ENDORSEMENT_KEYS: [text] },
          { SENTINEL_ATTESTATION_TRUSTED_ENDORSEMENT_ROOT_PATHS: ['roots.pem'] },
        ];
        return refusedOf(wrongs.map((wrong) => () => parseAttestationBasis({ ...settings, ...wrong }, () => text)));
      },
    },
    'protocols/tpm-evidence.ts#readManufacturer': {
      ...structured,
      samples: ['IBM', 'IFX'],
      decode: (bytes) => readManufacturer(bytes.toString()),
    },
    'agent/attestation/challenge.ts#readChallenge': {
      samples: [
        JSON.stringify({ ...challenge, credential_activation: { credential_blob: 'AAA', encrypted_secret: 'AA' } }),
      ],
      decode: ofJson(readChallenge),
    },
    'agent/attestation/measured-pcrs.ts#parseMeasuredPcrs': {
      samples: [JSON.stringify(pcrs)],
      decode: (bytes) => parseMeasuredPcrs(bytes.toString()),
    },
    'agent/attestation/quote-command.ts#parseBundle': {
      samples: evidences,
      decode: (bytes) => parseBundle(bytes.toString(), challenge),
      refusesWith: ['EvidenceProblem'],
    },
    'agent/attestation/signing-key.ts#readSigningKey': {
      samples: [keyPem],
      share: 0.3,
      decode: inFile('signing.key', (path) => readSigningKey({ privatePath: path, publicPath: path })),
      refusesWith: ['FileProblem'],
    },
    'agent/attestation/signing-key.ts#readEd25519Key': {
      samples: [keyPem],
      share: 0.3,
      decode: inFile('ed25519.key', (path) => readEd25519Key(path, 'private')),
      refusesWith: ['FileProblem'],
    },
    'protocols/base64url.ts#readBase64url': {
      ...structured,
      samples: ['AAAA', nonce],
      decode: (bytes) => readBase64url(bytes.toString(), 64),
    },
    'protocols/endorsement.ts#parseEndorsementRoots': {
      samples: vectors.authorities,
      decode: (bytes) => parseEndorsementRoots(bytes.toString()),
    },
    'protocols/endorsement.ts#verifyEndorsement': {
      samples: vectors.endorsement.flatMap(({ certificate }) => certificate ?? []),
      share: 0.5,
      decode: (bytes) =>
        verifyEndorsement({
          certificate: bytes.toString(),
          chain: [vectors.authorities[1]],
          ekPublic: null,
          roots,
          now: new Date('2027-01-01T00:00:00Z'),
        }),
    },
    'protocols/pcr-baselines.ts#readPcrBaselines': {
      samples: [JSON.stringify([{ match_tags: ['kiosk'], pcrs: { sha256: { '0': ['ab'.repeat(32)] } } }])],
      decode: ofJson(readPcrBaselines),
    },
    'protocols/pcr-baselines.ts#parsePcrBaselines': {
      samples: [
        JSON.stringify({ sha256: { '0': ['ab'.repeat(32)] } }),
        JSON.stringify([{ match_tags: ['server'], pcrs: { sha256: { '0': ['ab'.repeat(32)] } } }]),
      ],
      decode: (bytes) => parsePcrBaselines(bytes.toString()),
    },
    'protocols/pcr.ts#readPcrIndex': {
      ...structured,
      samples: ['0', '23'],
      decode: (bytes) => readPcrIndex(bytes.toString()),
    },
    'protocols/pcr.ts#readPcrValue': {
      ...structured,
      samples: ['ab'.repeat(32)],
      decode: (bytes) => readPcrValue(bytes.toString(), 'sha256'),
    },
    'protocols/pcr.ts#readPcrValues': {
      ...structured,
      samples: [JSON.stringify(pcrs)],
      decode: ofJson((value) => readPcrValues(value, selection)),
    },
    'protocols/signed-measurement.ts#verifySignedMeasurement': {
      samples: [JSON.stringify(measurement)],
      decode: ofJson((evidence) =>
        verifySignedMeasurement({
          evidence,
          deviceId: 'device-1',
          challenge: { nonce, selection },
          limits: { maximumAgeSeconds: 300, maximumClockSkewSeconds: 60 },
          now,
        }),
      ),
    },
    'protocols/tpm-credential.ts#readEndorsementKey': { samples: endorsement, decode: readEndorsementKey },
    'protocols/tpm-evidence.ts#readTpmEvidence': { samples: evidences, decode: ofJson(readTpmEvidence) },
    'protocols/tpm-public.ts#readTpmName': { ...structured, samples: endorsement, decode: readTpmName },
    'protocols/tpm-public.ts#readTpmPublic': {
      // OpenSSL's word for a point that is not on its curve; callers refuse whatever goes wrong.
      refusesWith: ['Malformed', 'TypeError'],
      samples: [...endorsement, ...structures.map(({ ak_public }) => bytesOf(ak_public))],
      decode: readTpmPublic,
    },
    'protocols/tpm-quote.ts#verifyTpmQuote': {
      samples: evidences,
      share: 0.5,
      decode: ofJson((evidence) => verifyTpmQuote({ evidence, challenge: first.challenge })),
    },
    'protocols/tpm-quote.ts#readForeignQuote': {
      samples: evidences,
      share: 0.5,
      decode: ofJson((evidence) => readForeignQuote({ evidence, challenge: first.challenge })),
    },
    'protocols/verifier-answer.ts#readVerifierAnswer': {
      samples: [
        JSON.stringify({
          valid: true,
          reason: null,
          pcrs,
          hardware_identity: { binding_id: 'b-1', endorsement_key_id: 'e-1' },
          endorsement_chain: vectors.authorities,
        }),
      ],
      decode: ofJson((answer) => readVerifierAnswer(answer, selection)),
    },
    'protocols/tpm-reader.ts#readWhole': {
      ...structured,
      samples: endorsement,
      decode: (bytes) => readWhole(bytes, (reader) => [reader.uint16(), reader.uint32(), reader.sized(64)]),
    },
    'protocols/tpm-structures.ts#readQuote': {
      ...structured,
      samples: structures.map(({ quote }) => bytesOf(quote)),
      decode: readQuote,
    },
    'protocols/tpm-structures.ts#readSignature': {
      ...structured,
      samples: structures.map(({ signature }) => bytesOf(signature)),
      decode: readSignature,
    },
  };
}

/** All of them, whatever the ones before were refused for. */
function refusedOf(attempts: readonly (() => unknown)[]): unknown[] {
  return attempts.map((attempt) => {
    try {
      return attempt();
    } catch (error) {
      if (!(error instanceof TrustError)) throw error;
      return null;
    }
  });
}
