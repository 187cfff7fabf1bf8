/** Numbers for pairs of ids, and a count of each. @module */

/** Open addressing; grows. */
export class PairIndex {
  /** Left ids by number of the pair. */
  lefts: Int32Array = new Int32Array(1 << 12);
  /** Right ids by number of the pair. */
  rights: Int32Array = new Int32Array(1 << 12);
  /** Weighted occurrences by number of the pair. */
  counts: Float64Array = new Float64Array(1 << 12);
  /** How many pairs there are. */
  size = 0;
  #slots = new Int32Array(1 << 13); // number + 1, 0 is free

  /** Number of a pair, a new one if it has none. */
  of(left: number, right: number): number {
    const slots = this.#slots, mask = slots.length - 1;
    let s = mix(left, right) & mask;
    for (let n; (n = slots[s]! - 1) >= 0; s = (s + 1) & mask) {
      if (this.lefts[n] === left && this.rights[n] === right) return n;
    }
    if (this.size === this.lefts.length) {
      this.#grow();
      return this.of(left, right);
    }
    const number = this.size++;
    slots[s] = number + 1;
    this.lefts[number] = left;
    this.rights[number] = right;
    return number;
  }

  #grow(): void {
    const size = this.lefts.length * 2;
    const copy = <T extends Int32Array | Float64Array>(to: T, from: T): T => (to.set(from), to);
    this.lefts = copy(new Int32Array(size), this.lefts);
    this.rights = copy(new Int32Array(size), this.rights);
    this.counts = copy(new Float64Array(size), this.counts);
    const slots = new Int32Array(size * 2), mask = slots.length - 1;
    for (let n = 0; n < this.size; n++) {
      let s = mix(this.lefts[n]!, this.rights[n]!) & mask;
      while (slots[s] !== 0) s = (s + 1) & mask;
      slots[s] = n + 1;
    }
    this.#slots = slots;
  }
}

function mix(left: number, right: number): number {
  const k = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
  return k ^ k >>> 15;
}
