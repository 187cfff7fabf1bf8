/**
 * The unigram language model: of all ways to cut a text into pieces the one of highest total score.
 *
 * @see arXiv:1804.10959, and `EncodeOptimized` of google/sentencepiece, src/unigram_model.cc
 * @module
 */
import type { IdBuffer } from "./id_buffer.ts";
import { MergeTable } from "./merge_table.ts";
import { isPair, textOfUnits } from "./units.ts";
import { hashSpan, WordCache } from "./word_cache.ts";

/** A piece that can be found in text. */
export interface UnigramPiece {
  /** Its text; undefined if it is never found in text. */
  piece: string | undefined;
  /** Logarithm of its probability. */
  score: number;
}

/** What a unigram model is made of. */
export interface UnigramParts {
  /** By id. */
  pieces: readonly UnigramPiece[];
  /** Id of a character that no piece covers. */
  unkId: number | undefined;
  /** [256] id of each byte token, -1 if it has none; for characters that no piece covers. */
  idOfByte: Int32Array | undefined;
  /** Lowest score of what can be found in text; default: of all pieces. */
  lowestScore?: number;
  /** Adds scores in single precision, as the SentencePiece library does. */
  singlePrecision?: boolean;
}

const UNKNOWN_PENALTY = 10;
const CACHED_LENGTH = 64; // longer texts are whole documents rather than words

/** Encodes pieces of text. A run of unknown characters is one unknown token. */
export class Unigram {
  readonly #parts: UnigramParts;
  readonly #trie: MergeTable; // (node, UTF-16 unit) to the next node
  readonly #idOfNode: Int32Array;
  readonly #scores: Float64Array;
  readonly #unknownScore: number;
  readonly #round: (x: number) => number;
  readonly #cache = new WordCache();
  #best = new Float64Array(256);
  #from = new Int32Array(256);
  #ids = new Int32Array(256);

  /** Builds an encoder with an empty cache. */
  constructor(parts: UnigramParts) {
    this.#parts = parts;
    this.#round = parts.singlePrecision ? Math.fround : (x) => x;
    this.#scores = Float64Array.from(parts.pieces, ({ score }) => this.#round(score));
    const found = parts.pieces.filter(({ piece }) => piece !== undefined);
    const lowest = parts.lowestScore ??
      found.reduce((low, { score }) => Math.min(low, score), Infinity);
    this.#unknownScore = this.#round(this.#round(lowest) - UNKNOWN_PENALTY);
    const units = found.reduce((sum, { piece }) => sum + piece!.length, 0);
    this.#trie = new MergeTable(units);
    this.#idOfNode = new Int32Array(units + 1).fill(-1);
    let nodes = 1;
    parts.pieces.forEach(({ piece }, id) => {
      if (piece === undefined || piece === "") return;
      let node = 0;
      for (let i = 0; i < piece.length; i++) {
        const unit = piece.charCodeAt(i), place = this.#trie.find(node, unit);
        const next = place >= 0 ? this.#trie.merged(place) : nodes++;
        if (place < 0) this.#trie.add(node, unit, 0, next);
        node = next;
      }
      this.#idOfNode[node] = id;
    });
  }

  /** Appends the ids of `units[begin, end)`. */
  encode(units: Uint16Array, begin: number, end: number, out: IdBuffer): void {
    if (begin === end) return;
    if (end - begin > CACHED_LENGTH) return this.#encodeUnseen(units, begin, end, out);
    const hash = hashSpan(units, begin, end);
    if (this.#cache.append(units, begin, end, hash, out)) return;
    const from = out.length;
    this.#encodeUnseen(units, begin, end, out);
    this.#cache.add(units, begin, end, hash, out.data, from, out.length);
  }

  #encodeUnseen(units: Uint16Array, begin: number, end: number, out: IdBuffer): void {
    this.#findPath(units, begin, end);
    const from = this.#from, ids = this.#ids, path: number[] = [];
    for (let e = end - begin; e > 0; e = from[e]!) path.push(e);
    for (let k = path.length - 1; k >= 0; k--) {
      const e = path[k]!, id = ids[e]!;
      if (id >= 0) out.push(id);
      else {
        let last = e; // a run of unknown characters
        while (k > 0 && ids[path[k - 1]!]! < 0) last = path[--k]!;
        this.#pushUnknown(textOfUnits(units, begin + from[e]!, begin + last), out);
      }
    }
  }

  /** Best way to each position: where its last piece begins, and that piece; -1 if unknown. */
  #findPath(units: Uint16Array, begin: number, end: number): void {
    const size = end - begin, trie = this.#trie, scores = this.#scores, round = this.#round;
    if (size >= this.#best.length) {
      this.#best = new Float64Array(size * 2);
      this.#from = new Int32Array(size * 2);
      this.#ids = new Int32Array(size * 2);
    }
    const best = this.#best, from = this.#from, ids = this.#ids;
    best.fill(-Infinity, 0, size + 1);
    best[0] = 0;
    const offer = (at: number, start: number, score: number, id: number) => {
      if (score <= best[at]!) return;
      best[at] = score;
      from[at] = start;
      ids[at] = id;
    };
    for (let start = 0, width = 1; start < size; start += width) {
      width = isPair(units, begin + start, end) ? 2 : 1;
      let covered = false;
      for (let node = 0, at = start; at < size;) {
        const place = trie.find(node, units[begin + at]!);
        if (place < 0) break;
        node = trie.merged(place);
        at++;
        const id = this.#idOfNode[node]!;
        if (id < 0) continue;
        offer(at, start, round(scores[id]! + best[start]!), id);
        if (at === start + width) covered = true;
      }
      if (!covered) {
        offer(start + width, start, round(this.#unknownScore + best[start]!), -1);
      }
    }
  }

  #pushUnknown(run: string, out: IdBuffer): void {
    const { idOfByte, unkId } = this.#parts;
    if (idOfByte !== undefined) {
      const ids = Array.from(new TextEncoder().encode(run), (b) => idOfByte[b]!);
      if (ids.every((id) => id >= 0)) return ids.forEach((id) => out.push(id));
    }
    if (unkId === undefined) {
      throw new RangeError(
        `Cannot encode ${JSON.stringify(run)} as the model has no unknown token`,
      );
    }
    out.push(unkId);
  }
}
