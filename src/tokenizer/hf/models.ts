/** Models of tokenizer.json: a piece of text to ids. @module */
import { CHARACTER_OF_BYTE } from "../byte_alphabet.ts";
import { ByteBpe } from "../byte_bpe.ts";
import { CharBpe, type CharBpeReading } from "../char_bpe.ts";
import { CutTable } from "../cut_table.ts";
import type { IdBuffer } from "../id_buffer.ts";
import { MergeTable } from "../merge_table.ts";
import { Unigram } from "../unigram.ts";
import type { Component } from "./component.ts";

/** Encodes pieces. */
export interface Model {
  /** Appends the ids of `text[begin, end)`. */
  encode(text: string, begin: number, end: number, out: IdBuffer, reading?: CharBpeReading): void;
}

/** A model and its vocabulary. */
export interface ModelParts {
  /** Encodes pieces. */
  model: Model;
  /** Id of each token. */
  idOf: Map<string, number>;
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
  const cuts = new CutTable(), merges = readMerges(component, idOf, cuts);
  const unkText = component.raw("unk_token") ?? undefined;
  const unkId = unkText === undefined ? undefined : idOf.get(component.text("unk_token"));
  if (unkText !== undefined && unkId === undefined) throw component.unsupportedOption("unk_token");
  const shared = {
    merges,
    unkId,
    fuseUnk: component.flag("fuse_unk", false),
    wholeTokens: component.flag("ignore_merges", false) ? idOf : undefined,
  };
  if (byteLevel) {
    const idOfByte = Int32Array.from(CHARACTER_OF_BYTE, (c) => idOf.get(c) ?? -1);
    return { model: new ByteBpe({ ...shared, idOfByte }), idOf, readsMeta: false };
  }
  const idOfByte = component.flag("byte_fallback", false)
    ? Int32Array.from({ length: 256 }, (_, b) => idOf.get(byteToken(b)) ?? -1)
    : undefined;
  const idOfCharacter = new Map<string, number>();
  for (const [token, id] of idOf) if (isCharacter(token)) idOfCharacter.set(token, id);
  // an unknown character that is dropped makes its neighbours meet
  if (unkId === undefined && !idOfByte?.every((id) => id >= 0)) cuts.joinAll();
  const none = { standIns: [], firstStandIn: 0x7fffffff };
  const model = new CharBpe({ ...shared, ...none, cuts, idOfCharacter, idOfByte });
  return { model, idOf, readsMeta: true };
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
  idOf: ReadonlyMap<string, number>,
  cuts: CutTable,
): MergeTable {
  const list = component.list("merges"), merges = new MergeTable(list.length);
  const broken = (rank: number, why: string) =>
    new TypeError(`${component.path}.merges[${rank}] ${why}: ${JSON.stringify(list[rank])}`);
  list.forEach((merge, rank) => {
    let left: unknown, right: unknown;
    if (typeof merge === "string") {
      const space = merge.indexOf(" ");
      if (space < 0 || merge.includes(" ", space + 1)) throw broken(rank, "must be two tokens");
      left = merge.slice(0, space);
      right = merge.slice(space + 1);
    } else if (Array.isArray(merge) && merge.length === 2) [left, right] = merge;
    if (typeof left !== "string" || typeof right !== "string" || left === "" || right === "") {
      throw broken(rank, "must be two tokens");
    }
    const a = idOf.get(left), b = idOf.get(right), merged = idOf.get(left + right);
    if (a === undefined || b === undefined || merged === undefined) {
      throw broken(rank, "has a part or result that is not in the vocabulary");
    }
    merges.add(a, b, rank, merged);
    if (left.startsWith("<0x") || right.startsWith("<0x")) cuts.joinAll(); // may be unseen bytes
    cuts.join(left.charCodeAt(left.length - 1), right.charCodeAt(0));
  });
  return merges;
}

function makeUnigram(component: Component): ModelParts {
  const vocab = component.list("vocab");
  const pieces = vocab.map((entry, i) => {
    if (!Array.isArray(entry) || typeof entry[0] !== "string" || typeof entry[1] !== "number") {
      throw new TypeError(`${component.path}.vocab[${i}] must be [token, score]`);
    }
    return { piece: entry[0], score: entry[1] };
  });
  const idOf = new Map(pieces.map(({ piece }, i) => [piece, i]));
  const unkId = component.raw("unk_id") == null ? undefined : component.number("unk_id");
  if (unkId !== undefined && pieces[unkId] === undefined) {
    throw component.unsupportedOption("unk_id");
  }
  const idOfByte = component.flag("byte_fallback", false)
    ? Int32Array.from({ length: 256 }, (_, b) => idOf.get(byteToken(b)) ?? -1)
    : undefined;
  return { model: new Unigram({ pieces, unkId, idOfByte }), idOf, readsMeta: false };
}
