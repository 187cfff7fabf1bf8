/** Added tokens of tokenizer.json: found in the text before anything else is done to it. @module */
import { escapeRegex } from "../regex.ts";

/** A token next to those of the model. */
export interface AddedToken {
  /** Its id. */
  id: number;
  /** Its text. */
  content: string;
  /** Found only between characters that are not part of a word. */
  singleWord: boolean;
  /** Takes the white space on its left with it. */
  lstrip: boolean;
  /** Takes the white space on its right with it. */
  rstrip: boolean;
  /** Searched in the normalized text. */
  normalized: boolean;
  /** Left out when decoding without special tokens. */
  special: boolean;
}

/** Receives the parts of a text in order; `id` is -1 for what is not a token. */
export type PartSink = (begin: number, end: number, id: number) => void;

/** Finds tokens in texts: the leftmost first, of several there the longest. */
export class TokenFinder {
  readonly #tokens: ReadonlyMap<string, AddedToken>;
  readonly #regex: RegExp;

  /** Makes a finder of at least one token, each by the text that is searched. */
  constructor(tokens: ReadonlyMap<string, AddedToken>) {
    this.#tokens = tokens;
    const texts = [...tokens.keys()].sort((a, b) => b.length - a.length);
    this.#regex = new RegExp(texts.map(escapeRegex).join("|"), "gu");
  }

  /** Cuts a text into tokens and the rest. Parts are never empty. */
  split(text: string, sink: PartSink): void {
    const regex = this.#regex;
    regex.lastIndex = 0;
    let done = 0;
    for (let match = regex.exec(text); match !== null; match = regex.exec(text)) {
      const token = this.#tokens.get(match[0])!;
      let begin = match.index, end = begin + match[0].length;
      if (token.singleWord && (endsWithWord(text, begin) || startsWithWord(text, end))) continue;
      if (token.lstrip) begin = Math.max(done, beginOfSpaces(text, begin));
      if (token.rstrip) end = endOfSpaces(text, end);
      if (done < begin) sink(done, begin, -1);
      if (begin < end) sink(begin, end, token.id); // else the token before has eaten this space
      done = end;
    }
    if (done < text.length) sink(done, text.length, -1);
  }
}

const WORD = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]";
const WORD_AT = new RegExp(WORD, "uy");
const WORD_BEFORE = new RegExp(`(?<=${WORD})`, "uy");
const SPACE = /\p{White_Space}/u;

function endsWithWord(text: string, end: number): boolean {
  WORD_BEFORE.lastIndex = end;
  return WORD_BEFORE.test(text);
}

function startsWithWord(text: string, begin: number): boolean {
  WORD_AT.lastIndex = begin;
  return WORD_AT.test(text);
}

function beginOfSpaces(text: string, end: number): number {
  while (end > 0 && SPACE.test(text[end - 1]!)) end--;
  return end;
}

function endOfSpaces(text: string, begin: number): number {
  while (begin < text.length && SPACE.test(text[begin]!)) begin++;
  return begin;
}
