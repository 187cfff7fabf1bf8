/**
 * Remembers the ids of pieces of text, without making a string on a hit: the key is looked up where
 * it stands in the text, by an FNV-1a hash of its UTF-16 units.
 *
 * @module
 */
import type { IdBuffer } from "./id_buffer.ts";

const SLOTS = 1 << 19;
const ENTRIES = 1 << 18; // half of the slots: short probe runs
const KEY_UNITS = 1 << 22;
const VALUE_IDS = 1 << 22;
const MAX_KEY = 255;

/** From a span of text to ids. Bounded: when full it is emptied and starts again. */
export class WordCache {
  readonly #slots = new Int32Array(SLOTS); // entry + 1, 0 is free
  readonly #entries = new Int32Array(ENTRIES * 4); // hash, key offset, lengths, value offset
  readonly #keys = new Uint16Array(KEY_UNITS);
  readonly #values = new Int32Array(VALUE_IDS);
  #count = 0;
  #keyEnd = 0;
  #valueEnd = 0;

  /**
   * Appends the ids of `text[begin, end)` to `out` if they are known.
   *
   * @param hash {@linkcode hashSpan} of the span
   */
  append(text: string, begin: number, end: number, hash: number, out: IdBuffer): boolean {
    const slots = this.#slots, entries = this.#entries, keys = this.#keys;
    const length = end - begin;
    for (let s = hash & (SLOTS - 1);; s = (s + 1) & (SLOTS - 1)) {
      const e = (slots[s]! - 1) << 2;
      if (e < 0) return false;
      if (entries[e] !== hash) continue;
      const lengths = entries[e + 2]!;
      if ((lengths & 0xff) !== length) continue;
      const key = entries[e + 1]! - begin;
      let i = begin;
      while (i < end && keys[key + i] === text.charCodeAt(i)) i++;
      if (i < end) continue;
      out.append(this.#values, entries[e + 3]!, lengths >>> 8);
      return true;
    }
  }

  /** Keeps `ids[from, to)` as the ids of a span that is not known yet. */
  add(
    text: string,
    begin: number,
    end: number,
    hash: number,
    ids: Int32Array,
    from: number,
    to: number,
  ): void {
    const length = end - begin, count = to - from;
    if (length > MAX_KEY) return;
    if (
      this.#count === ENTRIES || this.#keyEnd + length > KEY_UNITS ||
      this.#valueEnd + count > VALUE_IDS
    ) this.clear();
    const slots = this.#slots;
    let s = hash & (SLOTS - 1);
    while (slots[s] !== 0) s = (s + 1) & (SLOTS - 1);
    const e = this.#count++ << 2;
    slots[s] = this.#count;
    const entries = this.#entries, keys = this.#keys, values = this.#values;
    entries[e] = hash;
    entries[e + 1] = this.#keyEnd;
    entries[e + 2] = length | count << 8;
    entries[e + 3] = this.#valueEnd;
    for (let i = begin; i < end; i++) keys[this.#keyEnd++] = text.charCodeAt(i);
    for (let i = from; i < to; i++) values[this.#valueEnd++] = ids[i]!;
  }

  /** Forgets everything. */
  clear(): void {
    this.#slots.fill(0);
    this.#count = this.#keyEnd = this.#valueEnd = 0;
  }
}

/** Step of the hash of a span; begin with {@linkcode HASH_SEED}, end with {@linkcode finishHash}. */
export function hashUnit(hash: number, unit: number): number {
  return Math.imul(hash ^ unit, 0x01000193);
}

/** Start of the hash of a span. */
export const HASH_SEED: number = 0x811c9dc5 | 0;

/** Mixes the high bits into the low ones, which choose the slot. */
export function finishHash(hash: number): number {
  return hash ^ hash >>> 15;
}

/** Hash of `text[begin, end)`. */
export function hashSpan(text: string, begin: number, end: number): number {
  let hash = HASH_SEED;
  for (let i = begin; i < end; i++) hash = hashUnit(hash, text.charCodeAt(i));
  return finishHash(hash);
}
