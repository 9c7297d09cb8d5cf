// The name that somebody probably meant.

/** The known name that is fewest changes away, if it is near enough to be meant; otherwise `null`. */
export function nearestName(name: string, known: readonly string[]): string | null {
  const wanted = plain(name);
  const allowed = Math.max(2, Math.floor(wanted.length / 3));
  const [best] = known
    .map((candidate) => ({ candidate, changes: changesBetween(wanted, plain(candidate)) }))
    .filter(({ changes }) => changes <= allowed)
    .toSorted((a, b) => a.changes - b.changes);
  return best?.candidate ?? null;
}

/** Cut short, since every pair of letters is compared. */
const plain = (name: string): string =>
  name
    .slice(0, 64)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, '');

/** Letters to insert, remove or replace (Levenshtein). */
function changesBetween(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [row, letter] of a.split('').entries()) {
    const line = [row + 1];
    for (const [column, other] of b.split('').entries()) {
      const replaced = (above[column] ?? 0) + (letter === other ? 0 : 1);
      line.push(Math.min(replaced, (above[column + 1] ?? 0) + 1, (line[column] ?? 0) + 1));
    }
    above = line;
  }
  return above.at(-1) ?? 0;
}
