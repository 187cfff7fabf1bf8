/**
 * The precompiled character map of SentencePiece normalizers: a double-array trie (Darts-clone) from
 * UTF-8 prefixes to offsets into a block of zero-terminated replacements.
 *
 * @see google/sentencepiece, src/normalizer.cc
 * @module
 */

/** Replaces prefixes of a text. */
export class Charsmap {
  readonly #units: Uint32Array;
  readonly #replacements: Uint8Array;
  readonly #texts = new Map<number, string>();
  readonly #graphemes = new Map<string, string>();
  readonly #asciiStays: Uint8Array;

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
    this.#asciiStays = Uint8Array.from(
      { length: 128 },
      (_, c) => this.find([c], 0, false) === undefined ? 1 : 0,
    );
  }

  /** Reads a map as tokenizer.json has it. @throws {RangeError} If it is broken */
  static fromBase64(text: string): Charsmap {
    return new Charsmap(Uint8Array.fromBase64(text));
  }

  /**
   * The replacement of a prefix of `bytes` from `begin` on.
   *
   * @param longest The longest prefix that has one, else the shortest
   */
  find(
    bytes: ArrayLike<number>,
    begin: number,
    longest: boolean,
  ): { length: number; text: string } | undefined {
    const units = this.#units;
    let at = offset(units[0]!), found: { length: number; text: string } | undefined;
    for (let i = begin; i < bytes.length; i++) {
      const byte = bytes[i]!;
      at ^= byte;
      const unit = units[at];
      if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) break;
      at ^= offset(unit);
      if ((unit >>> 8 & 1) === 0) continue;
      found = { length: i + 1 - begin, text: this.#textAt(units[at]! & 0x7fffffff) };
      if (!longest) break;
    }
    return found;
  }

  /**
   * Rewrites a text as the tokenizers library does: a grapheme of less than six bytes that begins with
   * a known prefix is replaced as a whole, others character by character.
   */
  normalizeByGrapheme(text: string): string {
    if (this.#isPlain(text)) return text;
    let out = "";
    for (const { segment } of segmenter.segment(text)) {
      let normalized = this.#graphemes.get(segment);
      if (normalized === undefined) {
        normalized = this.#normalizeGrapheme(segment);
        if (this.#graphemes.size === 1 << 16) this.#graphemes.clear();
        this.#graphemes.set(segment, normalized);
      }
      out += normalized;
    }
    return out;
  }

  #normalizeGrapheme(grapheme: string): string {
    const encoder = new TextEncoder(), bytes = encoder.encode(grapheme);
    const whole = bytes.length < 6 ? this.find(bytes, 0, false) : undefined;
    if (whole !== undefined) return whole.text;
    let out = "";
    for (const c of grapheme) out += this.find(encoder.encode(c), 0, false)?.text ?? c;
    return out;
  }

  #isPlain(text: string): boolean {
    for (let i = 0; i < text.length; i++) {
      const c = text.charCodeAt(i);
      if (c > 127 || this.#asciiStays[c] === 0) return false;
    }
    return true;
  }

  #textAt(begin: number): string {
    let text = this.#texts.get(begin);
    if (text === undefined) {
      const end = this.#replacements.indexOf(0, begin);
      text = new TextDecoder("utf-8", { ignoreBOM: true })
        .decode(this.#replacements.subarray(begin, end < 0 ? undefined : end));
      this.#texts.set(begin, text);
    }
    return text;
  }
}

const segmenter = new Intl.Segmenter("und", { granularity: "grapheme" });

function offset(unit: number): number {
  return (unit >>> 10) << ((unit & 1 << 9) >>> 6);
}
