/**
 * The normalizer "Precompiled": the rules of a SentencePiece model, applied to graphemes.
 *
 * @see huggingface/spm_precompiled, src/lib.rs
 * @module
 */
import type { Charsmap } from "../charsmap.ts";

const WHOLE_BYTES = 6; // a grapheme of fewer bytes is replaced as a whole by the rule of its beginning
const REMEMBERED = 1 << 16;
const CARRIAGE_RETURN = 13;

// what is known of a UTF-16 unit; 0 is nothing yet
const JOINS = 1; // may be one grapheme with another character beside it
const ALONE = 2; // a grapheme of its own beside any other that is
const STAYS = 3; // the same, and no rule changes it

/** Applies the rules. */
export class GraphemeNormalizer {
  readonly #charsmap: Charsmap;
  readonly #kinds = new Uint8Array(1 << 16);
  readonly #known = new Map<string, string>();

  /** Makes a normalizer. */
  constructor(charsmap: Charsmap) {
    this.#charsmap = charsmap;
  }

  /** The text as the rules have it. */
  normalize(text: string): string {
    let out = "", kept = 0; // text[kept, i) stays
    for (let i = 0; i < text.length;) {
      const end = this.#borderAfter(text, i);
      if (end === i + 1 && this.#kind(text.charCodeAt(i)) === STAYS) {
        i = end;
        continue;
      }
      out += text.slice(kept, i);
      if (end === i + 1) out += this.#replaced(text.slice(i, end));
      else {for (const { segment } of segmenter.segment(text.slice(i, end))) {
          out += this.#replaced(segment);
        }}
      kept = i = end;
    }
    return kept === 0 ? text : out + text.slice(kept);
  }

  /** First place after `begin`, where a grapheme begins, where certainly one begins too. */
  #borderAfter(text: string, begin: number): number {
    let before = this.#kind(text.charCodeAt(begin));
    for (let i = begin + 1; i < text.length; i++) {
      const kind = this.#kind(text.charCodeAt(i));
      if (before !== JOINS && kind !== JOINS) return i;
      before = kind;
    }
    return text.length;
  }

  #kind(unit: number): number {
    return this.#kinds[unit]! || (this.#kinds[unit] = this.#kindOf(unit));
  }

  #kindOf(unit: number): number {
    if ((unit & 0xf800) === 0xd800 || unit === CARRIAGE_RETURN) return JOINS;
    const c = String.fromCharCode(unit);
    for (const pair of [c + c, `a${c}`, `${c}a`]) {
      if ([...segmenter.segment(pair)].length < 2) return JOINS;
    }
    return this.#replaced(c) === c ? STAYS : ALONE;
  }

  #replaced(grapheme: string): string {
    let replaced = this.#known.get(grapheme);
    if (replaced === undefined) {
      replaced = this.#replace(grapheme);
      if (this.#known.size === REMEMBERED) this.#known.clear();
      this.#known.set(grapheme, replaced);
    }
    return replaced;
  }

  #replace(grapheme: string): string {
    const encoder = new TextEncoder(), bytes = encoder.encode(grapheme);
    const whole = bytes.length < WHOLE_BYTES ? this.#charsmap.shortest(bytes) : undefined;
    if (whole !== undefined) return whole;
    let out = "";
    for (const c of grapheme) out += this.#charsmap.shortest(encoder.encode(c)) ?? c;
    return out;
  }
}

const segmenter = new Intl.Segmenter("und", { granularity: "grapheme" });
