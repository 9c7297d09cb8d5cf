// A challenge as the server sends it and the state keeps it. It comes from outside, and goes on to a program: it is read strictly.
import type { PcrSelection } from '#protocols/pcr.ts';
import { requireSelection } from '#protocols/pcr.ts';

export interface AttestationChallenge {
  /** How the evidence is to be made; may be one that this agent does not know. */
  readonly provider: string;
  /** base64url without padding, 32 bytes. */
  readonly nonce: string;
  readonly expires_at: string;
  readonly pcr_selection: PcrSelection;
  readonly credential_activation?: {
    /** TPM2B_ID_OBJECT, base64url. */
    readonly credential_blob: string;
    /** TPM2B_ENCRYPTED_SECRET, base64url. */
    readonly encrypted_secret: string;
  };
}

const structure = /^[A-Za-z0-9_-]{2,4096}$/;

/** `null` for everything that is no challenge. */
export function readChallenge(value: unknown): AttestationChallenge | null {
  const given = Object(value) as Partial<AttestationChallenge>;
  const { provider, nonce, expires_at, pcr_selection, credential_activation } = given;
  const selection = readSelection(pcr_selection);
  if (!matches(provider, /^[a-z0-9_]{1,64}$/) || !matches(nonce, /^[A-Za-z0-9_-]{43}$/)) return null;
  if (!matches(expires_at, /^[0-9T:.Z-]{20,32}$/) || Number.isNaN(Date.parse(expires_at))) return null;
  if (selection === null) return null;
  const challenge = { provider, nonce, expires_at, pcr_selection: selection };
  if (credential_activation === undefined || credential_activation === null) return challenge;
  const { credential_blob, encrypted_secret } = Object(credential_activation) as Record<string, unknown>;
  if (!matches(credential_blob, structure) || !matches(encrypted_secret, structure)) return null;
  return { ...challenge, credential_activation: { credential_blob, encrypted_secret } };
}

function readSelection(value: unknown): PcrSelection | null {
  if (typeof value !== 'object' || value === null) return null;
  const banks = Object.entries(value);
  if (!banks.every(([, registers]) => Array.isArray(registers))) return null;
  try {
    const selection = Object.fromEntries(banks) as PcrSelection;
    requireSelection(selection);
    return selection;
  } catch {
    return null;
  }
}

function matches(value: unknown, form: RegExp): value is string {
  return typeof value === 'string' && form.test(value);
}
