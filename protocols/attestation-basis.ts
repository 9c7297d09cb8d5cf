// What evidence is judged by: reference values and limits, the same for every device, known by their digest.
import { attestationProviders, type AttestationBasis, type AttestationProvider } from '#contracts/attestation.ts';
import { TrustError } from '#contracts/problems.ts';
import type { Settings } from '#contracts/settings.ts';
import { digestOf } from './canonical-json.ts';
import { parseEndorsementRoots, type EndorsementRoot } from './endorsement.ts';
import { evidenceFault } from './evidence-fault.ts';
import { Malformed } from './malformed.ts';
import { readPcrBaselines } from './pcr-baselines.ts';

const keyIdForm = /^[0-9a-f]{64}$/;
const maximumArguments = 64;

/** What stands behind the settings of attestation. */
export interface AttestationSetup {
  readonly basis: AttestationBasis;
  readonly required: boolean;
  readonly verifier: {
    /** Program and arguments; null for the built-in verifier. */
    readonly command: readonly [string, ...string[]] | null;
    readonly timeoutMs: number;
  };
}

/**
 * Reads the settings of attestation.
 *
 * @param readText Reads a file of `SENTINEL_ATTESTATION_TRUSTED_ENDORSEMENT_ROOT_PATHS`.
 * @returns null when nobody is asked for evidence
 * @throws TrustError `request.invalid` whose message names the setting that is wrong
 */
export function parseAttestationBasis(settings: Settings, readText: (path: string) => string): AttestationSetup | null {
  const provider = readProvider(settings);
  if (provider === null) return null;
  const roots = settings.SENTINEL_ATTESTATION_TRUSTED_ENDORSEMENT_ROOT_PATHS.map((path) => readRoots(path, readText));
  if (settings.SENTINEL_ATTESTATION_REQUIRE_ENDORSEMENT_CHAIN && roots.length === 0)
    throw wrong(
      'SENTINEL_ATTESTATION_REQUIRE_ENDORSEMENT_CHAIN',
      'needs SENTINEL_ATTESTATION_TRUSTED_ENDORSEMENT_ROOT_PATHS',
    );
  const verifierCommand = readCommand(settings.SENTINEL_TPM_QUOTE_VERIFIER_COMMAND);
  const baselines = settings.SENTINEL_ATTESTATION_PCR_BASELINES_JSON;
  return {
    basis: {
      provider,
      verifier: verifierCommand === null || provider !== 'tpm_quote_v1' ? 'built_in' : 'command',
      baselines: baselines === null || baselines === undefined ? [] : readPcrBaselines(baselines),
      challenge_ttl_seconds: settings.SENTINEL_ATTESTATION_CHALLENGE_TTL_SECONDS,
      max_evidence_age_seconds: settings.SENTINEL_ATTESTATION_MAX_EVIDENCE_AGE_SECONDS,
      max_clock_skew_seconds: settings.SENTINEL_ATTESTATION_MAX_CLOCK_SKEW_SECONDS,
      require_hardware_binding: settings.SENTINEL_ATTESTATION_REQUIRE_HARDWARE_BINDING,
      allow_key_rotation_with_stable_binding: settings.SENTINEL_ATTESTATION_ALLOW_KEY_ROTATION_WITH_STABLE_BINDING,
      require_endorsement_chain: settings.SENTINEL_ATTESTATION_REQUIRE_ENDORSEMENT_CHAIN,
      endorsement_roots: roots,
      allowed_tpm_manufacturers: settings.SENTINEL_ATTESTATION_ALLOWED_TPM_MANUFACTURERS,
      allowed_endorsement_keys: readKeyIds(settings.SENTINEL_ATTESTATION_ALLOWED_ENDORSEMENT_KEYS),
    },
    required: settings.SENTINEL_ATTESTATION_REQUIRED,
    verifier: {
      command: verifierCommand,
      timeoutMs: settings.SENTINEL_TPM_QUOTE_VERIFIER_TIMEOUT_SECONDS * 1000,
    },
  };
}

