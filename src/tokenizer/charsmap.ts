/**
 * The precompiled character map of SentencePiece normalizers: a double-array trie (Darts-clone) from
 * UTF-8 prefixes to offsets into a block of zero-terminated replacements.
 *
 * @see google/sentencepiece, src/normalizer.cc
 * @module
 */
import { isPair, writeUtf8 } from "./units.ts";

// what is known of a UTF-16 unit; 0 is nothing yet
const STAYS = 1; // no rule begins with it
const STAYS_BEFORE_ASCII = 2; // rules do, but only with a character beyond ASCII next to it
const ASK = 3;

/** Replaces prefixes of a text. */
export class Charsmap {
  /** What {@linkcode Charsmap.match} found. */
  replacement: Uint16Array = new Uint16Array(0);
  readonly #units: Uint32Array;
  readonly #replacements: Uint8Array;
  readonly #texts = new Map<number, string>();
  readonly #unitsOfRule = new Map<number, Uint16Array>();
  readonly #kinds = new Uint8Array(1 << 16);

  /**
   * Reads a map.
   *
   * @param blob Byte length of the trie (u32, little endian), trie, replacements
   * @throws {RangeError} If the length is wrong
   */
  constructor(blob: Uint8Array) {
    const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
    const trieBytes = blob.length < 4 ? -1 : view.getUint32(0, true);
    if (trieBytes < 1024 || trieBytes % 4 !== 0 || 4 + trieBytes >= blob.length) {
      throw new RangeError(
        `Cannot read precompiled charsmap: its trie must fit into ${blob.length} bytes: ` +
          `current length is ${trieBytes}`,
      );
    }
    this.#units = Uint32Array.from(
      { length: trieBytes / 4 },
      (_, i) => view.getUint32(4 + 4 * i, true),
    );
    this.#replacements = blob.subarray(4 + trieBytes);
  }

  /** Reads a map as tokenizer.json has it. @throws {RangeError} If it is broken */
  static fromBase64(text: string): Charsmap {
    return new Charsmap(Uint8Array.fromBase64(text));
  }

  /**
   * First place of `units[begin, limit)` where a rule may begin; `limit` if there is none.
   *
   * @param end Of the text
   */
  keptEnd(units: Uint16Array, begin: number, limit: number, end: number): number {
    const kinds = this.#kinds;
    for (let i = begin; i < limit; i++) {
      const unit = units[i]!, kind = kinds[unit]! || this.#learn(unit);
      if (kind === STAYS) continue;
      if (kind === ASK || (i + 1 < end && units[i + 1]! >= 128)) return i;
    }
    return limit;
  }

  /**
   * Finds the longest rule that `units[begin, end)` begins with; its text is {@linkcode replacement}.
   *
   * @returns How many units it replaces, 0 if there is none
   */
  match(units: Uint16Array, begin: number, end: number): number {
    let place = 0, rule = -1, taken = 0;
    for (let i = begin; i < end;) {
      const size = isPair(units, i, end) ? 2 : 1, count = writeUtf8(units, i, i + size, BYTES);
      for (let k = 0; k < count && place >= 0; k++) place = this.#child(place, BYTES[k]!);
      if (place < 0) break;
      i += size;
      if (!this.#isRule(place)) continue;
      rule = place;
      taken = i - begin;
    }
    if (rule >= 0) this.replacement = this.#unitsOf(rule);
    return taken;
  }

  /** The text of the shortest rule that `bytes` begin with; undefined if there is none. */
  shortest(bytes: ArrayLike<number>): string | undefined {
    let place = 0;
    for (let i = 0; i < bytes.length; i++) {
      place = this.#child(place, bytes[i]!);
      if (place < 0) return undefined;
      if (this.#isRule(place)) return this.#textOf(place);
    }
    return undefined;
  }

  /** The place in the trie that a byte leads to from another, -1 if it leads nowhere. */
  #child(place: number, byte: number): number {
    const child = place ^ offset(this.#units[place]!) ^ byte, unit = this.#units[child];
    return unit === undefined || (unit & 0x800000ff) >>> 0 !== byte ? -1 : child;
  }

  #isRule(place: number): boolean {
    return (this.#units[place]! >>> 8 & 1) !== 0;
  }

  #learn(unit: number): number {
    return this.#kinds[unit] = this.#kindOf(unit);
  }

  #kindOf(unit: number): number {
    if ((unit & 0xf800) === 0xd800) return ASK; // half of a pair
    const count = writeUtf8(Uint16Array.of(unit), 0, 1, BYTES);
    let place = 0;
    for (let k = 0; k < count; k++) {
      place = this.#child(place, BYTES[k]!);
      if (place < 0) return STAYS;
    }
    if (this.#isRule(place)) return ASK;
    for (let c = 0; c < 128; c++) if (this.#child(place, c) >= 0) return ASK;
    return STAYS_BEFORE_ASCII;
  }

  #textOf(rule: number): string {
    const begin = this.#units[rule ^ offset(this.#units[rule]!)]! & 0x7fffffff;
    let text = this.#texts.get(begin);
    if (text === undefined) {
      const end = this.#replacements.indexOf(0, begin);
      text = new TextDecoder("utf-8", { ignoreBOM: true })
        .decode(this.#replacements.subarray(begin, end < 0 ? undefined : end));
      this.#texts.set(begin, text);
    }
    return text;
  }

  #unitsOf(rule: number): Uint16Array {
    let units = this.#unitsOfRule.get(rule);
    if (units === undefined) {
      const text = this.#textOf(rule);
      units = Uint16Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
      this.#unitsOfRule.set(rule, units);
    }
    return units;
  }
}

const BYTES = new Uint8Array(4); // of one character

function offset(unit: number): number {
  return (unit >>> 10) << ((unit & 1 << 9) >>> 6);
}
