// The parts of the long tests, one file each, and how the time that is asked for is shared out between them.

interface Plan {
  /** Of the time; what one part leaves, the next ones have, and what one takes more, they do without. */
  readonly share: number;
  /** Less than so many was cut short. */
  readonly full: number;
}

/** In the order in which they run. */
export const parts = {
  fuzzing: { share: 0.2, full: 10_000 },
  kills: { share: 0.4, full: 5 },
  schedules: { share: 0.1, full: 10_000 },
  'sign-ins': { share: 0.05, full: 2_000 },
  soak: { share: 0.1, full: 20_000 },
  votes: { share: 0.15, full: 10_000 },
} as const satisfies Readonly<Record<string, Plan>>;

export type PartName = keyof typeof parts;

export const partNames = Object.keys(parts) as readonly PartName[];

/** @param name of a part, or its file. @returns null when there is none */
export function partOf(name: string): PartName | null {
  return partNames.find((part) => name === part || name.endsWith(`/${part}.test.ts`)) ?? null;
}

/**
 * The time that a part has when its turn comes: its share of what is left, with all that come after it.
 *
 * @param chosen the parts of this run
 */
export function timeOf(part: PartName, chosen: readonly PartName[], leftMs: number): number {
  const later = chosen.filter((name) => partNames.indexOf(name) >= partNames.indexOf(part));
  const shares = later.reduce((sum, name) => sum + parts[name].share, 0);
  return (Math.max(0, leftMs) * parts[part].share) / shares;
}
