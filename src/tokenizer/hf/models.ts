/** Models of tokenizer.json: a piece of text to ids. @module */
import { CHARACTER_OF_BYTE } from "../byte_alphabet.ts";
import { ByteBpe } from "../byte_bpe.ts";
import { CertainMerges } from "../certain_merges.ts";
import { CharBpe, type CharBpeReading } from "../char_bpe.ts";
import { CutTable } from "../cut_table.ts";
import type { IdBuffer } from "../id_buffer.ts";
import { MergeTable } from "../merge_table.ts";
import type { PieceList } from "../splitter.ts";
import type { Span, TokenTable } from "../token_table.ts";
import { Unigram } from "../unigram.ts";
import type { Component } from "./component.ts";
import type { MergeList } from "./merge_list.ts";
import type { TokenizerJson } from "./tokenizer_json.ts";

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
  /** Appends the ids of many pieces, where this is faster. */
  encodePieces?(units: Uint16Array, pieces: PieceList, out: IdBuffer): void;
}

/** What ids mean. */
export interface Vocabulary {
  /** Id of a token; of several with one text, the last one. */
  get(token: string): number | undefined;
  /** The token of an id. */
  text(id: number): string | undefined;
  /** The highest id, -1 if there is none. */
  largestId(): number;
}

/** A model and its vocabulary. */
export interface ModelParts {
  /** Encodes pieces. */
  model: Model;
  /** Its tokens. */
  vocab: Vocabulary;
  /** The model is a {@linkcode CharBpe}: it can read spaces as U+2581 itself. */
  readsMeta: boolean;
}

/**
 * Makes a model.
 *
 * @param file Its vocabulary and its merges, if they were read apart
 * @param byteLevel Whether pieces are in the byte alphabet
 * @throws {TypeError} If it is not supported, or broken
 */
export function makeModel(
  component: Component,
  file: TokenizerJson,
  byteLevel: boolean,
): ModelParts {
  const type = component.raw("type") ?? (component.raw("merges") ? "BPE" : "");
  if (type === "BPE") return makeBpe(component, file, byteLevel);
  if (type === "Unigram" && !byteLevel) return makeUnigram(component);
  throw component.unsupported();
}

function makeBpe(
  component: Component,
  { vocab, merges: list }: TokenizerJson,
  byteLevel: boolean,
): ModelParts {
  for (const name of ["dropout", "continuing_subword_prefix", "end_of_word_suffix"]) {
    const value = component.raw(name);
    if (value != null && value !== 0 && value !== "") throw component.unsupportedOption(name);
  }
  if (vocab === undefined) {
    throw new TypeError(`${component.path}.vocab must be an object of tokens and ids`);
  }
  const cuts = new CutTable(), certain = byteLevel ? new CertainMerges() : undefined;
  const merges = readMerges(component, list, vocab, cuts, certain);
  const unkText = component.raw("unk_token") ?? undefined;
  const unkId = unkText === undefined ? undefined : vocab.get(component.text("unk_token"));
  if (unkText !== undefined && unkId === undefined) throw component.unsupportedOption("unk_token");
  const shared = {
    merges,
    unkId,
    fuseUnk: component.flag("fuse_unk", false),
  };
  const whole = component.flag("ignore_merges", false);
  if (certain) {
    const idOfByte = Int32Array.from(CHARACTER_OF_BYTE, (c) => vocab.get(c) ?? -1);
    const wholeTokens = whole ? vocab : undefined;
    const model = new ByteBpe({ ...shared, certain, idOfByte, wholeTokens });
    return { model, vocab, readsMeta: false };
  }
  const idOfByte = component.flag("byte_fallback", false)
    ? Int32Array.from({ length: 256 }, (_, b) => vocab.get(byteToken(b)) ?? -1)
    : undefined;
  const idOfCharacter = new Map<string, number>();
  for (const [token, id] of vocab.shortTokens(2)) {
    if (isCharacter(token)) idOfCharacter.set(token, id);
  }
  // an unknown character that is dropped makes its neighbours meet
  if (unkId === undefined && !idOfByte?.every((id) => id >= 0)) cuts.joinAll();
  const none = { standIns: [], firstStandIn: 0x7fffffff };
  const wholeTokens = whole ? vocab : undefined;
  const model = new CharBpe({ ...shared, ...none, cuts, idOfCharacter, idOfByte, wholeTokens });
  return { model, vocab, readsMeta: true };
}

/** The token of a byte: `<0x0A>`. */
export function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}

function isCharacter(token: string): boolean {
  return token.length === 1 || (token.length === 2 && token.codePointAt(0)! > 0xffff);
}

/** Merges of tokens by their ids; `cuts` learns which characters they join. */
function readMerges(
  component: Component,
  list: MergeList | undefined,
  table: TokenTable,
  cuts: CutTable,
  certain: CertainMerges | undefined,
): MergeTable {
  if (list === undefined) throw new TypeError(`${component.path}.merges must be a list of merges`);
  const merges = new MergeTable(list.count);
  list.read((left, right, rank) => {
    const a = table.find(left), b = table.find(right);
    const merged = table.find(left, right);
    if (a < 0 || b < 0 || merged < 0) {
      throw new TypeError(
        `${component.path}.merges[${rank}] has a part or result that is not in the vocabulary: ` +
          [left, right].map(({ text, begin, end }) => JSON.stringify(text.slice(begin, end))),
      );
    }
    merges.add(a, b, rank, merged);
    if (certain) return certain.add(left, right, rank, merged);
    // the byte of a character that is not in the vocabulary: its neighbours cannot be known
    if (isByteToken(left) || isByteToken(right)) cuts.joinAll();
    cuts.join(left.text.charCodeAt(left.end - 1), right.text.charCodeAt(right.begin));
  });
  return merges;
}

function isByteToken({ text, begin, end }: Span): boolean {
  return end - begin === 6 && /^<0x[0-9A-F]{2}>$/.test(text.slice(begin, end));
}

function makeUnigram(component: Component): ModelParts {
  const vocab = component.list("vocab");
  const pieces = vocab.map((entry, i) => {
    if (!Array.isArray(entry) || typeof entry[0] !== "string" || typeof entry[1] !== "number") {
      throw new TypeError(`${component.path}.vocab[${i}] must be [token, score]`);
    }
    return { piece: entry[0], score: asRustReads(entry[1]) };
  });
  const idOf = new Map(pieces.map(({ piece }, i) => [piece, i]));
  const unkId = component.raw("unk_id") == null ? undefined : component.number("unk_id");
  if (unkId !== undefined && pieces[unkId] === undefined) {
    throw component.unsupportedOption("unk_id");
  }
  const idOfByte = component.flag("byte_fallback", false)
    ? Int32Array.from({ length: 256 }, (_, b) => idOf.get(byteToken(b)) ?? -1)
    : undefined;
  const model = new Unigram({ pieces, unkId, idOfByte });
  const tokens: Vocabulary = {
    get: (token) => idOf.get(token),
    text: (id) => pieces[id]?.piece,
    largestId: () => pieces.length - 1,
  };
  return { model, vocab: tokens, readsMeta: false };
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
