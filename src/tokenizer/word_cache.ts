/**
 * Remembers the ids of pieces of text, without making a string on a hit: the key is looked up where
 * it stands in the text, by a hash of its UTF-16 units.
 *
 * @module
 */
import type { IdBuffer } from "./id_buffer.ts";

const SLOT_BITS = 19, SLOTS = 1 << SLOT_BITS;
const MAX_ENTRIES = SLOTS / 2; // short probe runs
const RECORD_INTS = 1 << 23;
const MAX_KEY = 255;
const FACTOR = 0x9e3779b1; // 2^32 / golden ratio

/**
 * From a span of text to ids. Bounded: when full it is emptied and starts again. What belongs to a key
 * is one record (hash, lengths, units two by two, ids), so that a hit costs two cache lines or three.
 */
export class WordCache {
  readonly #slots = new Int32Array(SLOTS); // where the record begins, 0 is free
  readonly #records = new Int32Array(RECORD_INTS);
  #end = 1;
  #count = 0;
  #read = 0;

  /**
   * Reads the beginnings of the records of `count` spans, soon before they are asked for. Here no load
   * waits for another span, so the waits for memory overlap: a fifth of the time of all encoding.
   *
   * @param hashes {@linkcode hashSpan} of each
   */
  readAhead(hashes: Int32Array, count: number): void {
    const slots = this.#slots, records = this.#records;
    let read = 0;
    for (let i = 0; i < count; i++) read ^= records[slots[hashes[i]! >>> (32 - SLOT_BITS)]!]!;
    this.#read = read; // or the loop might be left out
  }

  /**
   * Appends the ids of `units[begin, end)` to `out` if they are known.
   *
   * @param hash {@linkcode hashSpan} of the span
   */
  append(units: Uint16Array, begin: number, end: number, hash: number, out: IdBuffer): boolean {
    const slots = this.#slots, records = this.#records;
    const length = end - begin;
    for (let s = hash >>> (32 - SLOT_BITS);; s = (s + 1) & (SLOTS - 1)) {
      let r = slots[s]!;
      if (r === 0) return false;
      if (records[r] !== hash) continue;
      const lengths = records[r + 1]!;
      if ((lengths & 0xff) !== length) continue;
      r += 2;
      let i = begin;
      for (; i + 1 < end; i += 2, r++) {
        if (records[r] !== (units[i]! | units[i + 1]! << 16)) break;
      }
      if (i + 1 < end || (i < end && records[r++] !== units[i])) continue;
      out.append(records, r, lengths >>> 8);
      return true;
    }
  }

  /** Keeps `ids[from, to)` as the ids of a span that is not known yet. */
  add(
    units: Uint16Array,
    begin: number,
    end: number,
    hash: number,
    ids: Int32Array,
    from: number,
    to: number,
  ): void {
    const length = end - begin, count = to - from;
    if (length > MAX_KEY) return;
    const size = 2 + (length + 1 >> 1) + count;
    if (this.#count === MAX_ENTRIES || this.#end + size > RECORD_INTS) this.clear();
    const slots = this.#slots, records = this.#records;
    let s = hash >>> (32 - SLOT_BITS), r = this.#end;
    while (slots[s] !== 0) s = (s + 1) & (SLOTS - 1);
    slots[s] = r;
    this.#count++;
    this.#end += size;
    records[r++] = hash;
    records[r++] = length | count << 8;
    let i = begin;
    for (; i + 1 < end; i += 2) records[r++] = units[i]! | units[i + 1]! << 16;
    if (i < end) records[r++] = units[i]!;
    for (let k = from; k < to; k++) records[r++] = ids[k]!;
  }

  /** Forgets everything. */
  clear(): void {
    this.#slots.fill(0);
    this.#end = 1;
    this.#count = 0;
  }
}

/** Hash of `units[begin, end)`, two a step. Its high bits depend on all of them. */
export function hashSpan(units: Uint16Array, begin: number, end: number): number {
  let hash = end - begin, i = begin;
  for (; i + 1 < end; i += 2) hash = Math.imul(hash ^ (units[i]! | units[i + 1]! << 16), FACTOR);
  return i < end ? Math.imul(hash ^ units[i]!, FACTOR) : hash;
}
