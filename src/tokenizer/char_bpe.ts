/** BPE over characters, with bytes for what the vocabulary lacks (SentencePiece, Llama 2). @module */
import { type CutTable, META_SPACE, META_UNIT } from "./cut_table.ts";
import type { IdBuffer } from "./id_buffer.ts";
import type { MergeTable } from "./merge_table.ts";
import { Merger } from "./merger.ts";
import type { TokenTable } from "./token_table.ts";
import { characterOfPair, isPair, textOfUnits } from "./units.ts";
import { hashSpan, WordCache } from "./word_cache.ts";

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
  wholeTokens: TokenTable | undefined;
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
  readonly #idsOfUnknown = new Map<number, number[]>();
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
  }

  /** Appends the ids of `units[begin, end)`. */
  encode(
    units: Uint16Array,
    begin: number,
    end: number,
    out: IdBuffer,
    { spaceIsMeta, prefix }: CharBpeReading = { spaceIsMeta: false, prefix: false },
  ): void {
    if (begin === end) return;
    if (spaceIsMeta !== this.#spaceIsMeta) this.#read(spaceIsMeta);
    if (this.#appendWhole(units, begin, end, prefix, out)) return;
    const { cuts, fuseUnk, unkId } = this.#parts, cache = this.#cache;
    const from = out.length;
    let i = begin;
    if (prefix) {
      i = cuts.chunkEnd(META_UNIT, units, begin, end);
      const first = Uint16Array.of(META_UNIT, ...units.subarray(begin, i));
      this.#encodeUnseen(first, 0, first.length, out);
    }
    while (i < end) {
      const e = cuts.chunkEnd(units[i]!, units, i + 1, end), hash = hashSpan(units, i, e);
      if (!cache.append(units, i, e, hash, out)) {
        const start = out.length;
        this.#encodeUnseen(units, i, e, out);
        cache.add(units, i, e, hash, out.data, start, out.length);
      }
      i = e;
    }
    if (fuseUnk && unkId !== undefined) out.fuseRuns(unkId, from);
  }

  #appendWhole(
    units: Uint16Array,
    begin: number,
    end: number,
    prefix: boolean,
    out: IdBuffer,
  ): boolean {
    const { wholeTokens } = this.#parts;
    if (wholeTokens === undefined || end - begin > wholeTokens.longest) return false;
    const piece = (prefix ? META_SPACE : "") + textOfUnits(units, begin, end);
    const id = wholeTokens.get(this.#spaceIsMeta ? piece.replaceAll(" ", META_SPACE) : piece);
    if (id === undefined) return false;
    out.push(id);
    return true;
  }

  #encodeUnseen(units: Uint16Array, begin: number, end: number, out: IdBuffer): void {
    const n = this.#merger.merge(this.#load(units, begin, end));
    const { standIns, firstStandIn } = this.#parts, { symbols } = this.#merger;
    if (standIns.length === 0) return out.append(symbols, 0, n);
    for (let i = 0; i < n; i++) {
      const id = symbols[i]!;
      if (id < firstStandIn) out.push(id);
      else for (const x of this.#unknown(standIns[id - firstStandIn]!.codePointAt(0)!)) out.push(x);
    }
  }

  #load(units: Uint16Array, begin: number, end: number): number {
    this.#merger.reserve((end - begin) * 3);
    const { symbols } = this.#merger, idOfUnit = this.#idOfUnit;
    let n = 0;
    for (let i = begin; i < end; i++) {
      let c = units[i]!, id = idOfUnit[c]!;
      if (isPair(units, i, end)) {
        c = characterOfPair(c, units[++i]!);
        id = this.#idOfAstral.get(c) ?? -1;
      }
      if (id >= 0) symbols[n++] = id;
      else for (const x of this.#unknown(c)) symbols[n++] = x;
    }
    return n;
  }

  /** Ids of a character that is not in the vocabulary. */
  #unknown(character: number): number[] {
    const { idOfByte, unkId } = this.#parts;
    let ids = this.#idsOfUnknown.get(character);
    if (ids !== undefined) return ids;
    ids = idOfByte
      ? Array.from(
        new TextEncoder().encode(String.fromCodePoint(character)),
        (byte) => idOfByte[byte]!,
      )
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
}
