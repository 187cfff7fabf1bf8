/** Models of tokenizer.json: a piece of text to ids. @module */
import { CHARACTER_OF_BYTE } from "../byte_alphabet.ts";
import { ByteBpe } from "../byte_bpe.ts";
import { CharBpe, type CharBpeReading } from "../char_bpe.ts";
import { CutTable } from "../cut_table.ts";
import type { IdBuffer } from "../id_buffer.ts";
import { MergeTable } from "../merge_table.ts";
import { type Span, TokenTable } from "../token_table.ts";
import { Unigram } from "../unigram.ts";
import type { Component } from "./component.ts";

/** Encodes pieces. */
export interface Model {
  /** Appends the ids of `units[begin, end)`. */
  encode(
    units: Uint16Array,
    begin: number,
    end: number,
    out: IdBuffer,
    reading?: CharBpeReading,
  ): void;
}

/** A model and its vocabulary. */
export interface ModelParts {
  /** Encodes pieces. */
  model: Model;
  /** Id of each token. */
  idOf: Map<string, number>;
  /** All tokens; a unigram model may have one text twice. */
  tokens: Iterable<readonly [token: string, id: number]>;
  /** The model is a {@linkcode CharBpe}: it can read spaces as U+2581 itself. */
  readsMeta: boolean;
}

/**
 * Makes a model.
 *
 * @param vocab The `vocab` of the component if that is an object
 * @param byteLevel Whether pieces are in the byte alphabet
 * @throws {TypeError} If it is not supported, or broken
 */
export function makeModel(
  component: Component,
  vocab: Map<string, number> | undefined,
  byteLevel: boolean,
): ModelParts {
  const type = component.raw("type") ?? (component.raw("merges") ? "BPE" : "");
  if (type === "BPE") return makeBpe(component, vocab, byteLevel);
  if (type === "Unigram" && !byteLevel) return makeUnigram(component);
  throw component.unsupported();
}

function makeBpe(
  component: Component,
  idOf: Map<string, number> | undefined,
  byteLevel: boolean,
): ModelParts {
  for (const name of ["dropout", "continuing_subword_prefix", "end_of_word_suffix"]) {
    const value = component.raw(name);
    if (value != null && value !== 0 && value !== "") throw component.unsupportedOption(name);
  }
  if (idOf === undefined) {
    throw new TypeError(`${component.path}.vocab must be an object of tokens and ids`);
  }
  const cuts = new CutTable(), table = new TokenTable(idOf);
  const merges = readMerges(component, table, cuts);
  const unkText = component.raw("unk_token") ?? undefined;
  const unkId = unkText === undefined ? undefined : idOf.get(component.text("unk_token"));
  if (unkText !== undefined && unkId === undefined) throw component.unsupportedOption("unk_token");
  const shared = {
    merges,
    unkId,
    fuseUnk: component.flag("fuse_unk", false),
  };
  const whole = component.flag("ignore_merges", false);
  if (byteLevel) {
    const idOfByte = Int32Array.from(CHARACTER_OF_BYTE, (c) => idOf.get(c) ?? -1);
    const wholeTokens = whole ? table : undefined;
    const model = new ByteBpe({ ...shared, idOfByte, wholeTokens });
    return { model, idOf, tokens: idOf, readsMeta: false };
  }
  const idOfByte = component.flag("byte_fallback", false)
    ? Int32Array.from({ length: 256 }, (_, b) => idOf.get(byteToken(b)) ?? -1)
    : undefined;
  const idOfCharacter = new Map<string, number>();
  for (const [token, id] of idOf) if (isCharacter(token)) idOfCharacter.set(token, id);
  // an unknown character that is dropped makes its neighbours meet
  if (unkId === undefined && !idOfByte?.every((id) => id >= 0)) cuts.joinAll();
  const none = { standIns: [], firstStandIn: 0x7fffffff };
  const wholeTokens = whole ? idOf : undefined;
  const model = new CharBpe({ ...shared, ...none, cuts, idOfCharacter, idOfByte, wholeTokens });
  return { model, idOf, tokens: idOf, readsMeta: true };
}

