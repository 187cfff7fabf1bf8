/** The merges of tokenizer.json, read where they stand in its text. @module */
import type { Span } from "../token_table.ts";
import {
  brokenJson,
  CLOSE_LIST,
  COMMA,
  OPEN_LIST,
  QUOTE,
  readString,
  skipSpace,
} from "./json_text.ts";

const SPACE = 32;

/** A list of pairs, each as "a b" or ["a", "b"]: up to some 500,000, of which no objects are made. */
export class MergeList {
  /** How many there are. */
  readonly count: number;
  /** Place of the closing bracket. */
  readonly end: number;
  readonly #text: string;
  readonly #begin: number;

  /**
   * Counts the entries of the list.
   *
   * @param text The file
   * @param begin Place after the opening bracket
   * @throws {SyntaxError} If the list does not end
   */
  constructor(text: string, begin: number) {
    const string = { text: "", begin: 0, end: 0 };
    let count = 0, depth = 0, at = begin;
    for (let c; (c = text.charCodeAt(at)) !== CLOSE_LIST || depth > 0;) {
      if (at >= text.length) throw brokenJson(text, at, "a closing bracket");
      if (depth === 0 && (c === QUOTE || c === OPEN_LIST)) count++;
      if (c === OPEN_LIST) depth++;
      if (c === CLOSE_LIST) depth--;
      at = c === QUOTE ? readString(text, at, string) : at + 1;
    }
    this.#text = text;
    this.#begin = begin;
    this.count = count;
    this.end = at;
  }

  /**
   * Gives all pairs in order; the two spans are reused.
   *
   * @throws {TypeError} If an entry is not two tokens
   * @throws {SyntaxError} If it is no list
   */
  read(take: (left: Span, right: Span, rank: number) => void): void {
    const text = this.#text, left = { text, begin: 0, end: 0 }, right = { text, begin: 0, end: 0 };
    let at = skipSpace(text, this.#begin);
    for (let rank = 0; at < this.end; rank++) {
      const begin = at;
      at = text.charCodeAt(at) === QUOTE
        ? readWords(text, at, left, right)
        : readPair(text, at, left, right);
      if (at < 0 || left.begin === left.end || right.begin === right.end) {
        throw new TypeError(
          `model.merges[${rank}] must be two tokens: current value is ${
            text.slice(begin, begin + 40)
          }`,
        );
      }
      take(left, right, rank);
      at = skipSpace(text, at);
      if (at === this.end) break;
      if (text.charCodeAt(at) !== COMMA) throw brokenJson(text, at, "a comma or a closing bracket");
      at = skipSpace(text, at + 1);
      if (at === this.end) throw brokenJson(text, at, "a merge");
    }
  }
}

/** Reads "a b". @returns The place after it, -1 if it is not two words */
function readWords(text: string, at: number, left: Span, right: Span): number {
  const after = readString(text, at, left), words = left.text, end = left.end;
  let space = -1;
  for (let i = left.begin; i < end; i++) {
    if (words.charCodeAt(i) !== SPACE) continue;
    if (space >= 0) return -1;
    space = i;
  }
  left.end = space;
  right.text = words;
  right.begin = space + 1;
  right.end = end;
  return space < 0 ? -1 : after;
}

/** Reads ["a", "b"]. @returns The place after it, -1 if it is something else */
function readPair(text: string, at: number, left: Span, right: Span): number {
  if (text.charCodeAt(at) !== OPEN_LIST) return -1;
  at = skipSpace(text, at + 1);
  if (text.charCodeAt(at) !== QUOTE) return -1;
  at = skipSpace(text, readString(text, at, left));
  if (text.charCodeAt(at) !== COMMA) return -1;
  at = skipSpace(text, at + 1);
  if (text.charCodeAt(at) !== QUOTE) return -1;
  at = skipSpace(text, readString(text, at, right));
  return text.charCodeAt(at) === CLOSE_LIST ? at + 1 : -1;
}
