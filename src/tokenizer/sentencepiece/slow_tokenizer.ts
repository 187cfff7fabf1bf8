/**
 * The special-token rules around a SentencePiece model, as the Python ("slow") tokenizer classes of
 * Llama and Baichuan have them.
 *
 * @see huggingface/transformers 4, tokenization_utils.py and models/llama/tokenization_llama.py
 * @module
 */
import { strip } from "../python_text.ts";
import { META_SPACE } from "../cut_table.ts";
import { IdBuffer } from "../id_buffer.ts";
import { escapeRegex } from "../regex.ts";
import type { NamedToken, SpecialTokens } from "../special_tokens.ts";
import { Component } from "../hf/component.ts";
import { makeDecoder } from "../hf/decoders.ts";
import { expectId, StreamDecoder } from "../stream_decoder.ts";
import type { DecodeOptions, DecodeStream, EncodeOptions, Tokenizer } from "../tokenizer.ts";
import { PieceDecoder } from "./piece_decoder.ts";
import { SentencePiece } from "./sentence_piece.ts";

/** In what the classes differ. */
export interface SlowRules {
  /** Texts of special tokens that the class has when no file names them. */
  names: { bos?: string; eos?: string; pad?: string; unk?: string };
  /** Puts BOS in front; when the configuration does not say. */
  addBos: boolean;
  /** Puts EOS at the end; when the configuration does not say. */
  addEos: boolean;
  /** Adds and removes the prefix space itself: once for the whole text when not legacy. */
  ownsPrefix: boolean;
  /**
   * How ids become text. "json": as the tokenizer.json of the same model has it, which Python's slow
   * class approximates. "spaced": a space stands before each run of text that a special token ends.
   */
  decoding: "json" | "spaced";
}

