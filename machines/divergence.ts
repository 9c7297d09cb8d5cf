// Whether an actor and its row are of the same moment, and if not, which of both is the older one. Pure.
import type { ActorMark, ActorStanding } from '#contracts/actor.ts';
import type { DivergenceKind } from '#contracts/divergences.ts';

/** What is wrong between a row and the running actor that should have written it; null when nothing is. */
export function compareActor(row: ActorMark, actor: ActorStanding): DivergenceKind | null {
  if (!actor.settled) return 'actor.unsettled';
  if (row.run_id === actor.run_id && row.revision === actor.revision && row.epoch === actor.epoch)
    return row.state === actor.state ? null : 'actor.other_state';
  if (row.epoch < actor.epoch || (row.epoch === actor.epoch && row.revision < actor.revision)) return 'row.older';
  if (row.epoch > actor.epoch || row.revision > actor.revision) return 'actor.older';
  return 'actor.other_run';
}
