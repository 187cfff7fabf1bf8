/**
 * The normalizer of SentencePiece models.
 *
 * @see google/sentencepiece, src/normalizer.cc
 * @module
 */
import type { Charsmap } from "../charsmap.ts";
import { META_UNIT } from "../cut_table.ts";
import { isPair, UnitBuffer } from "../units.ts";

const SPACE = 32;

/** Settings of the normalizer. */
export interface NormalizerSettings {
  /** Replacements; undefined for none. */
  charsmap: Charsmap | undefined;
  /** Removes spaces at both ends, and of several but one. */
  removeExtraWhitespaces: boolean;
  /** Finds texts that are left as they are; undefined for none. */
  protectedTexts: RegExp | undefined;
}

/** Writes texts as the model sees them: rules applied, spaces as U+2581. */
export class Normalizer {
  readonly #settings: NormalizerSettings;
  readonly #text = new UnitBuffer();
  #units = new Uint16Array(1 << 12);
  #count = 0;
  #skipsSpaces = false; // those that come next

  /** Makes a normalizer. */
  constructor(settings: NormalizerSettings) {
    this.#settings = settings;
  }

  /** The units of the text that was normalized last, from 0 on. */
  get units(): Uint16Array {
    return this.#units;
  }

  /**
   * Normalizes a text.
   *
   * @param addDummyPrefix Puts U+2581 in front, unless nothing is left
   * @returns How many {@linkcode units} it has
   */
  normalize(text: string, addDummyPrefix: boolean): number {
    const { removeExtraWhitespaces } = this.#settings;
    text = text.toWellFormed();
    this.#count = 0;
    this.#skipsSpaces = removeExtraWhitespaces; // at the start
    const prefix = addDummyPrefix && text !== "" ? 1 : 0;
    if (prefix) this.#units[this.#count++] = META_UNIT;
    this.#apply(text, this.#text.load(text, 0, text.length));
    if (!removeExtraWhitespaces) return this.#count;
    while (this.#count > prefix && this.#units[this.#count - 1] === META_UNIT) this.#count--;
    return this.#count > prefix ? this.#count : 0;
  }

  /** From left to right: what is replaced may end inside of a text that would be protected. */
  #apply(text: string, count: number): void {
    const { charsmap, protectedTexts } = this.#settings, units = this.#text.data;
    let next = search(protectedTexts, text, 0);
    for (let i = 0; i < count;) {
      if (next !== undefined && next.index < i) next = search(protectedTexts, text, i);
      const begin = i, limit = next?.index ?? count;
      if (i === limit) {
        i += next![0].length;
        this.#add(units, begin, i);
        continue;
      }
      i = charsmap === undefined ? limit : charsmap.keptEnd(units, i, limit, count);
      this.#addCharacters(units, begin, i);
      if (i === limit) continue;
      const taken = charsmap!.match(units, i, count), size = isPair(units, i, count) ? 2 : 1;
      if (taken > 0) this.#add(charsmap!.replacement, 0, charsmap!.replacement.length);
      else this.#addCharacters(units, i, i + size);
      i += taken || size;
    }
  }

  /** Adds a part as it is, but for the spaces at its start if a space comes before them. */
  #add(part: Uint16Array, begin: number, end: number): void {
    if (this.#skipsSpaces) { while (begin < end && part[begin] === SPACE) begin++; }
    if (begin === end) return;
    this.#reserve(end - begin);
    for (let i = begin; i < end; i++) {
      this.#units[this.#count++] = part[i] === SPACE ? META_UNIT : part[i]!;
    }
    this.#skipsSpaces = part[end - 1] === SPACE && this.#settings.removeExtraWhitespaces;
  }

  /** Adds characters, each a part of its own. */
  #addCharacters(text: Uint16Array, begin: number, end: number): void {
    this.#reserve(end - begin);
    const units = this.#units, trims = this.#settings.removeExtraWhitespaces;
    let count = this.#count, skips = this.#skipsSpaces;
    for (let i = begin; i < end; i++) {
      const unit = text[i]!, isSpace = unit === SPACE;
      if (isSpace && skips) continue;
      units[count++] = isSpace ? META_UNIT : unit;
      skips = isSpace && trims;
    }
    this.#count = count;
    this.#skipsSpaces = skips;
  }

  #reserve(count: number): void {
    if (this.#count + count <= this.#units.length) return;
    const units = new Uint16Array(Math.max(2 * this.#units.length, this.#count + count));
    units.set(this.#units);
    this.#units = units;
  }
}

/** The first match at or after `from`. */
function search(pattern: RegExp | undefined, text: string, from: number) {
  if (pattern === undefined) return undefined;
  pattern.lastIndex = from;
  const match = pattern.exec(text) ?? undefined;
  pattern.lastIndex = 0; // where others begin
  return match;
}
