// The ceiling: contestants take turns in short rounds, each with the same connections, and what a heartbeat costs is read
// from the processor time of the processes.
import { median, planRounds, ratio } from '../rounds.ts';
import type { Measurement } from '../result.ts';
import type { ProcessGroups, Round } from './generator.ts';
import type { Load } from './load.ts';

export interface Contestant {
  /** Of its fleet, too. */
  readonly name: string;
  readonly label: string;
  /** Processes that work for it, the generator aside. */
  readonly groups: ProcessGroups;
}

export interface RoundLengths {
  readonly leadMs: number;
  readonly measuredMs: number;
}

export type Rounds = ReadonlyMap<string, readonly Round[]>;

/** @returns the rounds of each contestant, in the order of the turns */
export async function runRounds(
  load: Load,
  contestants: readonly Contestant[],
  turns: number,
  lengths: RoundLengths,
): Promise<Rounds> {
  const rounds = new Map<string, Round[]>(contestants.map(({ name }) => [name, []]));
  for (const { name, groups } of planRounds(contestants, turns)) {
    const round = await load.round({ fleet: name, ...lengths, groups: { ...groups, generator: load.pid } });
    rounds.get(name)?.push(round);
  }
  return rounds;
}

export function perSecond({ answered, seconds }: Round): number {
  return answered / seconds;
}

/** Milliseconds of processor time that a heartbeat costs in all of these groups together. */
export function costOf({ processorMs, answered }: Round, groups: readonly string[]): number {
  return groups.reduce((sum, name) => sum + (processorMs[name] ?? Number.NaN), 0) / answered;
}

/** The median of what is so in each turn: what slows the machine down for a while slows down both of them. */
export function ratioInTurns(ours: readonly Round[], theirs: readonly Round[], of: (round: Round) => number): number {
  return median(
    ours.map((round, turn) => {
      const other = theirs[turn];
      if (other === undefined) throw new RangeError('they had fewer turns');
      return ratio(of(round), of(other));
    }),
  );
}

export function measurementsOf({ label, groups }: Contestant, rounds: readonly Round[]): Measurement[] {
  const over = (of: (round: Round) => number): number => median(rounds.map(of));
  const plain = (what: string, unit: string, value: number): Measurement => ({
    label: `${label}, ${what}`,
    unit,
    value,
    p50: null,
    p99: null,
  });
  const latency = over(({ p50 }) => p50);
  return [
    plain('closed loop', 'heartbeats/s', over(perSecond)),
    { ...plain('latency in the closed loop', 'ms', latency), p50: latency, p99: over(({ p99 }) => p99) },
    ...[...Object.keys(groups), 'generator'].map((group) =>
      plain(
        `processor time of ${group}`,
        'ms/heartbeat',
        over((round) => costOf(round, [group])),
      ),
    ),
  ];
}
