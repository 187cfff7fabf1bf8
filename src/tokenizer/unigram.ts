/**
 * The unigram language model: of all ways to cut a text into pieces the one of highest total score.
 *
 * A text is cut into chunks where no piece lies on both sides: every way goes through these places. The
 * best way through a chunk is remembered, and how much better it is than the next best. Only where that
 * is so little that rounding may decide, as the score is added up from the start of the text, is the
 * chunk searched again.
 *
 * @module
 */
import { CutTable } from "./cut_table.ts";
import { IdBuffer } from "./id_buffer.ts";
import { RATED_LENGTH, type UnigramPiece, UnigramSearch } from "./unigram_search.ts";
import { textOfUnits } from "./units.ts";
import { hashSpan, WordCache } from "./word_cache.ts";

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

const MOST = 2 ** 31 - 1;

/** Encodes pieces of text. A run of unknown characters is one unknown token. */
export class Unigram {
  readonly #parts: UnigramParts;
  readonly #search: UnigramSearch;
  readonly #cuts = new CutTable();
  readonly #cache = new WordCache(); // from chunks to how far their way can be trusted, and the way
  readonly #way = new IdBuffer();

  /** Builds an encoder with an empty cache. */
  constructor(parts: UnigramParts) {
    const { pieces, singlePrecision = false } = parts;
    this.#parts = parts;
    const found = pieces.filter(({ piece }) => piece !== undefined);
    const lowest = found.reduce((low, { score }) => Math.min(low, score), Infinity);
    this.#search = new UnigramSearch(pieces, parts.lowestScore ?? lowest, singlePrecision);
    for (const { piece } of found) {
      for (let i = 1; i < piece!.length; i++) {
        this.#cuts.join(piece!.charCodeAt(i - 1), piece!.charCodeAt(i));
      }
    }
  }

  /** Appends the ids of `units[begin, end)`. */
  encode(units: Uint16Array, begin: number, end: number, out: IdBuffer): void {
    const search = this.#search, way = this.#way;
    let total = 0, unknown = -1; // where a run of unknown characters begins
    for (let i = begin; i < end;) {
      const chunkEnd = this.#cuts.chunkEnd(units[i]!, units, i + 1, end);
      this.#findWay(units, i, chunkEnd, total);
      for (let k = 1; k < way.length; k += 2) {
        const id = way.data[k]!;
        total = search.plus(total, id);
        if (id >= 0) {
          if (unknown >= 0) this.#pushUnknown(textOfUnits(units, unknown, i), out);
          unknown = -1;
          out.push(id);
        } else if (unknown < 0) unknown = i;
        i += way.data[k + 1]!;
      }
    }
    if (unknown >= 0) this.#pushUnknown(textOfUnits(units, unknown, end), out);
  }

  /** Writes one number and the way through the chunk `units[begin, end)`. */
  #findWay(units: Uint16Array, begin: number, end: number, total: number): void {
    const search = this.#search, cache = this.#cache, way = this.#way;
    way.length = 0;
    if (end - begin <= RATED_LENGTH) {
      const hash = hashSpan(units, begin, end);
      if (!cache.append(units, begin, end, hash, way)) {
        way.push(0);
        const reach = search.rate(units, begin, end, way);
        way.data[0] = Math.max(0, Math.min(reach, MOST));
        cache.add(units, begin, end, hash, way.data, 0, way.length);
      }
      if (Math.abs(total) < way.data[0]!) return;
    }
    way.length = 1;
    search.search(units, begin, end, total, way);
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
