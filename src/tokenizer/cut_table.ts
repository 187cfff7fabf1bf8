/**
 * Where a text may be cut before a character-level BPE without changing the result.
 *
 * A merge joins the last character of one token with the first of another. Between two characters
 * that no merge ever brings together nothing can happen, so what stands left and right of such a
 * border can be encoded (and cached) apart: exactly, for any vocabulary.
 *
 * @module
 */

/** The character that stands for a space inside of SentencePiece vocabularies: U+2581. */
export const META_SPACE = "\u2581";
/** Its UTF-16 unit. */
export const META_UNIT = 0x2581;
const SPACE = 32;
const FAR_BITS = 21;

/** A set of neighbouring UTF-16 units. May hold more than was added: then a text is cut less. */
export class CutTable {
  readonly #near = new Uint8Array(1 << 16); // both units below 256: exact
  readonly #far = new Int32Array(1 << (FAR_BITS - 5)); // one bit per hash of the pair

  /** Notes that a merge joins a token that ends with unit `a` and one that begins with `b`. */
  join(a: number, b: number): void {
    a = canonicalUnit(a);
    b = canonicalUnit(b);
    if ((a | b) < 256) this.#near[a << 8 | b] = 1;
    else {
      const h = farHash(a, b);
      this.#far[h >>> 5]! |= 1 << (h & 31);
    }
  }

  /** Forbids all cuts. */
  joinAll(): void {
    this.#near.fill(1);
    this.#far.fill(-1);
  }

  /** End of the chunk of `units[0, end)` whose unit before `begin` is `first`: the first cut there. */
  chunkEnd(first: number, units: Uint16Array, begin: number, end: number): number {
    let a = canonicalUnit(first), i = begin;
    for (; i < end; i++) {
      const b = canonicalUnit(units[i]!);
      if (this.#cuts(a, b)) break;
      a = b;
    }
    return i;
  }

  #cuts(a: number, b: number): boolean {
    if ((a | b) < 256) return this.#near[a << 8 | b] === 0;
    if ((a & 0xfc00) === 0xd800) return false; // inside of a surrogate pair
    const h = farHash(a, b);
    return (this.#far[h >>> 5]! >>> (h & 31) & 1) === 0;
  }
}

/** A space for both spellings of it, else the unit itself. */
function canonicalUnit(unit: number): number {
  return unit === META_UNIT ? SPACE : unit;
}

function farHash(a: number, b: number): number {
  const h = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b);
  return h >>> (32 - FAR_BITS);
}
