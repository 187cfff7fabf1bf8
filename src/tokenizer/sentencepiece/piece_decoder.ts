/**
 * Ids of a SentencePiece model to text, as its library does it, piece by piece.
 *
 * @see google/sentencepiece, src/sentencepiece_processor.cc, `Decode`
 * @module
 */
import { META_SPACE } from "../cut_table.ts";
import type { SentencePieceModel } from "./model_file.ts";

/** Decodes a run of pieces. */
export class PieceDecoder {
  readonly #model: SentencePieceModel;
  readonly #stripsStart: boolean;
  #bytes: number[] = [];
  #hasText = false;
  #hasStripped = false;

  /**
   * Begins a text.
   *
   * @param model The model
   * @param addDummyPrefix Whether texts were encoded with U+2581 in front; default: as in the model
   */
  constructor(model: SentencePieceModel, addDummyPrefix: boolean = model.addDummyPrefix) {
    this.#model = model;
    this.#stripsStart = addDummyPrefix || model.removeExtraWhitespaces;
  }

  /** Takes a piece. @returns Text that is certain after it */
  push(id: number): string {
    const { text, type } = this.#model.pieces[id]!;
    if (type === "byte") {
      this.#bytes.push(parseInt(text.slice(3, 5), 16));
      return this.#note(this.#takeCharacters());
    }
    if (type === "control") return this.pushText("");
    if (type === "unknown") return this.pushText(this.#model.unkSurface);
    return this.pushPiece(text);
  }

  /** A piece given by its text. */
  pushPiece(text: string): string {
    const before = this.#takeBytes();
    if (this.#stripsStart && !this.#hasText && !this.#hasStripped && text.startsWith(META_SPACE)) {
      text = text.slice(1);
      this.#hasStripped = !this.#model.removeExtraWhitespaces;
    }
    return before + this.#note(text.replaceAll(META_SPACE, " "));
  }

  /** Text as it is. */
  pushText(text: string): string {
    return this.#takeBytes() + this.#note(text);
  }

  /** Ends the text. @returns The rest; the next piece begins a new text */
  end(): string {
    const rest = this.#takeBytes();
    this.#hasText = this.#hasStripped = false;
    return rest;
  }

  #note(text: string): string {
    if (text !== "") this.#hasText = true;
    return text;
  }

  /** The characters that the bytes so far are for certain; a wrong byte is U+FFFD. */
  #takeCharacters(): string {
    let out = "";
    while (this.#bytes.length > 0) {
      const width = validPrefix(this.#bytes);
      if (width === "incomplete") break;
      out += this.#takeOne(width);
    }
    return out;
  }

  #takeBytes(): string {
    let out = "";
    while (this.#bytes.length > 0) {
      const width = validPrefix(this.#bytes);
      out += this.#takeOne(width === "incomplete" ? 0 : width);
    }
    return this.#note(out);
  }

  #takeOne(width: number): string {
    const bytes = this.#bytes.splice(0, Math.max(width, 1));
    return width === 0
      ? "\ufffd"
      : new TextDecoder("utf-8", BOM_STAYS).decode(Uint8Array.from(bytes));
  }
}

const BOM_STAYS: TextDecoderOptions = { ignoreBOM: true };

/** Bytes of the character that `bytes` begins with, 0 if it begins with none. */
function validPrefix(bytes: readonly number[]): number | "incomplete" {
  const lead = bytes[0]!;
  if (lead < 0x80) return 1;
  const width = lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : 4;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const second = bytes[1] ?? -1;
  if (second < 0) return "incomplete";
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  for (let i = 2; i < width; i++) {
    if (i >= bytes.length) return "incomplete";
    if ((bytes[i]! & 0xc0) !== 0x80) return 0;
  }
  return width;
}
