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
  readonly #encoder = new TextEncoder();
  #bytes = new Uint8Array(1 << 10);

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

  /** Writes the ids of the UTF-8 bytes as symbols. @returns How many */
  #load(text: string, begin: number, end: number): number {
    this.#merger.reserve((end - begin) * 3);
    const { idOfByte, unkId } = this.#parts, { symbols } = this.#merger;
    let n = 0;
    for (let i = begin; i < end; i++) {
      const c = text.charCodeAt(i);
      if (c >= 0x80) return this.#loadBytes(text.slice(begin, end));
      const id = idOfByte[c]!;
      if (id >= 0) symbols[n++] = id;
      else if (unkId !== undefined) symbols[n++] = unkId;
    }
    return n;
  }

  #loadBytes(text: string): number {
    if (text.length * 3 > this.#bytes.length) this.#bytes = new Uint8Array(text.length * 3);
    const { idOfByte, unkId } = this.#parts, { symbols } = this.#merger, bytes = this.#bytes;
    const { written } = this.#encoder.encodeInto(text, bytes); // a lone surrogate is U+FFFD
    let n = 0;
    for (let i = 0; i < written; i++) {
      const id = idOfByte[bytes[i]!]!;
      if (id >= 0) symbols[n++] = id;
      else if (unkId !== undefined) symbols[n++] = unkId;
    }
    return n;
  }

  /** Forgets the pieces seen so far. */
  clearCache(): void {
    this.#cache.clear();
  }
}
