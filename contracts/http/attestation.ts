// /api/devices/<id>/attestation: where a device stands with its evidence, and the verdicts that led there. Evidence is not shown.
import { Type, type Static } from 'typebox';
import { attestationProviders, attestationStandings, verdictOutcomes } from '../attestation.ts';
import { attestationStates } from '../states.ts';
import { Digest, Exactly, Instant, List, ListQuery, Names, Nullable } from './common.ts';

const Registers = Type.Record(Type.String(), Type.Array(Type.Integer()), {
  description: 'Registers by bank: {"sha256": [0, 7]}',
});

export const AttestationStatus = Type.Object({
  device_id: Type.String(),
  provider: Nullable(Names(attestationProviders)),
  required: Type.Boolean(),
  state: Names(attestationStates),
  standing: Nullable(
    Type.Object(
      {
        state: Names(attestationStandings),
        generation: Type.Integer(),
        confirmed_generation: Nullable(Type.Integer()),
        verdict: Type.Integer({ description: 'Number of the last verdict; 0 before the first' }),
        unrecorded: Type.Integer({
          description: 'Pieces of evidence since then that moved nothing, and were counted only',
        }),
        provider: Names(attestationProviders),
        key_id: Nullable(Type.String()),
        binding_id: Nullable(Type.String()),
        manufacturer: Nullable(Type.String()),
        verified_at: Nullable(Instant),
        fresh_until: Nullable(Instant),
        code: Nullable(Type.String()),
        reason: Nullable(Type.String()),
        detail: Nullable(Type.String()),
      },
      { description: 'What its evidence came to; null before it was asked for the first time' },
    ),
  ),
  binding: Nullable(
    Type.Object(
      { provider: Names(attestationProviders), key_id: Type.String(), binding_id: Nullable(Type.String()) },
      { description: 'The key and the hardware that people have decided upon' },
    ),
  ),
  registers: Nullable(Registers),
  baselines: Type.Array(
    Type.Object({
      match_tags: Type.Array(Type.String()),
      pcrs: Type.Record(Type.String(), Type.Record(Type.String(), Type.Array(Type.String()))),
    }),
    { description: 'Approved values for the assigned tags of this device; each entry is enough' },
  ),
  challenge: Nullable(Type.Object({ provider: Names(attestationProviders), expires_at: Instant })),
});
export type AttestationStatus = Static<typeof AttestationStatus>;

const VerdictResult = Type.Object({
  outcome: Names(verdictOutcomes),
  code: Nullable(Type.String()),
  reason: Nullable(Type.String()),
  detail: Nullable(Type.String()),
  key_id: Nullable(Type.String()),
  binding_id: Nullable(Type.String()),
  manufacturer: Nullable(Type.String()),
  fresh_until: Nullable(Instant),
});
export type VerdictResult = Static<typeof VerdictResult>;

export const AttestationVerdict = Type.Object({
  verdict: Type.Integer(),
  at: Instant,
  generation: Type.Integer(),
  changed: Type.Boolean({ description: 'Whether it moved the standing of the device' }),
  unrecorded: Type.Integer({
    description: 'Pieces of evidence between the verdict before and this one that moved nothing, and were counted only',
  }),
  evidence_digest: Digest,
  basis_digest: Digest,
  ...VerdictResult.properties,
});
export type AttestationVerdict = Static<typeof AttestationVerdict>;

export const VerdictListQuery = Exactly(ListQuery);
export const AttestationVerdictList = List(AttestationVerdict);
export type AttestationVerdictList = Static<typeof AttestationVerdictList>;

export const ReplayQuery = Exactly({
  at: Type.Optional(
    Type.String({ format: 'date-time', description: 'The verdict in force at this time; now when absent' }),
  ),
});
export type ReplayQuery = Static<typeof ReplayQuery>;

export const VerdictReplay = Type.Object({
  device_id: Type.String(),
  at: Instant,
  verdict: Type.Integer(),
  judged_at: Instant,
  same: Type.Boolean({ description: 'Whether nothing differs and both digests are those of what is stored' }),
  stored: VerdictResult,
  computed: VerdictResult,
  differing: Type.Array(Type.String(), { description: 'Members of the verdict that differ, also those not shown' }),
  evidence_digest: Digest,
  evidence_digest_matches: Type.Boolean(),
  basis_digest: Digest,
  basis_digest_matches: Type.Boolean(),
});
export type VerdictReplay = Static<typeof VerdictReplay>;
