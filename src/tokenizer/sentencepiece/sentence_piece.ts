/** The SentencePiece library: text to ids, without any special token looked for in the text. @module */
import { CharBpe, type CharBpeParts, type CharBpeReading } from "../char_bpe.ts";
import { Charsmap } from "../charsmap.ts";
import { CutTable, META_SPACE } from "../cut_table.ts";
import type { IdBuffer } from "../id_buffer.ts";
import { MergeTable } from "../merge_table.ts";
import { escapeRegex } from "../regex.ts";
import { Unigram } from "../unigram.ts";
import { textOfUnits, UnitBuffer } from "../units.ts";
import type { SentencePieceModel } from "./model_file.ts";
import { Normalizer } from "./normalize.ts";

/** Encodes with a SentencePiece model. */
export class SentencePiece {
  /** The model file. */
  readonly model: SentencePieceModel;
  /** Id of every piece, special ones included. */
  readonly idOf: ReadonlyMap<string, number>;
  /** Id of the unknown piece. */
  readonly unkId: number;
  readonly #bpe: CharBpe | undefined;
  readonly #unigram: Unigram | undefined;
  readonly #units = new UnitBuffer();
  readonly #normalizer: Normalizer;
  readonly #userDefined: RegExp | undefined;
  readonly #cutsSymbols: boolean;
  readonly #readsRawText: boolean;

  /** Builds an encoder with an empty cache. */
  constructor(model: SentencePieceModel) {
    this.model = model;
    this.idOf = new Map(model.pieces.map(({ text }, id) => [text, id]));
    this.unkId = model.pieces.findIndex(({ type }) => type === "unknown");
    const charsmap = model.charsmap.length > 0 ? new Charsmap(model.charsmap) : undefined;
    const userDefined = model.pieces.filter(({ type }) => type === "user-defined")
      .map(({ text }) => text).sort((a, b) => b.length - a.length);
    if (userDefined.length > 0) {
      this.#userDefined = new RegExp(userDefined.map(escapeRegex).join("|"), "gu");
    }
    this.#cutsSymbols = userDefined.length > 0 && model.type === "bpe";
    const { removeExtraWhitespaces } = model, protectedTexts = this.#userDefined;
    this.#normalizer = new Normalizer({ charsmap, removeExtraWhitespaces, protectedTexts });
    const idOfByte = model.byteFallback ? idsOfBytes(this.idOf) : undefined;
    if (model.type === "bpe") this.#bpe = new CharBpe(bpeParts(model, this.unkId, idOfByte));
    else this.#unigram = new Unigram(unigramParts(model, this.unkId, idOfByte));
    this.#readsRawText = this.#bpe !== undefined && charsmap === undefined &&
      !model.removeExtraWhitespaces && !userDefined.some((text) => /[ \u2581]/.test(text));
  }

