// What each device of a run does and when, decided before it begins: a pure function of the scenario, the count and the seed.
import { profileOf, type Profile } from './profiles.ts';
import type { Behaviour, BehaviourKind, Scenario } from './scenario.ts';
import { fractionFor } from './seeded.ts';

/** What may happen at a heartbeat. */
export type MishapKind = Extract<Behaviour, { chance: number }>['kind'];

interface Mishap {
  readonly kind: MishapKind;
  readonly chance: number;
  readonly fromMs: number;
  readonly untilMs: number;
  /** Place in the scenario: two of one kind are decided apart. */
  readonly place: number;
}

/** What happens once; times are since the start of the run. */
export type Moment = { readonly atMs: number } & (
  | { readonly kind: 'rotate' | 'restart' | 'forget_counter' }
  | { readonly kind: 'silent'; readonly untilMs: number }
  | { readonly kind: 'upgrade'; readonly to: string; readonly fails: boolean }
);

export interface DevicePlan {
  readonly deviceId: string;
  readonly index: number;
  readonly seed: number;
  readonly profile: Profile;
  /** Another device of the fleet; itself when it is alone. */
  readonly neighbourId: string;
  readonly startMs: number;
  /** Null for a device that nobody here votes for. */
  readonly vote: { readonly decision: 'approve' | 'reject'; readonly afterMs: number } | null;
  readonly clock: { readonly aheadMs: number; readonly drift: number };
  readonly mishaps: readonly Mishap[];
  /** In the order of their times. */
  readonly moments: readonly Moment[];
}

export interface PlanOptions {
  readonly devices: number;
  readonly seed: number;
}

export function planFleet(scenario: Scenario, { devices, seed }: PlanOptions): readonly DevicePlan[] {
  const profiles = Array.from({ length: devices }, (_, index) => profileOf(scenario.name, index));
  const votes = planVotes(scenario, devices, seed);
  const places = scenario.behaviours.map((behaviour, place) => placesOf(behaviour, place, profiles, seed));
  return profiles.map((profile, index) => {
    const own = scenario.behaviours.flatMap((behaviour, place) => {
      const part = places[place]?.get(index);
      return part === undefined ? [] : [{ behaviour, place, part }];
    });
    const clocks = own.flatMap(({ behaviour }) => (behaviour.kind === 'clock' ? [behaviour] : []));
    return {
      deviceId: profile.deviceId,
      index,
      seed,
      profile,
      neighbourId: profiles[(index + 1) % devices]?.deviceId ?? profile.deviceId,
      startMs: ((index + fractionFor(seed, 'start', index)) / scenario.arrivals_per_second) * 1_000,
      vote: votes[index] ?? null,
      clock: {
        aheadMs: Math.max(0, ...clocks.map(({ ahead_seconds = 0 }) => ahead_seconds * 1_000)),
        drift: clocks.reduce((drift, clock) => drift * (clock.drift ?? 1), 1),
      },
      mishaps: own.flatMap(({ behaviour, place }) => ('chance' in behaviour ? [mishapOf(behaviour, place)] : [])),
      moments: own
        .flatMap(({ behaviour, place, part }) => momentsOf(behaviour, part, fractionFor(seed, 'fails', place, index)))
        .toSorted((a, b) => a.atMs - b.atMs),
    };
  });
}

/** What goes wrong at this heartbeat, the first being 1: the same for the same plan, whatever came before. */
export function mishapsAt(plan: DevicePlan, heartbeat: number, atMs: number): ReadonlySet<MishapKind> {
  const due = plan.mishaps.filter(
    ({ chance, fromMs, untilMs, place }) =>
      fromMs <= atMs && atMs < untilMs && fractionFor(plan.seed, 'mishap', place, plan.index, heartbeat) < chance,
  );
  return new Set(due.map(({ kind }) => kind));
}

/** The devices that a behaviour is about, each with its place among them, from 0 up to 1. */
function placesOf(
  { share = 1, site }: Behaviour,
  place: number,
  profiles: readonly Profile[],
  seed: number,
): ReadonlyMap<number, number> {
  const among = profiles.flatMap((profile, index) => (site === undefined || profile.site === site ? [index] : []));
  const chosen = shuffled(among, (index) => fractionFor(seed, 'chosen', place, index)).slice(
    0,
    Math.round(share * among.length),
  );
  return new Map(chosen.map((index, position) => [index, position / chosen.length]));
}

function planVotes({ approve }: Scenario, devices: number, seed: number): readonly DevicePlan['vote'][] {
  if (approve === undefined) return [];
  const { share = 1, reject_share = 0, after_seconds = 0, leave = 0 } = approve;
  const candidates = Array.from({ length: Math.max(0, devices - leave) }, (_, index) => index);
  const chosen = shuffled(candidates, (index) => fractionFor(seed, 'vote', index)).slice(
    0,
    Math.round(share * candidates.length),
  );
  const rejected = Math.round(reject_share * chosen.length);
  const votes: DevicePlan['vote'][] = [];
  for (const [position, index] of chosen.entries())
    votes[index] = { decision: position < rejected ? 'reject' : 'approve', afterMs: after_seconds * 1_000 };
  return votes;
}

function shuffled(list: readonly number[], chanceOf: (index: number) => number): number[] {
  return list
    .map((index) => ({ index, chance: chanceOf(index) }))
    .toSorted((a, b) => a.chance - b.chance)
    .map(({ index }) => index);
}

function mishapOf(behaviour: Extract<Behaviour, { chance: number }>, place: number): Mishap {
  const { kind, chance, from_seconds = 0, until_seconds = Number.POSITIVE_INFINITY } = behaviour;
  return { kind, chance, fromMs: from_seconds * 1_000, untilMs: until_seconds * 1_000, place };
}

function momentsOf(behaviour: Behaviour, part: number, chance: number): Moment[] {
  if (!('at_seconds' in behaviour)) return [];
  const atMs = (behaviour.at_seconds + part * (behaviour.over_seconds ?? 0)) * 1_000;
  switch (behaviour.kind) {
    case 'silent':
      return [{ kind: 'silent', atMs, untilMs: atMs + behaviour.for_seconds * 1_000 }];
    case 'upgrade':
      return [{ kind: 'upgrade', atMs, to: behaviour.to, fails: chance < (behaviour.fails ?? 0) }];
    default:
      return [{ kind: behaviour.kind, atMs }];
  }
}

/** Everything that a run can do, for counting. */
export type ActKind = 'heartbeat' | BehaviourKind | 'second_arrival' | 'old_certificate' | 'third_certificate';
