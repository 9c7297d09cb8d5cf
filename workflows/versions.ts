// Machines change while their actors live: a run goes on with the version that began it and makes way for the newest, and what earlier versions wrote is taken in.
import type { MachineSnapshot } from '#contracts/actor.ts';
import type { ActorDefinition, Deadlines } from '#machines/actor.ts';
import { patched } from '@temporalio/workflow';

const marker = ({ kind, version }: { readonly kind: string; readonly version: number }): string =>
  `${kind} machine ${version}`;

export function createVersions<Context extends { deadlines: Deadlines }, Event extends { type: string }>(
  newest: ActorDefinition<Context, Event>,
) {
  type Definition = ActorDefinition<Context, Event>;
  type Snapshot = MachineSnapshot<Context>;
  // The driver looks into contexts for nothing but deadlines, which every version has.
  const known: Definition[] = [];
  for (let next: Definition | undefined = newest; next; next = next.earlier?.definition as Definition | undefined)
    known.push(next);

  // A run is marked with the version that began it. The first version came before there were marks.
  const own = known.find((definition) => definition.version === 1 || patched(marker(definition)));
  if (own === undefined) throw new TypeError(`no version of the ${newest.kind} machine that is known began this run`);
  const newer = known.slice(0, known.indexOf(own));

  /** @throws TypeError a later release wrote it: the task fails, and is tried again until a worker of that release takes it */
  function of(version: number): Definition {
    const found = known.find((definition) => definition.version === version);
    if (found === undefined) throw new TypeError(`version ${version} of the ${newest.kind} machine is not known`);
    return found;
  }

  /** What a version wrote, as another one that is not older has it. */
  function takeIn(snapshot: MachineSnapshot<unknown>, from: number, to: number): Snapshot {
    if (from === to) return snapshot as Snapshot;
    const { earlier } = of(to);
    if (earlier === undefined) throw new TypeError(`version ${to} of the ${newest.kind} machine takes in no other`);
    return earlier.upgrade(takeIn(snapshot, from, earlier.definition.version));
  }

  return {
    own,
    of,
    takeIn,
    /** Whether the run has to make way. Not while its history is replayed, in which it did not. */
    outdated: (): boolean => newer.some((definition) => patched(`${marker(definition)} takes over`)),
  };
}
