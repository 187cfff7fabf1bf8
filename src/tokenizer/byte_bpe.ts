/** BPE over the UTF-8 bytes of a piece of text (GPT-2, BLOOM, Llama 3, Qwen). @module */
import { CHARACTER_OF_BYTE } from "./byte_alphabet.ts";
import type { IdBuffer } from "./id_buffer.ts";
import type { MergeTable } from "./merge_table.ts";
import { Merger } from "./merger.ts";
import type { TokenTable } from "./token_table.ts";
import { hashSpan, WordCache } from "./word_cache.ts";

const UNIT_OF_BYTE = Uint16Array.from(CHARACTER_OF_BYTE, (c) => c.charCodeAt(0));

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
  wholeTokens: TokenTable | undefined;
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
    const { wholeTokens, idOfByte, fuseUnk, unkId } = this.#parts, merger = this.#merger;
    const count = this.#writeBytes(text, begin, end), bytes = this.#bytes, from = out.length;
    const whole = wholeTokens?.findBytes(bytes, count, UNIT_OF_BYTE) ?? -1;
    if (whole >= 0) return out.push(whole);
    merger.reserve(count);
    let n = 0;
    for (let i = 0; i < count; i++) {
      const id = idOfByte[bytes[i]!]!;
      if (id >= 0) merger.symbols[n++] = id;
      else if (unkId !== undefined) merger.symbols[n++] = unkId;
    }
    n = merger.merge(n);
    out.append(merger.symbols, 0, n);
    if (fuseUnk && unkId !== undefined) out.fuseRuns(unkId, from);
  }

  /** Writes the UTF-8 bytes of a span to `#bytes`; a lone surrogate is U+FFFD. @returns How many */
  #writeBytes(text: string, begin: number, end: number): number {
    if ((end - begin) * 3 > this.#bytes.length) this.#bytes = new Uint8Array((end - begin) * 3);
    const bytes = this.#bytes;
    for (let i = begin; i < end; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 127) return this.#encoder.encodeInto(text.slice(begin, end), bytes).written;
      bytes[i - begin] = unit;
    }
    return end - begin;
  }

  /** Forgets the pieces seen so far. */
  clearCache(): void {
    this.#cache.clear();
  }
}
