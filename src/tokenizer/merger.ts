/**
 * The merge loop of BPE: of all neighbours that may be merged, the pair of lowest rank first, the
 * leftmost of equal ones. A flat scan for short words, a heap for long ones.
 *
 * @module
 */
import type { MergeTable } from "./merge_table.ts";

const SCAN_LIMIT = 48; // symbols; above, the heap is faster
const POSITIONS = 2 ** 31; // a heap key is rank * POSITIONS + position: exact below 2^53

/** Merges symbols in place. Write them to `symbols[0, n)` after {@linkcode Merger.reserve}. */
export class Merger {
  /** Ids of the symbols. */
  symbols: Int32Array = new Int32Array(256);
  #places = new Int32Array(256); // merge of each symbol with the next one, -1 if none
  #previous = new Int32Array(0);
  #next = new Int32Array(0);
  #heap = new Float64Array(256);
  #heapSize = 0;
  readonly #merges: MergeTable;

  /** Makes a merger for the merges of a model. */
  constructor(merges: MergeTable) {
    this.#merges = merges;
  }

  /** Makes place for `n` symbols; those written before are lost. */
  reserve(n: number): void {
    if (n <= this.symbols.length) return;
    const size = Math.max(n, this.symbols.length * 2);
    this.symbols = new Int32Array(size);
    this.#places = new Int32Array(size);
  }

  /** Merges `symbols[0, n)` until nothing can be merged. @returns How many are left */
  merge(n: number): number {
    return n <= SCAN_LIMIT ? this.#scan(n) : this.#byHeap(n);
  }

  #scan(n: number): number {
    const symbols = this.symbols, places = this.#places, merges = this.#merges;
    for (let i = 0; i + 1 < n; i++) places[i] = merges.find(symbols[i]!, symbols[i + 1]!);
    while (n > 1) {
      let best = 0x7fffffff, at = -1;
      for (let i = 0; i + 1 < n; i++) {
        const place = places[i]!;
        if (place < 0) continue;
        const rank = merges.rank(place);
        if (rank < best) {
          best = rank;
          at = i;
        }
      }
      if (at < 0) break;
      symbols[at] = merges.merged(places[at]!);
      n--;
      for (let i = at + 1; i < n; i++) {
        symbols[i] = symbols[i + 1]!;
        places[i] = places[i + 1]!;
      }
      if (at > 0) places[at - 1] = merges.find(symbols[at - 1]!, symbols[at]!);
      if (at + 1 < n) places[at] = merges.find(symbols[at]!, symbols[at + 1]!);
    }
    return n;
  }

  #byHeap(n: number): number {
    if (this.#next.length < n) {
      this.#next = new Int32Array(this.symbols.length);
      this.#previous = new Int32Array(this.symbols.length);
    }
    const symbols = this.symbols, places = this.#places, merges = this.#merges;
    const next = this.#next, previous = this.#previous;
    this.#heapSize = 0;
    const join = (i: number, k: number) => {
      const place = places[i] = merges.find(symbols[i]!, symbols[k]!);
      if (place >= 0) this.#push(merges.rank(place) * POSITIONS + i);
    };
    for (let i = 0; i < n; i++) {
      previous[i] = i - 1;
      next[i] = i + 1 < n ? i + 1 : -1;
      if (i + 1 < n) join(i, i + 1);
      else places[i] = -1;
    }
    while (this.#heapSize > 0) {
      const key = this.#pop(), rank = Math.floor(key / POSITIONS), i = key - rank * POSITIONS;
      const place = places[i]!;
      if (place < 0 || merges.rank(place) !== rank) continue; // merged otherwise meanwhile
      symbols[i] = merges.merged(place);
      const gone = next[i]!, k = next[gone]!, p = previous[i]!;
      places[gone] = -1;
      next[i] = k;
      if (k >= 0) {
        previous[k] = i;
        join(i, k);
      } else places[i] = -1;
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
