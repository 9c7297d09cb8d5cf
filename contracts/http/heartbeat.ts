// POST /api/heartbeat: what a device says, and what it hears.
import { Type, type Static } from 'typebox';
import { deviceIdPattern, tagPattern } from '../ids.ts';
import { trustTiers } from '../states.ts';
import { Exactly, Instant, Names, Nullable } from './common.ts';

const ShortText = (maxLength: number) => Type.String({ minLength: 1, maxLength });
export const Tag = Type.String({ pattern: tagPattern });

export const HeartbeatBody = Exactly({
  device_id: Type.String({ pattern: deviceIdPattern }),
  // Judged by hand, after the schema: each wrong form has the one code heartbeat.counter_invalid.
  heartbeat_counter: Type.Optional(Type.Unknown()),
  agent_version: Type.Optional(ShortText(64)),
  hostname: Type.Optional(ShortText(253)),
  platform: Type.Optional(ShortText(64)),
  tags: Type.Optional(Type.Array(Tag, { maxItems: 64 })),
  posture: Type.Optional(
    Type.Record(
      Type.String({ pattern: '^[a-z][a-z0-9_]{0,63}$' }),
      Type.Union([Type.String({ maxLength: 256 }), Type.Number(), Type.Boolean(), Type.Null()]),
      { maxProperties: 64, additionalProperties: false },
    ),
  ),
  directory: Type.Optional(
    Type.Record(Type.String({ pattern: '^[a-z][a-z0-9_]{0,63}$' }), Type.String({ maxLength: 256 }), {
      maxProperties: 32,
      additionalProperties: false,
    }),
  ),
  attestation: Type.Optional(Type.Object({ provider: ShortText(64) })),
  acknowledgements: Type.Optional(
    Type.Array(
      Exactly({ id: ShortText(128), status: ShortText(32), detail: Type.Optional(Type.String({ maxLength: 1024 })) }),
      { maxItems: 64 },
    ),
  ),
});
export type HeartbeatBody = Static<typeof HeartbeatBody>;

export const AttestationChallenge = Type.Object({
  provider: Type.String(),
  nonce: Type.String({ description: '32 bytes, base64url' }),
  expires_at: Instant,
  pcr_selection: Type.Record(Type.String(), Type.Array(Type.Integer())),
  credential_activation: Type.Optional(
    Type.Object({
      credential_blob: Type.String({ description: 'TPM2B_ID_OBJECT, base64url' }),
      encrypted_secret: Type.String({ description: 'TPM2B_ENCRYPTED_SECRET, base64url' }),
    }),
  ),
});
export type AttestationChallenge = Static<typeof AttestationChallenge>;

export const HeartbeatAnswer = Type.Object({
  status: Names(['accepted', 'pending']),
  trust_tier: Names(trustTiers),
  commands: Type.Array(Type.Object({ id: Type.String(), action: Type.String() })),
  attestation_challenge: Nullable(AttestationChallenge),
  acknowledged: Type.Array(Type.String(), {
    description: 'Acknowledgements that are written down and may be forgotten',
  }),
  next_heartbeat_seconds: Type.Integer(),
});
export type HeartbeatAnswer = Static<typeof HeartbeatAnswer>;
