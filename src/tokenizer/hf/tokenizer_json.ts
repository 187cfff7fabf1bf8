/**
 * Parses tokenizer.json. Its vocabulary and its merges, some 250,000 and 500,000 entries, are read apart:
 * that is faster than objects, and V8's JSON.parse may read keys with escapes wrong.
 *
 * @module
 */
import { parseJson } from "../../formats/json_exact.ts";
import { TokenTable } from "../token_table.ts";
import { brokenJson, CLOSE_OBJECT, COLON, COMMA, readString, skipSpace } from "./json_text.ts";
import { MergeList } from "./merge_list.ts";

/** A parsed file. */
export interface TokenizerJson {
  /** All of it but `model.vocab` and `model.merges`, which are empty here if they are given apart. */
  json: unknown;
  /** `model.vocab`, if it is an object. */
  vocab: TokenTable | undefined;
  /** `model.merges`, if it is a list. */
  merges: MergeList | undefined;
}

/**
 * Parses the text of a file.
 *
 * @throws {SyntaxError} If it is not JSON
 * @throws {TypeError} If an id is not a whole number
 */
export function parseTokenizerJson(text: string): TokenizerJson {
  // as keys: in a string the quotes were escaped
  const vocabBegin = endOf(/"vocab"\s*:\s*\{/, text),
    mergesBegin = endOf(/"merges"\s*:\s*\[/, text);
  const read = vocabBegin === undefined ? undefined : readVocab(text, vocabBegin);
  const merges = mergesBegin === undefined ? undefined : new MergeList(text, mergesBegin);
  const apart: { begin: number; end: number }[] = [];
  if (read) apart.push({ begin: vocabBegin!, end: read.end });
  if (merges) apart.push({ begin: mergesBegin!, end: merges.end });
  let rest = "", at = 0;
  for (const { begin, end } of apart.sort((a, b) => a.begin - b.begin)) {
    rest += text.slice(at, begin);
    at = end;
  }
  return { json: parseJson(rest + text.slice(at)), vocab: read?.vocab, merges };
}

/** End of the first match. */
function endOf(pattern: RegExp, text: string): number | undefined {
  const found = pattern.exec(text);
  return found === null ? undefined : found.index + found[0].length;
}

/** Reads `"token": id, ...` up to the closing brace, which is at `end`. */
function readVocab(text: string, begin: number): { vocab: TokenTable; end: number } {
  const vocab = new TokenTable(), token = { text, begin: 0, end: 0 };
  let at = skipSpace(text, begin);
  if (text.charCodeAt(at) === CLOSE_OBJECT) return { vocab, end: at };
  for (;;) {
    at = skipSpace(text, readString(text, at, token));
    if (text.charCodeAt(at) !== COLON) throw brokenJson(text, at, "a colon");
    at = skipSpace(text, at + 1);
    let id = 0, digits = 0;
    for (let c; (c = text.charCodeAt(at) - 48) >= 0 && c <= 9; at++, digits++) id = id * 10 + c;
    if (at >= text.length) throw brokenJson(text, at, "an id");
    if (digits === 0 || digits > 9) {
      throw new TypeError(
        `model.vocab must hold ids: token ${
          JSON.stringify(token.text.slice(token.begin, token.end))
        } has ${text.slice(at, at + 20)}`,
      );
    }
    vocab.add(token, id);
    at = skipSpace(text, at);
    const c = text.charCodeAt(at);
    if (c === CLOSE_OBJECT) return { vocab, end: at };
    if (c !== COMMA) throw brokenJson(text, at, "a comma or a closing brace");
    at = skipSpace(text, at + 1);
  }
}
