/** Ids of tokens by their text, looked up without making strings: for the merges of large files. @module */
/** Part of a string: `text[begin, end)`. */
export interface Span {
  /** The whole string. */
  text: string;
  /** First UTF-16 unit. */
  begin: number;
  /** Unit after the last one. */
  end: number;
}

/** An immutable copy of a vocabulary; 16 bytes per slot and 2 per UTF-16 unit, no objects. */
export class TokenTable {
  readonly #slots: Int32Array; // hash, first unit, length, id + 1 (0 is free)
  readonly #units: Uint16Array;

  /** Copies a vocabulary. */
  constructor(idOf: ReadonlyMap<string, number>) {
    let capacity = 16, units = 0;
    while (capacity < idOf.size * 2) capacity *= 2;
    for (const token of idOf.keys()) units += token.length;
    this.#slots = new Int32Array(capacity * 4);
    this.#units = new Uint16Array(units);
    let at = 0;
    for (const [token, id] of idOf) {
      const first = at;
      let hash = HASH_SEED;
      for (let i = 0; i < token.length; i++) {
        hash = hashUnit(hash, this.#units[at++] = token.charCodeAt(i));
      }
      hash = finishHash(hash);
      let s = this.#slotOf(hash);
      while (this.#slots[s + 3] !== 0) s = (s + 4) & (this.#slots.length - 1);
      this.#slots.set([hash, first, token.length, id + 1], s);
    }
  }

  /** Id of the token that two spans make together, -1 if there is none. */
  find(left: Span, right: Span): number {
    const slots = this.#slots, length = left.end - left.begin + right.end - right.begin;
    const hash = finishHash(hashOf(right, hashOf(left, HASH_SEED)));
    for (let s = this.#slotOf(hash);; s = (s + 4) & (slots.length - 1)) {
      const id = slots[s + 3]! - 1;
      if (id < 0) return -1;
      if (slots[s] !== hash || slots[s + 2] !== length) continue;
      const middle = slots[s + 1]! + left.end - left.begin;
      if (this.#equals(left, slots[s + 1]!) && this.#equals(right, middle)) return id;
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

  #slotOf(hash: number): number {
    return (hash << 2) & (this.#slots.length - 1);
  }

  #equals({ text, begin, end }: Span, at: number): boolean {
    for (let i = begin; i < end; i++) if (text.charCodeAt(i) !== this.#units[at++]) return false;
    return true;
  }
}

function hashOf({ text, begin, end }: Span, hash: number): number {
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
