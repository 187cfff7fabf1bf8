/** BPE over the UTF-8 bytes of a piece of text (GPT-2, BLOOM, Llama 3, Qwen). @module */
import { toByteAlphabet } from "./byte_alphabet.ts";
import type { IdBuffer } from "./id_buffer.ts";
import type { MergeTable } from "./merge_table.ts";
import { Merger } from "./merger.ts";
import { hashSpan, WordCache } from "./word_cache.ts";

/** What a byte-level BPE model is made of. */
export interface ByteBpeParts {
  /** Merges. */
  merges: MergeTable;
  /** [256] id of each byte, -1 if it has none. */
  idOfByte: Int32Array;
  /** For a byte without id; undefined drops it. */
  unkId: number | undefined;
  /** Makes a run of unknown bytes one unknown token. */
  fuseUnk: boolean;
  /** If given: a piece that is a token as a whole, in the byte alphabet, is not merged at all. */
  wholeTokens: ReadonlyMap<string, number> | undefined;
}

/** Encodes pieces, each on its own. */
export class ByteBpe {
  readonly #parts: ByteBpeParts;
  readonly #merger: Merger;
  readonly #cache = new WordCache();

  /** Builds an encoder with an empty cache. */
  constructor(parts: ByteBpeParts) {
    this.#parts = parts;
    this.#merger = new Merger(parts.merges);
  }

  /** Appends the ids of the piece `text[begin, end)`. */
  encode(text: string, begin: number, end: number, out: IdBuffer): void {
    if (begin === end) return;
    const hash = hashSpan(text, begin, end);
    if (this.#cache.append(text, begin, end, hash, out)) return;
    const from = out.length;
    this.#encodeUnseen(text, begin, end, out);
    this.#cache.add(text, begin, end, hash, out.data, from, out.length);
  }

  #encodeUnseen(text: string, begin: number, end: number, out: IdBuffer): void {
    const { wholeTokens, fuseUnk, unkId } = this.#parts;
    const whole = wholeTokens?.get(toByteAlphabet(text.slice(begin, end)));
    if (whole !== undefined) return out.push(whole);
    const from = out.length;
    const n = this.#merger.merge(this.#load(text, begin, end));
    out.append(this.#merger.symbols, 0, n);
    if (fuseUnk && unkId !== undefined) out.fuseRuns(unkId, from);
  }

  /** Writes the ids of the UTF-8 bytes as symbols; a lone surrogate is U+FFFD. @returns How many */
  #load(text: string, begin: number, end: number): number {
    this.#merger.reserve((end - begin) * 3);
    const { idOfByte, unkId } = this.#parts, { symbols } = this.#merger;
    let n = 0;
    const put = (byte: number) => {
      const id = idOfByte[byte]!;
      if (id >= 0) symbols[n++] = id;
      else if (unkId !== undefined) symbols[n++] = unkId;
    };
    for (let i = begin; i < end; i++) {
      let c = text.charCodeAt(i);
      if (c < 0x80) {
        put(c);
        continue;
      }
      if (c < 0x800) {
        put(0xc0 | c >> 6);
        put(0x80 | c & 63);
        continue;
      }
      if ((c & 0xf800) === 0xd800) {
        const low = i + 1 < end ? text.charCodeAt(i + 1) : 0;
        if (c < 0xdc00 && (low & 0xfc00) === 0xdc00) {
          c = 0x10000 + ((c & 0x3ff) << 10 | low & 0x3ff);
          i++;
          put(0xf0 | c >> 18);
          put(0x80 | c >> 12 & 63);
          put(0x80 | c >> 6 & 63);
          put(0x80 | c & 63);
          continue;
        }
        c = 0xfffd;
      }
      put(0xe0 | c >> 12);
      put(0x80 | c >> 6 & 63);
      put(0x80 | c & 63);
    }
    return n;
  }

  /** Forgets the pieces seen so far. */
  clearCache(): void {
    this.#cache.clear();
  }
}
