/** A vocabulary without strings or objects: one of 250,000 tokens is read in a moment. @module */
import { textOfUnits } from "./units.ts";

/** Part of a string: `text[begin, end)`. */
export interface Span {
  /** The whole string. */
  text: string;
  /** First UTF-16 unit. */
  begin: number;
  /** Unit after the last one. */
  end: number;
}

const NOTHING: Span = { text: "", begin: 0, end: 0 };

/** Tokens and their ids; 16 bytes per slot of a hash table and 2 per UTF-16 unit. */
export class TokenTable {
  /** How many units the longest token has. */
  longest = 0;
  #slots = new Int32Array(1 << 10); // hash, first unit, length, id + 1 (0 is free)
  #units = new Uint16Array(1 << 10);
  #unitCount = 0;
  #size = 0;
  #slotOfId: number[] | undefined; // made when a text is asked for
  readonly #texts: string[] = []; // those that were asked for

  /** Adds a token; of two ids for the same text the later one counts. */
  add({ text, begin, end }: Span, id: number): void {
    if (this.#size * 8 >= this.#slots.length) this.#growSlots();
    const length = end - begin, hash = hashOf(text, begin, end, HASH_SEED);
    const s = this.#slot(text, begin, end, NOTHING, finishHash(hash)), slots = this.#slots;
    if (slots[s + 3] === 0) {
      const first = this.#unitCount;
      if (first + length > this.#units.length) this.#growUnits(length);
      for (let i = 0; i < length; i++) this.#units[first + i] = text.charCodeAt(begin + i);
      slots[s] = finishHash(hash);
      slots[s + 1] = first;
      slots[s + 2] = length;
      this.#unitCount += length;
      this.#size++;
      this.longest = Math.max(this.longest, length);
    }
    slots[s + 3] = id + 1;
    this.#slotOfId = undefined;
  }

  /** Id of a token; undefined if there is none. */
  get(token: string): number | undefined {
    const id = this.find({ text: token, begin: 0, end: token.length });
    return id < 0 ? undefined : id;
  }

  /** Id of the token that a span, or two spans together, make; -1 if there is none. */
  find({ text, begin, end }: Span, right: Span = NOTHING): number {
    const hash = hashOf(right.text, right.begin, right.end, hashOf(text, begin, end, HASH_SEED));
    return this.#slots[this.#slot(text, begin, end, right, finishHash(hash)) + 3]! - 1;
  }

  /** The token of an id; undefined if there is none. */
  text(id: number): string | undefined {
    const slots = this.#slots;
    if (this.#slotOfId === undefined) {
      this.#slotOfId = [];
      for (let s = 0; s < slots.length; s += 4) {
        if (slots[s + 3] !== 0) this.#slotOfId[slots[s + 3]! - 1] = s;
      }
    }
    const s = this.#slotOfId[id];
    return s === undefined ? undefined : this.#texts[id] ??= this.#textAt(s);
  }

  /** The highest id, -1 if there is none. */
  largestId(): number {
    let largest = -1;
    for (let s = 3; s < this.#slots.length; s += 4) {
      largest = Math.max(largest, this.#slots[s]! - 1);
    }
    return largest;
  }

  /** Tokens of at most so many units, and their ids. */
  *shortTokens(longest: number): Generator<[token: string, id: number]> {
    const slots = this.#slots;
    for (let s = 0; s < slots.length; s += 4) {
      const id = slots[s + 3]! - 1;
      if (id >= 0 && slots[s + 2]! <= longest) yield [this.#textAt(s), id];
    }
  }

  /**
   * Id of the token that bytes make, -1 if there is none.
   *
   * @param unitOfByte How the vocabulary writes each byte
   */
  findBytes(bytes: Uint8Array, count: number, unitOfByte: Uint16Array): number {
    const slots = this.#slots;
    let hash = HASH_SEED;
    for (let i = 0; i < count; i++) hash = hashUnit(hash, unitOfByte[bytes[i]!]!);
    hash = finishHash(hash);
    for (let s = this.#slotOf(hash);; s = (s + 4) & (slots.length - 1)) {
      const id = slots[s + 3]! - 1;
      if (id < 0) return -1;
      if (slots[s] !== hash || slots[s + 2] !== count) continue;
      const first = slots[s + 1]!;
      let i = 0;
      while (i < count && this.#units[first + i] === unitOfByte[bytes[i]!]) i++;
      if (i === count) return id;
    }
  }

  #textAt(s: number): string {
    const first = this.#slots[s + 1]!;
    return textOfUnits(this.#units, first, first + this.#slots[s + 2]!);
  }

  /** Slot of the token that `text[begin, end)` and `right` make, else the free one where it belongs. */
  #slot(text: string, begin: number, end: number, right: Span, hash: number): number {
    const slots = this.#slots, length = end - begin + right.end - right.begin;
    for (let s = this.#slotOf(hash);; s = (s + 4) & (slots.length - 1)) {
      if (slots[s + 3] === 0) return s;
      if (slots[s] !== hash || slots[s + 2] !== length) continue;
      const first = slots[s + 1]!, middle = first + end - begin;
      if (!this.#equals(text, begin, end, first)) continue;
      if (this.#equals(right.text, right.begin, right.end, middle)) return s;
    }
  }

  #slotOf(hash: number): number {
    return (hash << 2) & (this.#slots.length - 1);
  }

  #equals(text: string, begin: number, end: number, at: number): boolean {
    for (let i = begin; i < end; i++) if (text.charCodeAt(i) !== this.#units[at++]) return false;
    return true;
  }

  #growSlots(): void {
    const old = this.#slots, slots = this.#slots = new Int32Array(old.length * 2);
    for (let o = 0; o < old.length; o += 4) {
      if (old[o + 3] === 0) continue;
      let s = this.#slotOf(old[o]!);
      while (slots[s + 3] !== 0) s = (s + 4) & (slots.length - 1);
      for (let k = 0; k < 4; k++) slots[s + k] = old[o + k]!;
    }
  }

  #growUnits(length: number): void {
    const units = new Uint16Array(Math.max(this.#units.length * 2, this.#unitCount + length));
    units.set(this.#units);
    this.#units = units;
  }
}

function hashOf(text: string, begin: number, end: number, hash: number): number {
  for (let i = begin; i < end; i++) hash = hashUnit(hash, text.charCodeAt(i));
  return hash;
}

// FNV-1a, of UTF-16 units
const HASH_SEED = 0x811c9dc5 | 0;

function hashUnit(hash: number, unit: number): number {
  return Math.imul(hash ^ unit, 0x01000193);
}

/** Mixes the high bits into the low ones, which choose the slot. */
function finishHash(hash: number): number {
  return hash ^ hash >>> 15;
}
