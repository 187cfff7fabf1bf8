/** The tokenizer of a tokenizer.json file. @module */
import type { CharBpeReading } from "../char_bpe.ts";
import { META_SPACE, META_UNIT } from "../cut_table.ts";
import { IdBuffer } from "../id_buffer.ts";
import { PieceList, type Splitter } from "../splitter.ts";
import { StreamDecoder } from "../stream_decoder.ts";
import type { DecoderStage } from "../text_sink.ts";
import type { DecodeOptions, DecodeStream, EncodeOptions, Tokenizer } from "../tokenizer.ts";
import { isPair, textOfUnits, UnitBuffer } from "../units.ts";
import type { NamedToken, SpecialTokens } from "../special_tokens.ts";
import { type AddedToken, TokenFinder } from "./added_tokens.ts";
import { Component } from "./component.ts";
import { makeDecoder } from "./decoders.ts";
import { makeModel, type Model, type Vocabulary } from "./models.ts";
import { makeNormalizer, type Normalizer } from "./normalizers.ts";
import { makeTemplate, type Template } from "./post_processors.ts";
import { parseTokenizerJson } from "./tokenizer_json.ts";
import { makePreTokenizer, type MetaPrefix, type PreTokenizer } from "./pre_tokenizers.ts";

/** A tokenizer built from the JSON of tokenizer.json. */
export class HfTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
  readonly unkId: number | undefined;
  readonly eosText: string | undefined;
  readonly #model: Model;
  readonly #normalizer: Normalizer | undefined;
  readonly #normalizeHead: Normalizer;
  readonly #preTokenizer: PreTokenizer | undefined;
  readonly #meta: MetaReading | undefined;
  readonly #template: Template;
  readonly #decoder: DecoderStage;
  readonly #vocab: Vocabulary;
  readonly #addedTexts = new Map<number, string>(); // by id, as they decode
  readonly #specialTexts: ReadonlySet<string>;
  readonly #rawTokens: TokenFinder | undefined;
  readonly #normalizedTokens: TokenFinder | undefined;
  #mayHoldNormalized = false; // the text being encoded
  readonly #units = new UnitBuffer(); // of the text as it is
  readonly #normalized = new UnitBuffer();
  readonly #piece = new UnitBuffer();
  readonly #pieces = new PieceList();
  readonly #finerPieces = new PieceList();
  readonly #out = new IdBuffer();

  /**
   * Builds a tokenizer.
   *
   * @param json The file
   * @param special Names of special tokens and settings of the files next to it
   * @throws {SyntaxError} If it is not JSON
   * @throws {TypeError} If a component is not supported, or broken
   */
  constructor(json: string, special: SpecialTokens) {
    const parsed = parseTokenizerJson(json), file = new Component(parsed.json, "");
    const { preTokenizer, byteLevel } = makePreTokenizer(
      file.maybeChild("pre_tokenizer"),
      special.addPrefixSpace,
    );
    const { model, vocab, readsMeta } = makeModel(file.child("model"), parsed, byteLevel);
    this.#model = model;
    this.#vocab = vocab;
    const normalizer = maybeNormalizer(file);
    const use = { beforeByteLevel: byteLevel };
    this.#normalizer = normalizer && makeNormalizer(normalizer, use);
    this.#normalizeHead = normalizer
      ? makeNormalizer(normalizer, { ...use, part: "head" })
      : (text) => text;
    this.#decoder = makeDecoder(file.maybeChild("decoder"));
    const added = addedTokens(file, vocab, special);
    for (const token of added) {
      const isNormalized = token.normalized && this.#normalizer !== undefined;
      const text = isNormalized ? this.#normalizer(token.content) : token.content;
      this.#addedTexts.set(token.id, text);
    }
    const idOfAdded = new Map(added.map((token) => [token.content, token.id]));
    const idOfToken = (token: string) => idOfAdded.get(token) ?? vocab.get(token);
    this.vocabSize = Math.max(vocab.largestId(), largest(this.#addedTexts.keys())) + 1;
    this.#specialTexts = new Set(added.filter((t) => t.special).map((t) => t.content));
    const normalize = this.#normalizer;
    const searched = added.filter((t) => !(special.splitsSpecial && t.special));
    this.#rawTokens = finder(searched.filter((t) => !t.normalized), (text) => text);
    this.#normalizedTokens = finder(
      searched.filter((t) => t.normalized),
      normalize ?? ((text) => text),
    );
    this.#preTokenizer = preTokenizer;
    this.#meta = readsMeta && !(this.#normalizedTokens && normalizer)
      ? metaReading(normalizer, file.maybeChild("pre_tokenizer"), preTokenizer?.metaPrefix)
      : undefined;
    const text = (name: Purpose) => {
      const ofClass = special.byClass[name];
      return special[name] ??
        (ofClass !== undefined && idOfToken(ofClass) !== undefined ? ofClass : undefined);
    };
    const id = (name: Purpose) => idOfToken(text(name) ?? "");
    this.bosId = id("bos");
    this.eosId = id("eos");
    this.padId = id("pad");
    this.unkId = id("unk");
    this.eosText = text("eos");
    this.#template = template(file.maybeChild("post_processor"), special, this.bosId, this.eosId);
  }

  encode(text: string, { special = false }: EncodeOptions = {}): Int32Array {
    const out = this.#out;
    out.length = 0;
    if (special) this.#template.before.forEach((id) => out.push(id));
    this.#mayHoldNormalized = this.#normalizer !== undefined ||
      this.#normalizedTokens?.mayBeIn(text) === true;
    const count = this.#units.load(text, 0, text.length), units = this.#units.data;
    if (!this.#rawTokens?.mayBeIn(text)) this.#encodePart(text, units, 0, count);
    else {
      this.#rawTokens.split(units, 0, count, (begin, end, id) => {
        if (id >= 0) out.push(id);
        else this.#encodePart(text, units, begin, end);
      });
    }
    if (special) this.#template.after.forEach((id) => out.push(id));
    return out.take();
  }

  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const stream = this.decodeStream(options);
    let text = "";
    for (let i = 0; i < ids.length; i++) text += stream.push(ids[i]!);
    return text + stream.end();
  }

  decodeStream({ skipSpecial = false }: DecodeOptions = {}): DecodeStream {
    return new StreamDecoder(
      this.vocabSize,
      this.#decoder,
      (id) => {
        const text = this.#addedTexts.get(id) ?? this.#vocab.text(id);
        // by what it decodes to: a special token that its normalizer changes is not left out
        return skipSpecial && this.#specialTexts.has(text ?? "") ? undefined : text;
      },
    );
  }

  /** Encodes what lies between tokens that were found in the text as it is. */
  #encodePart(text: string, units: Uint16Array, begin: number, end: number): void {
    if (begin === end) return; // also if the normalizer would put something there
    if (this.#meta === undefined && this.#normalizer !== undefined) {
      const normalized = this.#normalizer(text.slice(begin, end));
      const count = this.#normalized.load(normalized, 0, normalized.length);
      const first = isPair(units, begin, end) ? 2 : 1;
      const lead = begin === 0 ? this.#normalizeHead(text.slice(0, first)).length : 0;
      this.#encodeNormalized(this.#normalized.data, 0, count, lead);
    } else this.#encodeNormalized(units, begin, end, begin === 0 ? 1 : 0);
  }

  /** @param lead How many of the first units stand for the first character of the whole input */
  #encodeNormalized(units: Uint16Array, begin: number, end: number, lead: number): void {
    const tokens = this.#mayHoldNormalized ? this.#normalizedTokens : undefined;
    if (tokens === undefined) return this.#encodePlain(units, begin, end, lead);
    tokens.split(units, begin, end, (from, to, id) => {
      if (id >= 0) this.#out.push(id);
      else this.#encodePlain(units, from, to, Math.max(0, lead - (from - begin)));
    });
  }

  /** Encodes what lies between tokens. */
  #encodePlain(units: Uint16Array, begin: number, end: number, lead: number): void {
    if (begin === end) return; // a prefix is put before texts only
    const preTokenizer = this.#preTokenizer, model = this.#model, out = this.#out;
    if (this.#meta !== undefined) return this.#encodeMeta(units, begin, end, lead > 0, this.#meta);
    if (preTokenizer === undefined) return model.encode(units, begin, end, out);
    const { respell, splitters } = preTokenizer;
    if (splitters && !respell) return this.#encodePieces(units, begin, end, splitters);
    if (splitters && respell) {
      const { text } = respell({ text: textOfUnits(units, begin, end), lead });
      const count = this.#piece.load(text, 0, text.length);
      return this.#encodePieces(this.#piece.data, 0, count, splitters);
    }
    for (const { text } of preTokenizer.pieces({ text: textOfUnits(units, begin, end), lead })) {
      const count = this.#piece.load(text, 0, text.length);
      model.encode(this.#piece.data, 0, count, out);
    }
  }

  /** Cuts `units[begin, end)` by one splitter after the other, and encodes the pieces. */
  #encodePieces(units: Uint16Array, begin: number, end: number, splitters: readonly Splitter[]) {
    let pieces = this.#pieces, finer = this.#finerPieces;
    pieces.count = 0;
    pieces.push(begin, end);
    for (const splitter of splitters) {
      finer.count = 0;
      for (let i = 0; i < pieces.count; i++) {
        splitter.split(units, pieces.begins[i]!, pieces.ends[i]!, finer);
      }
      [pieces, finer] = [finer, pieces];
    }
    const model = this.#model, out = this.#out;
    if (model.encodePieces) return model.encodePieces(units, pieces, out);
    for (let i = 0; i < pieces.count; i++) {
      model.encode(units, pieces.begins[i]!, pieces.ends[i]!, out);
    }
  }

  /** The model reads spaces as U+2581. */
  #encodeMeta(
    units: Uint16Array,
    begin: number,
    end: number,
    first: boolean,
    meta: MetaReading,
  ): void {
    const startsMeta = units[begin] === SPACE || units[begin] === META_UNIT;
    const prefix = meta === "unconditional" ||
      (!startsMeta && (meta === "always" || (meta === "first" && first)));
    this.#model.encode(units, begin, end, this.#out, prefix ? PREFIXED : UNPREFIXED);
  }
}

