// /api/doctor: where rows, actors, audit trail and denylist disagree.
import { Type, type Static } from 'typebox';
import { divergenceKinds } from '../divergences.ts';
import { actorKinds } from '../ids.ts';
import { Exactly, Names, Nullable, List } from './common.ts';

export const DoctorQuery = Exactly({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 100 })),
  cursor: Type.Optional(Type.String({ maxLength: 4000 })),
  full: Type.Optional(Type.Boolean({ description: 'Verify the audit trail from its start' })),
});
export type DoctorQuery = Static<typeof DoctorQuery>;

const Mark = Type.Object({
  run_id: Type.String(),
  revision: Type.Integer(),
  epoch: Type.Integer(),
  state: Type.String(),
});

export const Divergence = Type.Object({
  kind: Names(divergenceKinds),
  subject: Type.Object({ kind: Type.String(), id: Type.String() }),
  detail: Type.String(),
  row: Nullable(Mark),
  actor: Nullable(Mark),
  heals: Type.Boolean({ description: 'Whether asking the actor cures it; that only ever lowers trust' }),
});
export type Divergence = Static<typeof Divergence>;

export const DivergenceList = Type.Object({
  ...List(Divergence).properties,
  examined: Type.Integer({ description: 'Actors, rows and chains that this page is about' }),
});
export type DivergenceList = Static<typeof DivergenceList>;

export const HealBody = Exactly({
  subjects: Type.Array(Exactly({ kind: Names(actorKinds), id: Type.String({ minLength: 1, maxLength: 64 }) }), {
    minItems: 1,
    maxItems: 200,
  }),
});
export type HealBody = Static<typeof HealBody>;
export const Healed = Type.Object({
  asked: Type.Integer({ description: 'Actors that were asked to make sure of their row' }),
  denied_again: Type.Integer({ description: 'Revocations that were put back on the denylist' }),
});
export type Healed = Static<typeof Healed>;