  /**
   * Appends the ids of `text[begin, end)`.
   *
   * @param addDummyPrefix Whether U+2581 is put in front; default: as the model has it
   */
  encode(
    text: string,
    begin: number,
    end: number,
    out: IdBuffer,
    addDummyPrefix: boolean = this.model.addDummyPrefix,
  ): void {
    if (begin === end) return;
    if (this.#readsRawText) return this.#encodeSymbols(text, begin, end, out, addDummyPrefix);
    const normalizer = this.#normalizer;
    const count = normalizer.normalize(text.slice(begin, end), addDummyPrefix);
    if (!this.#cutsSymbols) return this.#encodeUnits(normalizer.units, count, out, PLAIN);
    this.#encodeSymbols(textOfUnits(normalizer.units, 0, count), 0, count, out, false);
  }

  /**
   * Cuts out user-defined symbols, if there are any, which BPE never merges with anything. For unigram
   * they are pieces of a high score: what stands around them may still be worth more.
   */
  #encodeSymbols(text: string, begin: number, end: number, out: IdBuffer, prefix: boolean): void {
    if (!this.#cutsSymbols) return this.#encodePart(text, begin, end, out, prefix);
    const part = begin === 0 && end === text.length ? text : text.slice(begin, end);
    let at = 0;
    for (const match of part.matchAll(this.#userDefined!)) {
      if (prefix && match.index === 0) this.#encodePart(META_SPACE, 0, 1, out, false);
      this.#encodePart(part, at, match.index, out, prefix && at === 0);
      out.push(this.idOf.get(match[0])!);
      at = match.index + match[0].length;
    }
    this.#encodePart(part, at, part.length, out, prefix && at === 0);
  }

  #encodePart(text: string, begin: number, end: number, out: IdBuffer, prefix: boolean): void {
    const count = this.#units.load(text, begin, end);
    this.#encodeUnits(this.#units.data, count, out, prefix ? PREFIXED : PLAIN);
  }

  #encodeUnits(units: Uint16Array, count: number, out: IdBuffer, reading: CharBpeReading): void {
    if (this.#unigram) this.#unigram.encode(units, 0, count, out);
    else this.#bpe!.encode(units, 0, count, out, reading);
  }
}

const PREFIXED: CharBpeReading = { spaceIsMeta: true, prefix: true };
const PLAIN: CharBpeReading = { spaceIsMeta: true, prefix: false };

function idsOfBytes(idOf: ReadonlyMap<string, number>): Int32Array {
  return Int32Array.from({ length: 256 }, (_, b) => {
    const token = `<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`, id = idOf.get(token);
    if (id === undefined) throw new RangeError(`it has no byte piece ${token}`);
    return id;
  });
}

function unigramParts(
  model: SentencePieceModel,
  unkId: number,
  idOfByte: Int32Array | undefined,
): ConstructorParameters<typeof Unigram>[0] {
  const normal = model.pieces.filter(({ type }) => type === "normal").map(({ score }) => score);
  const lowestScore = normal.reduce((a, b) => Math.min(a, b), Infinity);
  const bytes = (text: string) => new TextEncoder().encode(text).length;
  const pieces = model.pieces.map(({ text, score, type }) => {
    // as sentencepiece 0.2.2 has it: almost always the best, but not for certain
    if (type === "user-defined") return { piece: text, score: 0.1 * (bytes(text) - 1) };
    return { piece: type === "normal" ? text : undefined, score };
  });
  return { pieces, unkId, idOfByte, lowestScore, singlePrecision: true };
}

/**
 * Any two neighbours whose text together is a piece may be merged, the piece of the highest score
 * first: each way to cut a piece in two is a merge, of the rank of its score.
 */
function bpeParts(
  model: SentencePieceModel,
  unkId: number,
  idOfByte: Int32Array | undefined,
): CharBpeParts {
  const symbols = new Map<string, number>();
  const idOfCharacter = new Map<string, number>();
  const standIns: string[] = [];
  let splits = 0;
  model.pieces.forEach(({ text, type }, id) => {
    const isCharacter = text.length === 1 || (text.length === 2 && text.codePointAt(0)! > 0xffff);
    // that of a control piece too: the library looks up what was not merged by its text alone
    if (isCharacter && (type === "normal" || type === "control")) idOfCharacter.set(text, id);
    if (type !== "normal" && !(isCharacter && type === "control")) return;
    symbols.set(text, id);
    splits += text.length - 1;
  });
  const firstStandIn = model.pieces.length;
  const symbol = (text: string) => symbols.get(text);
  for (const { text, type } of model.pieces) {
    if (type !== "normal") continue;
    for (const character of text) {
      if (symbols.has(character)) continue;
      symbols.set(character, firstStandIn + standIns.length);
      standIns.push(character);
    }
  }
  const rankOfScore = new Map(
    [...new Set(model.pieces.map(({ score }) => score))].sort((a, b) => b - a)
      .map((score, rank) => [score, rank]),
  );
  const merges = new MergeTable(splits), cuts = new CutTable();
  model.pieces.forEach(({ text, score, type }, id) => {
    if (type !== "normal") return;
    for (let i = 1; i < text.length; i++) {
      const left = symbol(text.slice(0, i));
      if (left === undefined) continue;
      const right = symbol(text.slice(i));
      if (right === undefined) continue;
      merges.add(left, right, rankOfScore.get(score)!, id);
      cuts.join(text.charCodeAt(i - 1), text.charCodeAt(i));
    }
  });
  return {
    merges,
    cuts,
    idOfCharacter,
    idOfByte,
    unkId,
    fuseUnk: idOfByte === undefined,
    wholeTokens: undefined,
    standIns,
    firstStandIn,
  };
}
