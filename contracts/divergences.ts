// Everything that `sentinel doctor` can find: what it means, and whether asking the actors cures it. They only ever lower trust.

export const divergences = {
  'actor.missing': { meaning: 'The row has no running actor', heals: true },
  'actor.silent': { meaning: 'The actor does not answer', heals: false },
  'actor.unsettled': { meaning: 'The actor knows more than the store, and cannot write it', heals: false },
  'actor.older': { meaning: 'The actor is older than its row, as after a restore of Temporal', heals: true },
  'actor.other_run': { meaning: 'Another run than the present one wrote the row', heals: true },
  'actor.other_state': { meaning: 'Actor and row are of the same revision, and say different things', heals: false },
  'row.older': { meaning: 'The row is older than its actor, as after a restore of the database', heals: true },
  'row.missing': { meaning: 'The actor runs and has no row', heals: true },
  'projection.differs': { meaning: 'The grant or approval is not what its actor has written', heals: false },
  'projection.alone': { meaning: 'The grant or approval has no actor', heals: false },
  'history.gap': { meaning: 'What was decided has no transition, or transitions are missing', heals: false },
  'history.unaudited': { meaning: 'A transition changed the state and is not in the audit trail', heals: false },
  'denylist.lost': { meaning: 'The actor knows of a revocation that the denylist does not hold', heals: true },
  'denylist.unheard': { meaning: 'The actor has not heard of a revocation', heals: true },
  'trail.invalid': { meaning: 'The audit trail is not whole, or not the one that was signed', heals: false },
} as const satisfies Record<string, { readonly meaning: string; readonly heals: boolean }>;

export type DivergenceKind = keyof typeof divergences;
export const divergenceKinds = Object.keys(divergences) as DivergenceKind[];