/** The normalizer, unless it does nothing. */
function maybeNormalizer(file: Component): Component | undefined {
  const normalizer = file.maybeChild("normalizer");
  const isEmpty = normalizer?.type === "Sequence" &&
    normalizer.children("normalizers").length === 0;
  return isEmpty ? undefined : normalizer;
}

/** What callers ask the id of. */
type Purpose = "bos" | "eos" | "pad" | "unk";

/** When U+2581 is put in front of a part of the text; "unconditional": even if one is there. */
type MetaReading = MetaPrefix | "unconditional";

const SPACE = 32;
const PREFIXED: CharBpeReading = { spaceIsMeta: true, prefix: true };
const UNPREFIXED: CharBpeReading = { spaceIsMeta: true, prefix: false };

/** Recognises the ways to write spaces as U+2581 that the model can do by itself. */
function metaReading(
  normalizer: Component | undefined,
  preTokenizer: Component | undefined,
  metaPrefix: MetaPrefix | undefined,
): MetaReading | undefined {
  if (normalizer === undefined) return metaPrefix;
  if (preTokenizer !== undefined && !cutsOnlyAtSpaces(preTokenizer)) return undefined;
  const steps = normalizer.type === "Sequence" ? normalizer.children("normalizers") : [normalizer];
  const replaces = (step: Component | undefined) =>
    step?.type === "Replace" && step.text("content") === META_SPACE &&
    step.child("pattern").raw("String") === " ";
  const prepends = (step: Component | undefined) =>
    step?.type === "Prepend" && step.text("prepend") === META_SPACE;
  if (steps.length === 1 && replaces(steps[0])) return "never";
  const both = steps.length === 2 &&
    ((prepends(steps[0]) && replaces(steps[1])) || (replaces(steps[0]) && prepends(steps[1])));
  return both ? "unconditional" : undefined;
}

