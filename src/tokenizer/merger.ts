/**
 * The merge loop of BPE: of all neighbours that may be merged, the pair of lowest rank first, the
 * leftmost of equal ones. A flat scan for short words, a heap for long ones.
 *
 * @module
 */
import { hashPair, type MergeTable } from "./merge_table.ts";

const SCAN_LIMIT = 100; // symbols; above, the heap is faster
const POSITIONS = 2 ** 31; // a heap key is rank * POSITIONS + position: exact below 2^53

const RECENT = 1 << 13;

/** Rank of neighbours that are not merged. */
export const NO_MERGE = 0x7fffffff;

/** Merges symbols in place. Write them to `symbols[0, n)` after {@linkcode Merger.reserve}. */
export class Merger {
  /** Ids of the symbols. */
  symbols: Int32Array = new Int32Array(256);
  /** Rank of the merge of each symbol with the next one, {@linkcode NO_MERGE} if there is none. */
  ranks: Int32Array = new Int32Array(256);
  /** Id that they become. */
  merged: Int32Array = new Int32Array(256);
  #previous = new Int32Array(0);
  #next = new Int32Array(0);
  #heap = new Float64Array(256);
  #heapSize = 0;
  readonly #merges: MergeTable;
  // pairs looked up lately: left, right, rank, merged id; few pairs are most of those of any text, and
  // this is small enough to stay in the cache of the core, unlike the table of all merges
  readonly #recent = new Int32Array(RECENT * 4).fill(-1);

  /** Makes a merger for the merges of a model. */
  constructor(merges: MergeTable) {
    this.#merges = merges;
  }

  /** Makes place for `n` symbols; those written before are lost. */
  reserve(n: number): void {
    if (n <= this.symbols.length) return;
    const size = Math.max(n, this.symbols.length * 2);
    this.symbols = new Int32Array(size);
    this.ranks = new Int32Array(size);
    this.merged = new Int32Array(size);
  }

  /** Merges `symbols[0, n)` until nothing can be merged. @returns How many are left */
  merge(n: number): number {
    for (let i = 0; i + 1 < n; i++) this.#find(i, i + 1);
    return n <= SCAN_LIMIT ? this.#scan(n) : this.#byHeap(n);
  }

  /** Looks up the merge of the symbols at `i` and `k`. @returns Its rank */
  #find(i: number, k: number): number {
    const left = this.symbols[i]!, right = this.symbols[k]!, merges = this.#merges;
    const h = hashPair(left, right);
    if (!merges.mayHold(h)) return this.ranks[i] = NO_MERGE;
    const recent = this.#recent, r = (h >>> 7 & (RECENT - 1)) << 2;
    if (recent[r] !== left || recent[r + 1] !== right) {
      const place = merges.findHashed(left, right, h);
      recent[r] = left;
      recent[r + 1] = right;
      recent[r + 2] = place < 0 ? NO_MERGE : merges.rank(place);
      recent[r + 3] = place < 0 ? -1 : merges.merged(place);
    }
    this.merged[i] = recent[r + 3]!;
    return this.ranks[i] = recent[r + 2]!;
  }

  #scan(n: number): number {
    const symbols = this.symbols, ranks = this.ranks, merged = this.merged;
    while (n > 1) {
      let best = NO_MERGE, at = -1;
      for (let i = 0; i + 1 < n; i++) {
        if (ranks[i]! < best) {
          best = ranks[i]!;
          at = i;
        }
      }
      if (at < 0) break;
      symbols[at] = merged[at]!;
      n--;
      for (let i = at + 1; i < n; i++) {
        symbols[i] = symbols[i + 1]!;
        ranks[i] = ranks[i + 1]!;
        merged[i] = merged[i + 1]!;
      }
      if (at > 0) this.#find(at - 1, at);
      if (at + 1 < n) this.#find(at, at + 1);
    }
    return n;
  }

  #byHeap(n: number): number {
    if (this.#next.length < n) {
      this.#next = new Int32Array(this.symbols.length);
      this.#previous = new Int32Array(this.symbols.length);
    }
    const symbols = this.symbols, ranks = this.ranks, merged = this.merged;
    const next = this.#next, previous = this.#previous;
    this.#heapSize = 0;
    ranks[n - 1] = NO_MERGE;
    for (let i = 0; i < n; i++) {
      previous[i] = i - 1;
      next[i] = i + 1 < n ? i + 1 : -1;
      if (ranks[i] !== NO_MERGE) this.#push(ranks[i]! * POSITIONS + i);
    }
    const join = (i: number, k: number) => {
      const rank = this.#find(i, k);
      if (rank !== NO_MERGE) this.#push(rank * POSITIONS + i);
    };
    while (this.#heapSize > 0) {
      const key = this.#pop(), rank = Math.floor(key / POSITIONS), i = key - rank * POSITIONS;
      if (ranks[i] !== rank) continue; // merged otherwise meanwhile
      symbols[i] = merged[i]!;
      const gone = next[i]!, k = next[gone]!, p = previous[i]!;
      ranks[gone] = NO_MERGE;
      next[i] = k;
      if (k >= 0) {
        previous[k] = i;
        join(i, k);
      } else ranks[i] = NO_MERGE;
      if (p >= 0) join(p, i);
    }
    let left = 0;
    for (let i = 0; i >= 0; i = next[i]!) symbols[left++] = symbols[i]!; // left <= i
    return left;
  }

  #push(key: number): void {
    if (this.#heapSize === this.#heap.length) {
      const grown = new Float64Array(this.#heap.length * 2);
      grown.set(this.#heap);
      this.#heap = grown;
    }
    const heap = this.#heap;
    let i = this.#heapSize++;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (heap[parent]! <= key) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = key;
  }

  #pop(): number {
    const heap = this.#heap, top = heap[0]!, key = heap[--this.#heapSize]!, size = this.#heapSize;
    let i = 0;
    for (let child = 1; child < size; child = 2 * i + 1) {
      if (child + 1 < size && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= key) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = key;
    return top;
  }
}
