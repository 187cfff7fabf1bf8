/** The merges of a BPE model: a pair of ids to its rank and the id they become. @module */

/**
 * Open addressing over groups of four: left, right, rank, merged id. Ids may have 31 bits. Most pairs
 * that are asked for have no merge: a bit per hash, in a table that stays in the cache, says so.
 */
export class MergeTable {
  readonly #cells: Int32Array;
  readonly #mask: number;
  readonly #bits: Int32Array;
  readonly #bitMask: number;

  /** Makes an empty table for `count` merges. */
  constructor(count: number) {
    let capacity = 16;
    while (capacity < count * 2) capacity *= 2;
    this.#cells = new Int32Array(capacity * 4).fill(-1);
    this.#mask = capacity - 1;
    this.#bits = new Int32Array(capacity / 8); // 8 to 16 bits per merge
    this.#bitMask = capacity * 4 - 1;
  }

  /** Adds a merge; of two for the same pair, the later one counts. */
  add(left: number, right: number, rank: number, merged: number): void {
    const cells = this.#cells, h = mix(left, right), bit = h & this.#bitMask;
    this.#bits[bit >>> 5]! |= 1 << (bit & 31);
    let c = (h & this.#mask) << 2;
    while (cells[c] !== -1 && (cells[c] !== left || cells[c + 1] !== right)) {
      c = (c + 4) & (cells.length - 1);
    }
    cells[c] = left;
    cells[c + 1] = right;
    cells[c + 2] = rank;
    cells[c + 3] = merged;
  }

  /** Place of the merge of two ids for {@linkcode rank} and {@linkcode merged}, -1 if none. */
  find(left: number, right: number): number {
    const h = mix(left, right), bit = h & this.#bitMask;
    if ((this.#bits[bit >>> 5]! >>> (bit & 31) & 1) === 0) return -1;
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

function mix(left: number, right: number): number {
  const k = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
  return k ^ k >>> 15;
}
