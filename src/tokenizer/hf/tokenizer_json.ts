/**
 * Parses tokenizer.json. Its vocabulary, an object of up to some 250,000 keys, is read apart into a map:
 * that is faster than an object, and V8's JSON.parse may read keys with escapes wrong.
 *
 * @module
 */
import { parseJson } from "../../formats/json_exact.ts";

/** A parsed file. */
export interface TokenizerJson {
  /** All of it but `model.vocab`, which is empty here if it was an object. */
  json: unknown;
  /** `model.vocab`, if it is an object. */
  vocab: Map<string, number> | undefined;
}

/**
 * Parses the text of a file.
 *
 * @throws {SyntaxError} If it is not JSON
 * @throws {TypeError} If an id is not a whole number
 */
export function parseTokenizerJson(text: string): TokenizerJson {
  const start = /"vocab"\s*:\s*\{/.exec(text); // as a key: in a string the quotes were escaped
  if (start === null) return { json: parseJson(text), vocab: undefined };
  const begin = start.index + start[0].length;
  const { vocab, end } = readVocab(text, begin);
  return { json: parseJson(text.slice(0, begin) + text.slice(end)), vocab };
}

const QUOTE = 34, COMMA = 44, COLON = 58, BACKSLASH = 92, CLOSE = 125;

/** Reads `"token": id, ...` up to the closing brace, which is at `end`. */
function readVocab(text: string, begin: number): { vocab: Map<string, number>; end: number } {
  const vocab = new Map<string, number>();
  let at = skipSpace(text, begin);
  if (text.charCodeAt(at) === CLOSE) return { vocab, end: at };
  for (;;) {
    if (text.charCodeAt(at) !== QUOTE) throw broken(text, at, "a token in quotes");
    const close = closingQuote(text, at + 1);
    const raw = text.slice(at + 1, close);
    const token: string = raw.includes("\\") ? JSON.parse(`"${raw}"`) : raw;
    at = skipSpace(text, close + 1);
    if (text.charCodeAt(at) !== COLON) throw broken(text, at, "a colon");
    at = skipSpace(text, at + 1);
    let id = 0, digits = 0;
    for (let c; (c = text.charCodeAt(at) - 48) >= 0 && c <= 9; at++, digits++) id = id * 10 + c;
    if (at >= text.length) throw broken(text, at, "an id");
    if (digits === 0 || digits > 9) {
      throw new TypeError(
        `model.vocab must hold ids: token ${JSON.stringify(token)} has ${text.slice(at, at + 20)}`,
      );
    }
    vocab.set(token, id);
    at = skipSpace(text, at);
    const c = text.charCodeAt(at);
    if (c === CLOSE) return { vocab, end: at };
    if (c !== COMMA) throw broken(text, at, "a comma or a closing brace");
    at = skipSpace(text, at + 1);
  }
}

function closingQuote(text: string, begin: number): number {
  let from = begin;
  for (;;) {
    const quote = text.indexOf('"', from);
    if (quote < 0) throw broken(text, text.length, "a closing quote");
    let slash = quote;
    while (slash > begin && text.charCodeAt(slash - 1) === BACKSLASH) slash--;
    if ((quote - slash) % 2 === 0) return quote;
    from = quote + 1;
  }
}

function skipSpace(text: string, at: number): number {
  for (let c; (c = text.charCodeAt(at)) === 32 || c === 10 || c === 13 || c === 9;) at++;
  return at;
}

function broken(text: string, at: number, expected: string): SyntaxError {
  const found = at < text.length ? JSON.stringify(text[at]) : "the end of the text";
  return new SyntaxError(
    `model.vocab: expected ${expected} but found ${found} at character ${at}`,
  );
}
