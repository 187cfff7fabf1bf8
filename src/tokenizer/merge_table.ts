/** The merges of a BPE model: a pair of ids to its rank and the id they become. @module */

/**
 * Open addressing over groups of four: left, right, rank, merged id. Ids may have 31 bits. Half of the
 * pairs that are asked for have no merge: two bits of a word per hash, in a table that stays in the
 * cache of the core (a blocked Bloom filter), say so of nine in ten of them.
 */
export class MergeTable {
  readonly #cells: Int32Array;
  readonly #mask: number;
  readonly #filter: Int32Array;

  /** Makes an empty table for `count` merges. */
  constructor(count: number) {
    let capacity = 16;
    while (capacity < count * 2) capacity *= 2;
    this.#cells = new Int32Array(capacity * 4).fill(-1);
    this.#mask = capacity - 1;
    this.#filter = new Int32Array(capacity / 16); // 4 to 8 bits per merge
  }

  /** Adds a merge; of two for the same pair, the later one counts. */
  add(left: number, right: number, rank: number, merged: number): void {
    const cells = this.#cells, h = hashPair(left, right), filter = this.#filter;
    filter[h >>> 10 & (filter.length - 1)]! |= 1 << (h & 31) | 1 << (h >>> 5 & 31);
    let c = (h & this.#mask) << 2;
    while (cells[c] !== -1 && (cells[c] !== left || cells[c + 1] !== right)) {
      c = (c + 4) & (cells.length - 1);
    }
    cells[c] = left;
    cells[c + 1] = right;
    cells[c + 2] = rank;
    cells[c + 3] = merged;
  }

  /**
   * Whether there may be a merge of two ids.
   *
   * @param h {@linkcode hashPair} of them
   */
  mayHold(h: number): boolean {
    const filter = this.#filter, word = filter[h >>> 10 & (filter.length - 1)]!;
    return (word >>> (h & 31) & word >>> (h >>> 5 & 31) & 1) !== 0;
  }

  /** Place of the merge of two ids for {@linkcode rank} and {@linkcode merged}, -1 if none. */
  find(left: number, right: number): number {
    const h = hashPair(left, right);
    return this.mayHold(h) ? this.findHashed(left, right, h) : -1;
  }

  /** The same, for a pair that {@linkcode mayHold} has let pass. */
  findHashed(left: number, right: number, h: number): number {
    const cells = this.#cells;
    for (let c = (h & this.#mask) << 2;; c = (c + 4) & (cells.length - 1)) {
      const x = cells[c]!;
      if (x === left && cells[c + 1] === right) return c;
      if (x === -1) return -1;
    }
  }

  /** Rank of the merge at a place; the lowest is merged first. */
  rank(place: number): number {
    return this.#cells[place + 2]!;
  }

  /** Id that the pair at a place becomes. */
  merged(place: number): number {
    return this.#cells[place + 3]!;
  }
}

/** Hash of a pair of ids. */
export function hashPair(left: number, right: number): number {
  const k = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
  return k ^ k >>> 15;
}