/** What a basis is kept under: lower-case hex SHA-256 over its canonical form. */
export function basisDigest(basis: AttestationBasis): string {
  return digestOf(basis);
}

/**
 * The manufacturers of a basis. They are kept, since reading certificates takes longer than all else about a quote.
 *
 * @throws TrustError `attestation.failed` when there should be some, and none of them can be relied on
 */
export function endorsementRootsOf({ endorsement_roots: pems }: AttestationBasis): readonly EndorsementRoot[] {
  if (pems.length === 0) return [];
  const text = pems.join('\n');
  if (kept?.text !== text) kept = { text, roots: readTrusted(text) };
  return kept.roots;
}

/** A file that cannot be relied on is empty here. That nobody is left is not the same as that nobody was ever named. */
function readTrusted(text: string): readonly EndorsementRoot[] {
  try {
    return parseEndorsementRoots(text);
  } catch (cause) {
    throw evidenceFault('endorsement_untrusted', 'No manufacturer of TPMs is trusted here at present', { cause });
  }
}

/** By the text itself, so that only these bytes can ever stand for it. */
let kept: { readonly text: string; readonly roots: readonly EndorsementRoot[] } | null = null;

function readProvider(settings: Settings): AttestationProvider | null {
  const name = settings.SENTINEL_ATTESTATION_PROVIDER ?? null;
  if (name === null) {
    if (settings.SENTINEL_ATTESTATION_REQUIRED)
      throw wrong('SENTINEL_ATTESTATION_REQUIRED', 'needs SENTINEL_ATTESTATION_PROVIDER');
    return null;
  }
  const provider = attestationProviders.find((known) => known === name);
  if (provider === undefined)
    throw wrong('SENTINEL_ATTESTATION_PROVIDER', `is not one of ${attestationProviders.join(', ')}`);
  return provider;
}

function readRoots(path: string, readText: (path: string) => string): string {
  const setting = 'SENTINEL_ATTESTATION_TRUSTED_ENDORSEMENT_ROOT_PATHS';
  try {
    const pem = readText(path);
    parseEndorsementRoots(pem);
    return pem;
  } catch (cause) {
    const why = cause instanceof TrustError ? cause.message : 'the file cannot be read';
    throw wrong(setting, `${path}: ${why}`, cause);
  }
}

function readKeyIds(ids: readonly string[]): readonly string[] {
  if (!ids.every((id) => keyIdForm.test(id)))
    throw wrong('SENTINEL_ATTESTATION_ALLOWED_ENDORSEMENT_KEYS', 'is not a list of 64 lower-case hex digits each');
  return ids;
}

/** A path, or a JSON list of the program and its arguments. */
function readCommand(text: string | null | undefined): AttestationSetup['verifier']['command'] {
  if (text === null || text === undefined) return null;
  try {
    const words: unknown = text.startsWith('[') ? JSON.parse(text) : [text];
    if (!Array.isArray(words) || words.length > maximumArguments || !words.every(isWord))
      throw new Malformed('it is not a list of texts');
    const [program, ...others] = words as string[];
    // Else it would be looked for in folders that somebody may write to.
    if (program === undefined || !/^(?:\/|[A-Za-z]:\\)/.test(program)) throw new Malformed('the path is not absolute');
    return [program, ...others];
  } catch (cause) {
    const why = cause instanceof Malformed ? cause.message : 'it is neither a path nor a JSON list';
    throw wrong('SENTINEL_TPM_QUOTE_VERIFIER_COMMAND', why, cause);
  }
}

function isWord(word: unknown): word is string {
  return typeof word === 'string' && word !== '' && !word.includes('\0');
}

function wrong(setting: string, why: string, cause?: unknown): TrustError {
  return new TrustError('request.invalid', { detail: `${setting}: ${why}`, cause });
}