/** Whether it cuts nothing once all spaces are written as U+2581. */
function cutsOnlyAtSpaces(preTokenizer: Component): boolean {
  return preTokenizer.type === "Split" && preTokenizer.child("pattern").raw("String") === " " &&
    preTokenizer.raw("invert") !== true;
}

/** Those of the file and of the configuration, as transformers adds them. */
function addedTokens(
  file: Component,
  vocab: Vocabulary,
  special: SpecialTokens,
): AddedToken[] {
  const entries = file.raw("added_tokens") == null ? [] : file.children("added_tokens");
  const tokens = entries.map((entry): AddedToken => ({
    id: entry.number("id"),
    content: entry.text("content"),
    singleWord: entry.flag("single_word", false),
    lstrip: entry.flag("lstrip", false),
    rstrip: entry.flag("rstrip", false),
    normalized: entry.flag("normalized", true),
    special: entry.flag("special", false),
  })).filter(({ content }) => content !== "");
  const known = new Map(tokens.map((token) => [token.content, token]));
  let next = Math.max(vocab.largestId(), largest(tokens.map(({ id }) => id))) + 1;
  const add = (token: NamedToken) => {
    known.set(token.content, { ...token, id: vocab.get(token.content) ?? next++ });
  };
  for (const token of special.listed) {
    const there = known.get(token.content);
    if (there === undefined) add(token);
    else Object.assign(there, token, { special: there.special || token.special });
  }
  for (const token of special.named) {
    const there = known.get(token.content);
    if (there === undefined) add(token);
    else there.special = true;
  }
  for (const token of special.extra) if (!known.has(token.content)) add(token);
  for (const content of Object.values(special.byClass)) {
    const there = known.get(content);
    if (there !== undefined) there.special = true;
  }
  return [...known.values()];
}

function largest(ids: Iterable<number>): number {
  let max = -1;
  for (const id of ids) if (id > max) max = id;
  return max;
}

function finder(tokens: AddedToken[], normalize: Normalizer): TokenFinder | undefined {
  if (tokens.length === 0) return undefined;
  const byText = new Map<string, AddedToken>();
  for (const token of tokens) {
    const text = normalize(token.content), other = byText.get(text);
    if (other !== undefined) {
      // the tokenizers library takes another one in each process
      throw new TypeError(
        `the added tokens ${JSON.stringify(other.content)} and ${JSON.stringify(token.content)} ` +
          `are both ${JSON.stringify(text)} when normalized, which is not supported`,
      );
    }
    byText.set(text, token);
  }
  return new TokenFinder(byText);
}

/** The template of the file, unless the configuration of a Llama tokenizer says otherwise. */
function template(
  component: Component | undefined,
  special: SpecialTokens,
  bosId: number | undefined,
  eosId: number | undefined,
): Template {
  const made = makeTemplate(component);
  const { addBos, addEos } = special;
  if (!special.rebuildsTemplate || (addBos === undefined && addEos === undefined)) return made;
  return {
    before: (addBos ?? true) && bosId !== undefined ? [bosId] : [],
    after: (addEos ?? false) && eosId !== undefined ? [eosId] : [],
  };
}
