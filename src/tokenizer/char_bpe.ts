/** BPE over characters, with bytes for what the vocabulary lacks (SentencePiece, Llama 2). @module */
import { canonicalUnit, type CutTable, META_SPACE } from "./cut_table.ts";
import type { IdBuffer } from "./id_buffer.ts";
import type { MergeTable } from "./merge_table.ts";
import { Merger } from "./merger.ts";
import { finishHash, HASH_SEED, hashUnit, WordCache } from "./word_cache.ts";

/** What a character-level BPE model is made of. */
export interface CharBpeParts {
  /** Merges. */
  merges: MergeTable;
  /** Where texts may be cut. */
  cuts: CutTable;
  /** Ids of single characters. */
  idOfCharacter: ReadonlyMap<string, number>;
  /** [256] id of each byte token, -1 if it has none; for characters that have no id. */
  idOfByte: Int32Array | undefined;
  /** For a character that has neither; undefined drops it. */
  unkId: number | undefined;
  /** Makes a run of unknown characters one unknown token. */
  fuseUnk: boolean;
  /** If given: a text that is a token as a whole is not merged at all. */
  wholeTokens: ReadonlyMap<string, number> | undefined;
  /**
   * Characters that are not in the vocabulary, but in a longer token: they take part in merges with
   * the ids from `firstStandIn` on, and are unknown in the end.
   */
  standIns: readonly string[];
  /** First id that stands for a character of `standIns`. */
  firstStandIn: number;
}

/** How the text given to {@linkcode CharBpe.encode} is to be read. */
export interface CharBpeReading {
  /** Takes a space for U+2581. */
  spaceIsMeta: boolean;
  /** Puts U+2581 in front. */
  prefix: boolean;
}

/** Encodes texts of any length. */
export class CharBpe {
  readonly #parts: CharBpeParts;
  readonly #merger: Merger;
  readonly #cache = new WordCache();
  readonly #idOfUnit = new Int32Array(1 << 16).fill(-1);
  readonly #idOfAstral = new Map<number, number>();
  readonly #idsOfUnknown = new Map<string, number[]>();
  readonly #longestToken: number;
  #spaceIsMeta = false;

  /** Builds an encoder with an empty cache. */
  constructor(parts: CharBpeParts) {
    this.#parts = parts;
    this.#merger = new Merger(parts.merges);
    const setId = (character: string, id: number) => {
      if (character.length === 1) this.#idOfUnit[character.charCodeAt(0)] = id;
      else this.#idOfAstral.set(character.codePointAt(0)!, id);
    };
    for (const [character, id] of parts.idOfCharacter) setId(character, id);
    parts.standIns.forEach((character, i) => setId(character, parts.firstStandIn + i));
    let longest = 0;
    for (const token of parts.wholeTokens?.keys() ?? []) longest = Math.max(longest, token.length);
    this.#longestToken = longest;
  }

