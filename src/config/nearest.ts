/** Finds the known name that a misspelt one probably means. @module */

/**
 * Number of insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`
 * (optimal string alignment).
 *
 * @param a One word
 * @param b The other
 * @returns 0 when they are equal
 */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, before[j - 2]! + 1);
      }
      row.push(best);
    }
    before = above;
    above = row;
  }
  return above[b.length]!;
}

/**
 * The known name nearest to `name`, if it is near enough to be what was meant.
 *
 * @param name What was written
 * @param known What may be written; the first of equally near names wins
 * @returns undefined when all differ in more than a third of their letters (at least two,
 *   and no more than it has)
 */
export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Infinity;
  const plain = (s: string) => s.toLowerCase().replaceAll("-", "_");
  for (const candidate of known) {
    const distance = editDistance(plain(name), plain(candidate));
    const third = Math.floor(Math.max(name.length, candidate.length) / 3);
    const limit = Math.min(name.length, Math.max(2, third));
    if (distance <= limit && distance < bestDistance && distance < candidate.length) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}