/** The token of a byte: `<0x0A>`. */
export function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}

function isCharacter(token: string): boolean {
  return token.length === 1 || (token.length === 2 && token.codePointAt(0)! > 0xffff);
}

/** Pairs as "a b" or ["a", "b"], by rank. */
function readMerges(
  component: Component,
  table: TokenTable,
  cuts: CutTable,
): MergeTable {
  const list = component.list("merges"), merges = new MergeTable(list.length);
  const broken = (rank: number, why: string) =>
    new TypeError(`${component.path}.merges[${rank}] ${why}: ${JSON.stringify(list[rank])}`);
  const left = { text: "", begin: 0, end: 0 }, right = { text: "", begin: 0, end: 0 };
  const nothing = { text: "", begin: 0, end: 0 };
  list.forEach((merge, rank) => {
    if (!setPair(merge, left, right)) throw broken(rank, "must be two tokens");
    const a = table.find(left, nothing), b = table.find(right, nothing);
    const merged = table.find(left, right);
    if (a < 0 || b < 0 || merged < 0) {
      throw broken(rank, "has a part or result that is not in the vocabulary");
    }
    merges.add(a, b, rank, merged);
    // the byte of a character that is not in the vocabulary: its neighbours cannot be known
    if (isByteToken(left) || isByteToken(right)) cuts.joinAll();
    cuts.join(left.text.charCodeAt(left.end - 1), right.text.charCodeAt(right.begin));
  });
  return merges;
}

function isByteToken({ text, begin, end }: Span): boolean {
  return end - begin === 6 && /^<0x[0-9A-F]{2}>$/.test(text.slice(begin, end));
}

function setPair(merge: unknown, left: Span, right: Span): boolean {
  if (typeof merge === "string") {
    const space = merge.indexOf(" ");
    if (space < 0 || merge.includes(" ", space + 1)) return false;
    left.text = right.text = merge;
    left.end = space;
    right.begin = space + 1;
  } else {
    if (!Array.isArray(merge) || merge.length !== 2) return false;
    const [a, b] = merge;
    if (typeof a !== "string" || typeof b !== "string") return false;
    left.text = a;
    right.text = b;
    left.end = a.length;
    right.begin = 0;
  }
  right.end = right.text.length;
  return left.end > 0 && right.begin < right.end;
}

function makeUnigram(component: Component): ModelParts {
  const vocab = component.list("vocab");
  const pieces = vocab.map((entry, i) => {
    if (!Array.isArray(entry) || typeof entry[0] !== "string" || typeof entry[1] !== "number") {
      throw new TypeError(`${component.path}.vocab[${i}] must be [token, score]`);
    }
    return { piece: entry[0], score: asRustReads(entry[1]) };
  });
  const tokens = pieces.map(({ piece }, i) => [piece, i] as const), idOf = new Map(tokens);
  const unkId = component.raw("unk_id") == null ? undefined : component.number("unk_id");
  if (unkId !== undefined && pieces[unkId] === undefined) {
    throw component.unsupportedOption("unk_id");
  }
  const idOfByte = component.flag("byte_fallback", false)
    ? Int32Array.from({ length: 256 }, (_, b) => idOf.get(byteToken(b)) ?? -1)
    : undefined;
  return { model: new Unigram({ pieces, unkId, idOfByte }), idOf, tokens, readsMeta: false };
}

/**
 * A number of a JSON text as the tokenizers library reads it: its digits as one whole number, then
 * divided by a power of ten. Both steps round, so the last bit may differ from the nearest double;
 * between ways of equal score, such as "p p ppp ppp" and "ppp ppp p p", that bit decides.
 */
function asRustReads(score: number): number {
  const [, whole, fraction = "", exponent = "0"] =
    /^-?(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(score)) ?? [];
  if (whole === undefined) return score;
  const digits = Number(whole + fraction), power = Number(exponent) - fraction.length;
  const size = power < 0 ? digits / 10 ** -power : digits * 10 ** power;
  return Number.isFinite(size) ? Math.sign(score) * size : score;
}
