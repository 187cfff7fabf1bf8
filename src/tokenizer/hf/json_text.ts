/** Reads parts of a JSON text where they stand, for those that are too many for `JSON.parse`. @module */
import type { Span } from "../token_table.ts";

/** The character `"`. */
export const QUOTE = 34;
/** The character `,`. */
export const COMMA = 44;
/** The character `:`. */
export const COLON = 58;
/** The character `[`. */
export const OPEN_LIST = 91;
/** The character `]`. */
export const CLOSE_LIST = 93;
/** The character `}`. */
export const CLOSE_OBJECT = 125;
const BACKSLASH = 92;

/** The first character at or after `at` that is no white space. */
export function skipSpace(text: string, at: number): number {
  for (let c; (c = text.charCodeAt(at)) === 32 || c === 10 || c === 13 || c === 9;) at++;
  return at;
}

/**
 * Reads the string whose opening quote is at `at`: a part of the text itself unless it has escapes.
 *
 * @returns The place after the closing quote
 * @throws {SyntaxError} If there is no string
 */
export function readString(text: string, at: number, string: Span): number {
  if (text.charCodeAt(at) !== QUOTE) throw brokenJson(text, at, "a string in quotes");
  const begin = at + 1;
  let end = begin, escaped = false;
  for (let c; (c = text.charCodeAt(end)) !== QUOTE; end++) {
    if (c === BACKSLASH) {
      escaped = true;
      end++;
    } else if (end >= text.length) throw brokenJson(text, text.length, "a closing quote");
  }
  string.text = escaped ? JSON.parse(text.slice(at, end + 1)) : text;
  string.begin = escaped ? 0 : begin;
  string.end = escaped ? string.text.length : end;
  return end + 1;
}

/** Error for a text that is not JSON. */
export function brokenJson(text: string, at: number, expected: string): SyntaxError {
  const found = at < text.length ? JSON.stringify(text[at]) : "the end of the text";
  return new SyntaxError(`expected ${expected} but found ${found} at character ${at}`);
}