/** A tokenizer made of a `.model` file and rules. */
export class SlowTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
  readonly unkId: number | undefined;
  readonly eosText: string | undefined;
  readonly #sp: SentencePiece;
  readonly #rules: SlowRules;
  readonly #legacy: boolean;
  readonly #addPrefix: boolean;
  readonly #before: number[];
  readonly #after: number[];
  readonly #added = new Map<string, { id: number; token: NamedToken }>();
  readonly #addedById = new Map<number, NamedToken>();
  /** The tokens that are named as special, not those that are only flagged so in a list. */
  readonly #specialTexts: ReadonlySet<string | undefined>;
  /** Ids of tokens that decoding puts between spaces, and which end a text. */
  readonly #apart = new Set<number>();
  readonly #regex: RegExp | undefined;
  readonly #unkText: string;
  readonly #out = new IdBuffer();

  /**
   * Builds a tokenizer.
   *
   * @param sp The model
   * @param special What the files next to it say
   * @param rules Those of the class
   */
  constructor(sp: SentencePiece, special: SpecialTokens, rules: SlowRules) {
    this.#sp = sp;
    this.#rules = rules;
    this.#legacy = !rules.ownsPrefix || special.config["legacy"] !== false;
    this.#addPrefix = rules.ownsPrefix && special.config["add_prefix_space"] !== false;
    const texts = {
      bos: special.bos ?? rules.names.bos,
      eos: special.eos ?? rules.names.eos,
      pad: special.pad ?? rules.names.pad,
      unk: special.unk ?? rules.names.unk,
    };
    let next = sp.model.pieces.length;
    const add = (token: NamedToken) => {
      if (this.#added.has(token.content)) return;
      const id = sp.idOf.get(token.content) ?? next++;
      this.#added.set(token.content, { id, token });
      this.#addedById.set(id, token);
    };
    [...special.listed, ...special.named, ...special.extra].forEach(add);
    for (const content of Object.values(texts)) {
      if (content !== undefined) add({ ...PLAIN_SPECIAL, content });
    }
    this.vocabSize = next;
    const idOf = (text: string | undefined) => text && this.#added.get(text)?.id;
    this.bosId = idOf(texts.bos) as number | undefined;
    this.eosId = idOf(texts.eos) as number | undefined;
    this.padId = idOf(texts.pad) as number | undefined;
    this.unkId = (idOf(texts.unk) as number | undefined) ?? sp.unkId;
    this.eosText = texts.eos;
    this.#unkText = texts.unk ?? "<unk>";
    const ids = (add: boolean, id: number | undefined) => add && id !== undefined ? [id] : [];
    this.#before = ids(special.addBos ?? rules.addBos, this.bosId);
    this.#after = ids(special.addEos ?? rules.addEos, this.eosId);
    const named = [...special.named, ...special.extra].map((token) => token.content);
    this.#specialTexts = new Set([...named, ...Object.values(texts)]);
    for (const { id, token: { content } } of this.#added.values()) {
      const isNew = id >= sp.model.pieces.length &&
        special.extra.some((t) => t.content === content);
      if (isNew || !this.#specialTexts.has(content)) this.#apart.add(id);
    }
    const searched = [...this.#added.keys()].sort((a, b) => b.length - a.length);
    if (searched.length > 0) {
      this.#regex = new RegExp(`(${searched.map(escapeRegex).join("|")})`, "u");
    }
  }

  encode(text: string, { special = false }: EncodeOptions = {}): Int32Array {
    const out = this.#out;
    out.length = 0;
    if (special) this.#before.forEach((id) => out.push(id));
    const from = out.length;
    if (!this.#legacy && text !== "") {
      text = text.replaceAll(META_SPACE, " ");
      if (this.#addPrefix) text = META_SPACE + text;
    }
    for (const part of this.#split(text)) {
      const added = this.#added.get(part);
      if (added !== undefined) out.push(added.id);
      else this.#encodePart(part);
    }
    if (!this.#legacy && this.#startsWithLonePrefix(from)) {
      out.data.copyWithin(from, from + 1, out.length);
      out.length--;
    }
    if (special) this.#after.forEach((id) => out.push(id));
    return out.take();
  }

  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const stream = this.decodeStream(options);
    let text = "";
    for (let i = 0; i < ids.length; i++) text += stream.push(ids[i]!);
    return text + stream.end();
  }

  decodeStream({ skipSpecial = false }: DecodeOptions = {}): DecodeStream {
    if (this.#rules.decoding === "spaced") return this.#spacedStream(skipSpecial);
    const pieces = this.#sp.model.pieces, decoder = this.#addPrefix ? PREFIX_DECODER : DECODER;
    return new StreamDecoder(this.vocabSize, decoder, (id) => {
      const added = this.#addedById.get(id);
      if (added === undefined) return pieces[id]!.text;
      return skipSpecial && added.special ? undefined : added.content;
    });
  }

  #spacedStream(skipSpecial: boolean): DecodeStream {
    const decoder = new PieceDecoder(this.#sp.model);
    // of the run since the last token that stands apart: how many tokens it has, whether the last one is
    // special, and what is not written yet as a space may come before it
    let count = 0, afterSpecial = false, held = "";
    let isFirst = true, isEmpty = true; // whether nothing was written before the run, and in it
    const write = (text: string) => {
      if (text === "") return "";
      const space = isFirst || !isEmpty ? "" : " ";
      isEmpty = false;
      return space + text;
    };
    const startRun = (first: boolean) => {
      count = 0;
      held = "";
      afterSpecial = false;
      isFirst = first;
      isEmpty = true;
    };
    return {
      push: (id) => {
        expectId(id, this.vocabSize);
        const added = this.#addedById.get(id);
        if (added === undefined) {
          count++;
          afterSpecial = false;
          held += decoder.push(id);
          if (!skipSpecial) return "";
          const text = write(held);
          held = "";
          return text;
        }
        const isSpecial = this.#specialTexts.has(added.content);
        if (skipSpecial && isSpecial) return "";
        const rest = held + decoder.end();
        held = "";
        if (this.#apart.has(id)) {
          const text = write(rest) + (isFirst && isEmpty ? "" : " ") + added.content;
          startRun(false);
          return text;
        }
        const space = !afterSpecial && count++ > 0 ? " " : "";
        afterSpecial = true;
        return write(space + rest + added.content);
      },
      end: () => {
        const text = write(held + decoder.end()) || (count > 0 && isEmpty && !isFirst ? " " : "");
        startRun(true);
        return text;
      },
    };
  }

  /** Texts and tokens in order. A token that must be a single word may become part of a text. */
  #split(text: string): string[] {
    if (this.#regex === undefined) return [text];
    const parts = text.split(this.#regex).filter((part) => part !== "");
    for (let i = 0; i < parts.length; i++) {
      const token = this.#added.get(parts[i]!)?.token;
      if (token === undefined) continue;
      const left = i > 0 ? parts[i - 1]! : "", right = parts[i + 1] ?? "";
      if (token.rstrip && right !== "") parts[i + 1] = strip(right, "lstrip");
      if (token.lstrip && left !== "") parts[i - 1] = strip(left, "rstrip");
      if (!token.singleWord) continue;
      if (left !== "" && !left.endsWith(" ")) {
        parts[i - 1] += token.content;
        parts[i] = "";
      } else if (right !== "" && !right.startsWith(" ")) {
        parts[i + 1] = token.content + parts[i + 1];
        parts[i] = "";
      }
    }
    return parts.filter((part) => part !== "");
  }

  #encodePart(text: string): void {
    const out = this.#out;
    if (this.#legacy) return this.#sp.encode(text, 0, text.length, out);
    if (!/^[ \u2581]/.test(text)) return this.#sp.encode(text, 0, text.length, out, false);
    // the class encodes the unknown token in front and cuts its ids off again
    const from = out.length;
    this.#sp.encode(this.#unkText, 0, this.#unkText.length, out, false);
    const extra = out.length - from;
    out.length = from;
    const longer = this.#unkText + text;
    this.#sp.encode(longer, 0, longer.length, out, false);
    if (out.length - from < extra) return;
    out.data.copyWithin(from, from + extra, out.length);
    out.length -= extra;
  }

  #startsWithLonePrefix(from: number): boolean {
    const { data, length } = this.#out;
    return length - from > 1 && data[from] === this.#sp.idOf.get(META_SPACE) &&
      this.#specialTexts.has(this.#addedById.get(data[from + 1]!)?.content ?? "");
  }
}

const DECODERS = [
  { type: "Replace", pattern: { String: META_SPACE }, content: " " },
  { type: "ByteFallback" },
  { type: "Fuse" },
];
const STRIP = { type: "Strip", content: " ", start: 1, stop: 0 };
const sequence = (decoders: unknown[]) =>
  makeDecoder(new Component({ type: "Sequence", decoders }, "decoder"));
const DECODER = sequence(DECODERS), PREFIX_DECODER = sequence([...DECODERS, STRIP]);

const PLAIN_SPECIAL = {
  singleWord: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
};
