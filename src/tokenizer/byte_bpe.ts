/** BPE over the UTF-8 bytes of a piece of text (GPT-2, BLOOM, Llama 3, Qwen). @module */
import { CHARACTER_OF_BYTE } from "./byte_alphabet.ts";
import type { CertainMerges } from "./certain_merges.ts";
import type { IdBuffer } from "./id_buffer.ts";
import type { MergeTable } from "./merge_table.ts";
import { Merger } from "./merger.ts";
import type { PieceList } from "./splitter.ts";
import type { TokenTable } from "./token_table.ts";
import { writeUtf8 } from "./units.ts";
import { hashSpan, WordCache } from "./word_cache.ts";

const BATCH = 512; // pieces whose ids are looked for at the same time
const UNIT_OF_BYTE = Uint16Array.from(CHARACTER_OF_BYTE, (c) => c.charCodeAt(0));

/** What a byte-level BPE model is made of. */
export interface ByteBpeParts {
  /** Merges. */
  merges: MergeTable;
  /** Those of a few bytes that happen for certain. */
  certain: CertainMerges;
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
  readonly #knowsAllBytes: boolean;
  readonly #hashes = new Int32Array(BATCH);
  #bytes = new Uint8Array(1 << 10);

  /** Builds an encoder with an empty cache. */
  constructor(parts: ByteBpeParts) {
    this.#parts = parts;
    this.#merger = new Merger(parts.merges);
    this.#knowsAllBytes = parts.idOfByte.every((id) => id >= 0);
  }

  /** Appends the ids of the piece `units[begin, end)`. */
  encode(units: Uint16Array, begin: number, end: number, out: IdBuffer): void {
    this.#encodeHashed(units, begin, end, hashSpan(units, begin, end), out);
  }

  /** Appends the ids of many pieces. */
  encodePieces(units: Uint16Array, pieces: PieceList, out: IdBuffer): void {
    const { count, begins, ends } = pieces, hashes = this.#hashes;
    for (let from = 0; from < count; from += BATCH) {
      const n = Math.min(BATCH, count - from);
      for (let i = 0; i < n; i++) hashes[i] = hashSpan(units, begins[from + i]!, ends[from + i]!);
      this.#cache.readAhead(hashes, n);
      for (let i = 0; i < n; i++) {
        this.#encodeHashed(units, begins[from + i]!, ends[from + i]!, hashes[i]!, out);
      }
    }
  }

  #encodeHashed(
    units: Uint16Array,
    begin: number,
    end: number,
    hash: number,
    out: IdBuffer,
  ): void {
    if (begin === end) return;
    if (this.#cache.append(units, begin, end, hash, out)) return;
    const from = out.length;
    this.#encodeUnseen(units, begin, end, out);
    this.#cache.add(units, begin, end, hash, out.data, from, out.length);
  }

  #encodeUnseen(units: Uint16Array, begin: number, end: number, out: IdBuffer): void {
    const { wholeTokens, fuseUnk, unkId } = this.#parts, from = out.length;
    const room = (end - begin) * 3 + 2; // two bytes after the last one are read, not used
    if (room > this.#bytes.length) this.#bytes = new Uint8Array(room);
    const count = writeUtf8(units, begin, end, this.#bytes);
    const whole = wholeTokens?.findBytes(this.#bytes, count, UNIT_OF_BYTE) ?? -1;
    if (whole >= 0) return out.push(whole);
    this.#merger.reserve(count);
    const n = this.#knowsAllBytes ? this.#mergeBytes(count) : this.#mergeKnownBytes(count);
    out.append(this.#merger.symbols, 0, n);
    if (fuseUnk && unkId !== undefined) out.fuseRuns(unkId, from);
  }

  #mergeBytes(count: number): number {
    const { idOfByte, certain } = this.#parts, { symbols } = this.#merger;
    return this.#merger.merge(certain.write(this.#bytes, count, idOfByte, symbols));
  }

  /** The same where bytes may be unknown. */
  #mergeKnownBytes(count: number): number {
    const { idOfByte, unkId } = this.#parts, { symbols } = this.#merger;
    let n = 0;
    for (let i = 0; i < count; i++) {
      const id = idOfByte[this.#bytes[i]!]!;
      if (id >= 0) symbols[n++] = id;
      else if (unkId !== undefined) symbols[n++] = unkId;
    }
    return this.#merger.merge(n);
  }
}
