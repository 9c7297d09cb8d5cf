// Where we and a suite of others do not agree, and why that is as it should be.

export interface Difference {
  readonly id: string;
  readonly expected: 'accepted' | 'refused';
  /** Of our refusal; what the suite says of the case when we accept. */
  readonly why: string;
}

export interface Outcome {
  readonly cases: number;
  readonly differences: readonly Difference[];
}

/** A difference that is meant, by the ids of its cases. */
export interface Meant {
  readonly cases: RegExp;
  readonly expected: Difference['expected'];
  readonly because: string;
}

/** Those that nobody has thought about, and how many there are of each kind that is meant. */
export function explain(
  differences: readonly Difference[],
  meant: readonly Meant[],
): { readonly open: readonly Difference[]; readonly counts: ReadonlyMap<string, number> } {
  const counts = new Map<string, number>();
  const open: Difference[] = [];
  for (const difference of differences) {
    const { id, expected } = difference;
    const known = meant.find(({ cases, expected: of }) => of === expected && cases.test(id));
    if (known === undefined) open.push(difference);
    else counts.set(known.because, (counts.get(known.because) ?? 0) + 1);
  }
  return { open, counts };
}

/** What was read of a file of others has to be what it should be, or a suite of nothing would pass. */
export function requireCases(cases: number, where: string): void {
  if (cases === 0) throw new Error(`${where} holds no case that is known here`);
}
