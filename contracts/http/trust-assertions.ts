// Trust assertions about devices, and the public keys that they are verified with.
import { Type, type Static } from 'typebox';
import { deviceApprovalStates, trustTiers } from '../states.ts';
import { Exactly, Fingerprint, Instant, Names, Nullable, Uuid } from './common.ts';

export const TrustAssertionQuery = Exactly({
  audience: Type.String({
    pattern: '^[\\x21-\\x2b\\x2d-\\x7e]{1,200}$',
    description: 'The system that is to believe it, as in SENTINEL_TRUST_ASSERTION_ALLOWED_AUDIENCES',
  }),
});

export const TrustAssertion = Type.Object({
  assertion: Type.String({ description: 'The signed JWT; whoever has it can show it until it expires' }),
  assertion_id: Uuid,
  key_id: Type.String({ description: 'RFC 7638' }),
  issuer: Type.String(),
  audience: Type.String(),
  issued_at: Instant,
  expires_at: Instant,
  device_id: Type.String(),
  project: Type.String(),
  trust_tier: Names(trustTiers),
  approval_state: Names(deviceApprovalStates),
  retired: Type.Boolean(),
  certificate_fingerprint_sha256: Nullable(Fingerprint),
});
export type TrustAssertion = Static<typeof TrustAssertion>;

/** RFC 7517. Members that are not named here never leave. */
export const JwkSet = Type.Object({
  keys: Type.Array(
    Type.Object({
      kty: Type.String(),
      crv: Type.String(),
      x: Type.String(),
      kid: Type.String(),
      alg: Type.String(),
      use: Type.String(),
    }),
  ),
});