  /** Appends the ids of `text[begin, end)`. */
  encode(
    text: string,
    begin: number,
    end: number,
    out: IdBuffer,
    { spaceIsMeta, prefix }: CharBpeReading = { spaceIsMeta: false, prefix: false },
  ): void {
    if (begin === end) return;
    if (spaceIsMeta !== this.#spaceIsMeta) this.#read(spaceIsMeta);
    if (this.#appendWhole(text, begin, end, prefix, out)) return;
    const { cuts, fuseUnk, unkId } = this.#parts, cache = this.#cache;
    const from = out.length;
    let i = begin;
    if (prefix) {
      i = this.#chunkEnd(text, begin, end);
      const first = META_SPACE + text.slice(begin, i);
      this.#encodeUnseen(first, 0, first.length, out);
    }
    while (i < end) {
      const unit = text.charCodeAt(i);
      let a = canonicalUnit(unit), hash = hashUnit(HASH_SEED, unit), e = i + 1;
      for (; e < end; e++) {
        const next = text.charCodeAt(e), b = canonicalUnit(next);
        if (cuts.cuts(a, b)) break;
        hash = hashUnit(hash, next);
        a = b;
      }
      hash = finishHash(hash);
      if (!cache.append(text, i, e, hash, out)) {
        const start = out.length;
        this.#encodeUnseen(text, i, e, out);
        cache.add(text, i, e, hash, out.data, start, out.length);
      }
      i = e;
    }
    if (fuseUnk && unkId !== undefined) out.fuseRuns(unkId, from);
  }

  /** End of the chunk that begins with a prefix U+2581 before `begin`; `begin` if that stands alone. */
  #chunkEnd(text: string, begin: number, end: number): number {
    const { cuts } = this.#parts;
    let a = canonicalUnit(META_SPACE.charCodeAt(0)), e = begin;
    for (; e < end; e++) {
      const b = canonicalUnit(text.charCodeAt(e));
      if (cuts.cuts(a, b)) break;
      a = b;
    }
    return e;
  }

  #appendWhole(text: string, begin: number, end: number, prefix: boolean, out: IdBuffer): boolean {
    const { wholeTokens } = this.#parts;
    if (wholeTokens === undefined || end - begin > this.#longestToken) return false;
    const piece = (prefix ? META_SPACE : "") + text.slice(begin, end);
    const id = wholeTokens.get(this.#spaceIsMeta ? piece.replaceAll(" ", META_SPACE) : piece);
    if (id === undefined) return false;
    out.push(id);
    return true;
  }

  #encodeUnseen(text: string, begin: number, end: number, out: IdBuffer): void {
    const n = this.#merger.merge(this.#load(text, begin, end));
    const { standIns, firstStandIn } = this.#parts, { symbols } = this.#merger;
    if (standIns.length === 0) return out.append(symbols, 0, n);
    for (let i = 0; i < n; i++) {
      const id = symbols[i]!;
      if (id < firstStandIn) out.push(id);
      else for (const x of this.#unknown(standIns[id - firstStandIn]!)) out.push(x);
    }
  }

  #load(text: string, begin: number, end: number): number {
    this.#merger.reserve((end - begin) * 3);
    const { symbols } = this.#merger, idOfUnit = this.#idOfUnit;
    let n = 0;
    for (let i = begin; i < end; i++) {
      const unit = text.charCodeAt(i);
      let id = idOfUnit[unit]!, c = unit;
      if ((unit & 0xfc00) === 0xd800 && i + 1 < end) {
        c = text.codePointAt(i)!;
        if (c > 0xffff) {
          i++;
          id = this.#idOfAstral.get(c) ?? -1;
        }
      }
      if (id >= 0) symbols[n++] = id;
      else for (const x of this.#unknown(String.fromCodePoint(c))) symbols[n++] = x;
    }
    return n;
  }

  /** Ids of a character that is not in the vocabulary. */
  #unknown(character: string): number[] {
    const { idOfByte, unkId } = this.#parts;
    let ids = this.#idsOfUnknown.get(character);
    if (ids !== undefined) return ids;
    ids = idOfByte
      ? Array.from(new TextEncoder().encode(character), (byte) => idOfByte[byte]!)
      : [-1];
    if (ids.includes(-1)) ids = unkId === undefined ? [] : [unkId];
    this.#idsOfUnknown.set(character, ids);
    return ids;
  }

  /** Changes what a space is; what the cache holds was read otherwise. */
  #read(spaceIsMeta: boolean): void {
    const { idOfCharacter } = this.#parts;
    this.#spaceIsMeta = spaceIsMeta;
    this.#idOfUnit[32] = idOfCharacter.get(spaceIsMeta ? META_SPACE : " ") ?? -1;
    this.#cache.clear();
  }

  /** Forgets the chunks seen so far. */
  clearCache(): void {
    this.#cache.clear();
  }
}
