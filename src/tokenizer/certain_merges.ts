/**
 * Two or three bytes that BPE makes one token for certain, found without a search among all merges.
 *
 * In a word "..pabcn..", a and b become one token for certain if their merge comes before every merge of
 * a token that ends with p and a, and none of b and a token that begins with c comes before it: nothing
 * else can take either byte away. If the merges of the token "ab" all come later, BPE may as well begin
 * with it. It becomes "abc" for certain by the same reasoning. In words that are seen for the first time
 * half of all merges are certain.
 *
 * @module
 */
import { BYTE_OF_UNIT } from "./byte_alphabet.ts";
import type { Span } from "./token_table.ts";

const NEVER = 0x7fffffff; // rank of what is not merged, or whose turn is not known
const RANK = 0; // of a merge
const MERGED = 1; // the id that is made
// next to these, of each pair of bytes:
const LEFT_RANK = 2; // the lowest of all merges of a token that ends with the first byte and the second
const RIGHT_RANK = 3; // the lowest of all merges of the first byte and a token that begins with the second
// and of three bytes, made of the first two and the third:
const KEY = 2; // the bytes, -1 if the slot is free
const LEFT_BYTES = 3; // the last bytes, a set modulo 32, of tokens that may take the first two away before
const FACTOR = 0x9e3779b1; // 2^32 / golden ratio

/** The certain merges of a model; 3 MB where there are many, 2 of which are read. */
export class CertainMerges {
  readonly #pairs = new Int32Array(4 << 16).fill(NEVER);
  #triples = new Int32Array(4 * 4).fill(-1); // open addressing
  #tripleCount = 0;
  readonly #partPairs = new Uint8Array(1 << 16); // 1 once they are part of a merge
  readonly #partTriples = new Set<number>(); // the same
  readonly #leftBytes = new Int32Array(1 << 16); // of each pair: LEFT_BYTES for a merge that came now

  /** Takes the merge of two tokens in the byte alphabet. Ranks must increase. */
  add(left: Span, right: Span, rank: number, merged: number): void {
    const before = byteAt(left, left.end - 1), after = byteAt(right, right.begin);
    if (before < 0 || after < 0) return; // nothing is ever made of such a token
    const leftSize = left.end - left.begin, rightSize = right.end - right.begin;
    const pairs = this.#pairs, at = placeOf(before, after);
    if (rightSize === 1) {
      if (leftSize === 1) this.#addPair(before << 8 | after, rank, merged);
      if (leftSize === 2) this.#addTriple(bytesOf(left) << 8 | after, rank, merged);
      pairs[at + LEFT_RANK] = Math.min(pairs[at + LEFT_RANK]!, rank);
    }
    if (leftSize === 1) pairs[at + RIGHT_RANK] = Math.min(pairs[at + RIGHT_RANK]!, rank);
    if (rightSize === 2) this.#leftBytes[bytesOf(right)]! |= 1 << (before & 31);
    for (const part of [left, right]) {
      if (part.end - part.begin === 2) this.#partPairs[bytesOf(part)] = 1;
      if (part.end - part.begin === 3) this.#partTriples.add(bytesOf(part));
    }
  }

  /**
   * Writes bytes as symbols for a merger, merged where that is certain.
   *
   * @param bytes With two more that do not count
   * @param idOfByte [256] ids of all bytes
   * @returns How many symbols
   */
  write(bytes: Uint8Array, count: number, idOfByte: Int32Array, symbols: Int32Array): number {
    const pairs = this.#pairs;
    let n = 0, i = 0, leftRank = NEVER; // of the byte before and this one
    while (i + 1 < count) {
      const at = placeOf(bytes[i]!, bytes[i + 1]!), next = placeOf(bytes[i + 1]!, bytes[i + 2]!);
      const rank = pairs[at + RANK]!;
      const rightRank = i + 2 < count ? pairs[next + RIGHT_RANK]! : NEVER;
      if (rank < leftRank && rank <= rightRank) { // of equal pairs the left one is merged first
        const triple = i + 2 < count ? this.#findTriple(bytes, i, count) : -1;
        symbols[n++] = triple >= 0 ? triple : pairs[at + MERGED]!;
        i += triple >= 0 ? 3 : 2;
      } else symbols[n++] = idOfByte[bytes[i++]!]!;
      leftRank = pairs[placeOf(bytes[i - 1]!, bytes[i]!) + LEFT_RANK]!;
    }
    if (i < count) symbols[n++] = idOfByte[bytes[i]!]!;
    return n;
  }

  /** The id that the certain pair at `i` and the byte after it become for certain, -1 if none. */
  #findTriple(bytes: Uint8Array, i: number, count: number): number {
    const key = bytes[i]! << 16 | bytes[i + 1]! << 8 | bytes[i + 2]!;
    const triples = this.#triples, at = this.#slotOf(key);
    if (triples[at + KEY] !== key) return -1;
    if (i > 0 && (triples[at + LEFT_BYTES]! >>> (bytes[i - 1]! & 31) & 1) !== 0) return -1;
    const rightRank = i + 3 < count
      ? this.#pairs[placeOf(bytes[i + 2]!, bytes[i + 3]!) + RIGHT_RANK]!
      : NEVER;
    return triples[at + RANK]! < rightRank ? triples[at + MERGED]! : -1;
  }

  #addPair(pair: number, rank: number, merged: number): void {
    const pairs = this.#pairs, at = pair << 2;
    pairs[at + RANK] = this.#partPairs[pair] === 0 ? rank : NEVER;
    pairs[at + MERGED] = merged;
  }

  #addTriple(key: number, rank: number, merged: number): void {
    if (key < 0) return;
    let at = this.#slotOf(key);
    if (this.#triples[at + KEY] === -1) {
      if (++this.#tripleCount * 8 > this.#triples.length) this.#growTriples();
      at = this.#slotOf(key);
    }
    const triples = this.#triples;
    triples[at + RANK] = this.#partTriples.has(key) ? NEVER : rank;
    triples[at + MERGED] = merged;
    triples[at + KEY] = key;
    triples[at + LEFT_BYTES] = this.#leftBytes[key >> 8]!;
  }

  /** Slot of three bytes, else the free one where they belong. */
  #slotOf(key: number): number {
    const triples = this.#triples;
    let at = Math.imul(key, FACTOR) >>> 6 & (triples.length - 4);
    while (triples[at + KEY] !== key && triples[at + KEY] !== -1) {
      at = at + 4 & (triples.length - 1);
    }
    return at;
  }

  #growTriples(): void {
    const old = this.#triples;
    this.#triples = new Int32Array(2 * old.length).fill(-1);
    for (let o = 0; o < old.length; o += 4) {
      if (old[o + KEY] !== -1) {
        this.#triples.set(old.subarray(o, o + 4), this.#slotOf(old[o + KEY]!));
      }
    }
  }
}

function placeOf(first: number, second: number): number {
  return (first << 8 | second) << 2;
}

/** The bytes of a short token as one number; negative, no place of a table, if it is not in the alphabet. */
function bytesOf(token: Span): number {
  let bytes = 0;
  for (let i = token.begin; i < token.end; i++) bytes = bytes << 8 | byteAt(token, i);
  return bytes;
}

function byteAt({ text }: Span, place: number): number {
  const unit = text.charCodeAt(place);
  return unit < BYTE_OF_UNIT.length ? BYTE_OF_UNIT[unit]! : -1;
}
