/**
 * Viterbi's search among all ways to cut a chunk of text into pieces.
 *
 * @see arXiv:1804.10959, and `EncodeOptimized` of google/sentencepiece, src/unigram_model.cc
 * @module
 */
import type { IdBuffer } from "./id_buffer.ts";
import { Trie } from "./trie.ts";
import { isPair } from "./units.ts";

/** A piece that can be found in text. */
export interface UnigramPiece {
  /** Its text; undefined if it is never found in text. */
  piece: string | undefined;
  /** Logarithm of its probability. */
  score: number;
}

/** Longest chunk that {@linkcode UnigramSearch.rate} takes, in UTF-16 units. */
export const RATED_LENGTH = 255;

const UNKNOWN = -1; // instead of an id: a character that no piece covers
const UNKNOWN_PENALTY = 10;
const MOST_SCORE = 1e30; // sums of larger ones may be infinite

/**
 * Finds the way of highest total score. A way is written as pairs of an id and the length of its piece
 * in UTF-16 units.
 */
export class UnigramSearch {
  readonly #trie: Trie;
  readonly #scores: Float64Array;
  readonly #unknownScore: number;
  readonly #largest: number; // how far a score is from zero at most
  readonly #single: boolean;
  // of the ways to each place of the chunk: the best score, where its last piece begins, which it is
  #best = new Float64Array(256);
  #from = new Int32Array(256);
  #ids = new Int32Array(256);
  readonly #steps: Int32Array;
  readonly #second = new Float64Array(RATED_LENGTH + 1); // the score of the next best one

  /**
   * Builds the trie of all pieces.
   *
   * @param lowestScore Of what can be found in text
   * @param single Adds scores in single precision, as the SentencePiece library does
   * @throws {RangeError} If a score is no number, or so large that sums are none
   */
  constructor(pieces: readonly UnigramPiece[], lowestScore: number, single: boolean) {
    for (const { piece, score } of pieces) {
      if (piece === undefined || Math.abs(score) <= MOST_SCORE) continue;
      const range = `from -${MOST_SCORE} to ${MOST_SCORE}`, name = JSON.stringify(piece);
      throw new RangeError(`the piece ${name} must have a score ${range}: it has ${score}`);
    }
    const round = single ? Math.fround : (x: number) => x;
    this.#single = single;
    this.#scores = Float64Array.from(pieces, ({ score }) => round(score));
    this.#unknownScore = round(round(lowestScore) - UNKNOWN_PENALTY);
    this.#largest = pieces.reduce(
      (most, { piece, score }) => piece === undefined ? most : Math.max(most, Math.abs(score)),
      Math.abs(this.#unknownScore),
    );
    this.#trie = new Trie(pieces.map(({ piece }) => piece));
    this.#steps = new Int32Array(2 * this.#trie.longest + 2);
  }

  /** The score after a piece, in the precision of the model. */
  plus(total: number, id: number): number {
    const sum = total + (id < 0 ? this.#unknownScore : this.#scores[id]!);
    return this.#single ? Math.fround(sum) : sum;
  }

  /** Writes the best way through `units[begin, end)` if `total` is the score of what comes before. */
  search(units: Uint16Array, begin: number, end: number, total: number, way: IdBuffer): void {
    this.#reset(end - begin, total);
    const best = this.#best, steps = this.#steps;
    for (let i = begin; i < end; i += isPair(units, i, end) ? 2 : 1) {
      const count = this.#findSteps(units, i, end), start = i - begin;
      for (let k = 0; k < count; k += 2) {
        const to = start + steps[k]!, id = steps[k + 1]!, score = this.plus(best[start]!, id);
        if (score > best[to]!) this.#take(start, to, id, score);
      }
    }
    this.#write(end - begin, way);
  }

  /**
   * Writes the way through `units[begin, end)` that is the best whatever comes before, as long as its
   * score is not so large that rounding decides.
   *
   * A sum of n scores is rounded n times, by at most half a unit in the last place of what comes before
   * and n times the largest score.
   *
   * @returns How far from zero the score of what comes before may be; none is near enough if negative
   */
  rate(units: Uint16Array, begin: number, end: number, way: IdBuffer): number {
    const size = end - begin;
    this.#reset(size, 0);
    const best = this.#best, second = this.#second, steps = this.#steps;
    second.fill(-Infinity, 0, size + 1);
    for (let i = begin; i < end; i += isPair(units, i, end) ? 2 : 1) {
      const count = this.#findSteps(units, i, end), start = i - begin;
      for (let k = 0; k < count; k += 2) {
        const to = start + steps[k]!, id = steps[k + 1]!;
        const score = id < 0 ? this.#unknownScore : this.#scores[id]!;
        const first = best[start]! + score, next = second[start]! + score;
        if (first > best[to]!) {
          second[to] = Math.max(best[to]!, next);
          this.#take(start, to, id, first);
        } else if (first > second[to]!) second[to] = first;
      }
    }
    this.#write(size, way);
    const gap = best[size]! - second[size]!, precision = this.#single ? 2 ** -23 : 2 ** -52;
    return gap / (2 * size * precision) - size * this.#largest;
  }

  #reset(size: number, total: number): void {
    if (size >= this.#best.length) {
      this.#best = new Float64Array(size * 2);
      this.#from = new Int32Array(size * 2);
      this.#ids = new Int32Array(size * 2);
    }
    this.#best.fill(-Infinity, 0, size + 1);
    this.#best[0] = total;
  }

  #take(start: number, to: number, id: number, score: number): void {
    this.#best[to] = score;
    this.#from[to] = start;
    this.#ids[to] = id;
  }

  /** Finds the pieces that begin at `start`. @returns Twice how many: a length and an id each */
  #findSteps(units: Uint16Array, start: number, end: number): number {
    const trie = this.#trie, steps = this.#steps;
    const width = isPair(units, start, end) ? 2 : 1;
    let count = 0;
    for (let node = 0, at = start; at < end;) {
      node = trie.child(node, units[at++]!);
      if (node < 0) break;
      const id = trie.id(node);
      if (id < 0) continue;
      steps[count++] = at - start;
      steps[count++] = id;
    }
    if (count > 0 && steps[0] === width) return count;
    steps[count++] = width; // the character is no piece by itself
    steps[count++] = UNKNOWN;
    return count;
  }

  #write(size: number, way: IdBuffer): void {
    const from = this.#from, ids = this.#ids;
    let count = 0;
    for (let at = size; at > 0; at = from[at]!) count += 2;
    way.reserve(count);
    way.length += count;
    for (let at = size, k = way.length; at > 0; at = from[at]!) {
      way.data[--k] = at - from[at]!;
      way.data[--k] = ids[at]!;
    }
  }
}
