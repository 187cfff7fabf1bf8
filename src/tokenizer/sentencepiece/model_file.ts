/**
 * A SentencePiece `.model` file.
 *
 * @see google/sentencepiece, src/sentencepiece_model.proto
 * @module
 */
import { fields } from "./protobuf.ts";

/** What a piece is. */
export type PieceType = "normal" | "unknown" | "control" | "user-defined" | "unused" | "byte";

/** One entry of the vocabulary. */
export interface Piece {
  /** Its text, with U+2581 for a space. */
  text: string;
  /** Logarithm of its probability (unigram), or minus its rank (BPE). */
  score: number;
  /** What it is. */
  type: PieceType;
}

/** The parts of a model that matter for encoding and decoding. */
export interface SentencePieceModel {
  /** By id. */
  pieces: Piece[];
  /** How the text is cut. */
  type: "unigram" | "bpe";
  /** Characters without a piece become their bytes. */
  byteFallback: boolean;
  /** Text that an unknown piece is decoded to. */
  unkSurface: string;
  /** Puts U+2581 in front of a text. */
  addDummyPrefix: boolean;
  /** Removes spaces at both ends, and of several but one. */
  removeExtraWhitespaces: boolean;
  /** Compiled normalization rules; empty for none. */
  charsmap: Uint8Array;
}

const TYPES: (PieceType | undefined)[] = [
  undefined,
  "normal",
  "unknown",
  "control",
  "user-defined",
  "unused",
  "byte",
];

/**
 * Reads a model.
 *
 * @throws {RangeError} If the file is broken
 * @throws {TypeError} If it uses what is not supported
 */
export function parseModel(file: Uint8Array): SentencePieceModel {
  const model: SentencePieceModel = {
    pieces: [],
    type: "unigram",
    byteFallback: false,
    unkSurface: " \u2047 ",
    addDummyPrefix: true,
    removeExtraWhitespaces: true,
    charsmap: new Uint8Array(0),
  };
  for (const { number, bytes } of fields(file)) {
    if (bytes === undefined) continue;
    const base = bytes.byteOffset - file.byteOffset;
    if (number === 1) model.pieces.push(parsePiece(bytes, base));
    else if (number === 2) parseTrainer(bytes, base, model);
    else if (number === 3) parseNormalizer(bytes, base, model);
    else if (number === 5) refuseDenormalizer(bytes, base);
  }
  check(model);
  return model;
}

function parsePiece(bytes: Uint8Array, base: number): Piece {
  const piece: Piece = { text: "", score: 0, type: "normal" };
  for (const field of fields(bytes, base)) {
    if (field.number === 1) piece.text = text(field.bytes);
    else if (field.number === 2) piece.score = field.value ?? 0;
    else if (field.number === 3) {
      const type = TYPES[field.value ?? 0];
      if (type === undefined) throw new TypeError(`piece type ${field.value} is not supported`);
      piece.type = type;
    }
  }
  return piece;
}

function parseTrainer(bytes: Uint8Array, base: number, model: SentencePieceModel): void {
  for (const field of fields(bytes, base)) {
    if (field.number === 3) {
      if (field.value !== 1 && field.value !== 2) {
        throw new TypeError(
          `model type ${field.value} is not supported: it must be 1 (unigram) or 2 (BPE)`,
        );
      }
      model.type = field.value === 1 ? "unigram" : "bpe";
    } else if (field.number === 24 && field.value) {
      throw new TypeError("treat_whitespace_as_suffix is not supported");
    } else if (field.number === 35) model.byteFallback = field.value === 1;
    else if (field.number === 44) model.unkSurface = text(field.bytes);
  }
}

function parseNormalizer(bytes: Uint8Array, base: number, model: SentencePieceModel): void {
  for (const field of fields(bytes, base)) {
    if (field.number === 2) model.charsmap = field.bytes ?? model.charsmap;
    else if (field.number === 3) model.addDummyPrefix = field.value === 1;
    else if (field.number === 4) model.removeExtraWhitespaces = field.value === 1;
    else if (field.number === 5 && field.value === 0) {
      throw new TypeError("escape_whitespaces = false is not supported");
    }
  }
}

function refuseDenormalizer(bytes: Uint8Array, base: number): void {
  for (const field of fields(bytes, base)) {
    if (field.number === 2 && field.bytes?.length) {
      throw new TypeError("a denormalizer with a charsmap is not supported");
    }
  }
}

function check(model: SentencePieceModel): void {
  const { pieces } = model;
  if (pieces.length === 0) throw new RangeError("it has no pieces: not a SentencePiece model");
  const empty = pieces.findIndex((piece) => piece.text === "");
  if (empty >= 0) throw new RangeError(`piece ${empty} has no text`);
  const count = (type: PieceType) => pieces.filter((piece) => piece.type === type).length;
  if (count("unknown") !== 1) {
    throw new RangeError(`it must have one unknown piece: current number is ${count("unknown")}`);
  }
  if (model.byteFallback && count("byte") !== 256) {
    throw new RangeError(`it must have 256 byte pieces: current number is ${count("byte")}`);
  }
  if (model.type === "bpe" && count("unused") > 0) {
    throw new TypeError("unused pieces in a BPE model are not supported");
  }
}

function text(bytes: Uint8Array | undefined): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}
