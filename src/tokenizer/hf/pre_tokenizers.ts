/** Pre-tokenizers of tokenizer.json: a text to the pieces that the model encodes one by one. @module */
import { META_SPACE } from "../cut_table.ts";
import { makeMatcher } from "../matcher.ts";
import { GPT2_PATTERN } from "../patterns.ts";
import { literalRegex } from "../regex_syntax.ts";
import { PieceList, Splitter } from "../splitter.ts";
import { UnitBuffer } from "../units.ts";
import { Component } from "./component.ts";
import { readBehavior, readMatcher } from "./pattern.ts";

/** A piece of text. */
export interface Piece {
  /** The text. */
  text: string;
  /** How many of its first units stand for the first character of the whole input. */
  lead: number;
}

/** Cuts a text into pieces. */
export interface PreTokenizer {
  /** The pieces of one, in order; a pre-tokenizer may change the text. */
  pieces(whole: Piece): Piece[];
  /** If all it does is cut, once the text is respelled: the first of these cuts it, the next one each piece. */
  splitters?: readonly Splitter[];
  /** Respells the text; undefined if it is only cut. */
  respell?: (whole: Piece) => Piece;
  /** If all it does is write spaces as U+2581 and put one in front, and it makes one piece. */
  metaPrefix?: MetaPrefix;
}

/** When U+2581 is put in front of a text that does not begin with it (or a space). */
export type MetaPrefix = "always" | "first" | "never";

/** What a pre-tokenizer is made of. */
export interface PreTokenizerParts {
  /** undefined if it does nothing. */
  preTokenizer: PreTokenizer | undefined;
  /** The model sees each piece in the byte alphabet. */
  byteLevel: boolean;
}

/**
 * Makes a pre-tokenizer.
 *
 * @param addPrefixSpace Counts more than what a component that stands alone says, if it says anything
 * @throws {TypeError} If it is not supported
 */
export function makePreTokenizer(
  component: Component | undefined,
  addPrefixSpace?: boolean,
): PreTokenizerParts {
  if (component === undefined) return { preTokenizer: undefined, byteLevel: false };
  if (addPrefixSpace !== undefined && component.type === "ByteLevel") {
    component = new Component(
      { ...component.fields, add_prefix_space: addPrefixSpace },
      component.path,
    );
  }
  const steps = flatten(component);
  const byteLevel = steps.at(-1)!.type === "ByteLevel";
  steps.slice(0, -1).forEach((step) => {
    if (step.type === "ByteLevel") {
      throw new TypeError(`${step.path} (ByteLevel) must be the last pre-tokenizer`);
    }
  });
  const all = steps.map(makeStep).filter((step) => step !== undefined);
  return { preTokenizer: chain(all), byteLevel };
}

function flatten(component: Component): Component[] {
  if (component.type !== "Sequence") return [component];
  const steps = component.children("pretokenizers").flatMap(flatten);
  if (steps.length === 0) throw new TypeError(`${component.path} has no pre-tokenizers`);
  return steps;
}

function chain(all: PreTokenizer[]): PreTokenizer | undefined {
  if (all.length < 2) return all[0];
  const splitters = all.flatMap((step) => step.splitters ?? []);
  return {
    pieces: (whole) => all.reduce((pieces, step) => pieces.flatMap(step.pieces), [whole]),
    ...(all.every((step) => step.splitters && !step.respell) ? { splitters } : {}),
  };
}

function makeStep(component: Component): PreTokenizer | undefined {
  switch (component.type) {
    case "Split": {
      const invert = component.flag("invert", false), behavior = readBehavior(component);
      return cutting(new Splitter(readMatcher(component, "pattern"), behavior, invert));
    }
    case "ByteLevel":
      return byteLevel(component);
    case "Metaspace":
      return metaspace(component);
    case "Digits": {
      const each = component.flag("individual_digits", false);
      return cutting(new Splitter(makeMatcher("\\p{N}"), each ? "Isolated" : "Contiguous"));
    }
    case "Punctuation": {
      const matcher = makeMatcher("[\\p{P}$+<=>^`|~]");
      return cutting(new Splitter(matcher, readBehavior(component, "Isolated")));
    }
    case "WhitespaceSplit":
      return cutting(new Splitter(makeMatcher("\\s"), "Removed"));
    case "Whitespace":
      return cutting(new Splitter(makeMatcher(WORDS_OR_SIGNS), "Removed", true));
  }
  throw component.unsupported();
}

const WORD = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}";
const WORDS_OR_SIGNS = `[${WORD}]+|[^${WORD}\\s]+`;

function cutting(splitter: Splitter): PreTokenizer {
  const units = new UnitBuffer(), list = new PieceList();
  return {
    pieces: ({ text, lead }) => {
      const count = units.load(text, 0, text.length);
      list.count = 0;
      splitter.split(units.data, 0, count, list);
      return Array.from({ length: list.count }, (_, i) => {
        const begin = list.begins[i]!;
        return { text: text.slice(begin, list.ends[i]!), lead: Math.max(0, lead - begin) };
      });
    },
    splitters: [splitter],
  };
}

function byteLevel(component: Component): PreTokenizer | undefined {
  const useRegex = component.flag("use_regex", true);
  const words = cutting(new Splitter(makeMatcher(GPT2_PATTERN), "Isolated"));
  if (!component.flag("add_prefix_space")) return useRegex ? words : undefined;
  return {
    pieces: ({ text, lead }) => {
      const spaced = { text: text.startsWith(" ") ? text : ` ${text}`, lead };
      return useRegex ? words.pieces(spaced) : [spaced];
    },
  };
}

function metaspace(component: Component): PreTokenizer {
  const meta = component.text("replacement");
  const scheme = component.raw("add_prefix_space") === false
    ? "never"
    : component.text("prepend_scheme", "always");
  if (scheme !== "always" && scheme !== "first" && scheme !== "never") {
    throw component.unsupportedOption("prepend_scheme");
  }
  const cut = component.flag("split", true);
  const words = cutting(new Splitter(makeMatcher(meta, literalRegex(meta)), "MergedWithNext"));
  const respell = ({ text, lead }: Piece): Piece => {
    const spelled = text.replaceAll(" ", meta);
    const prefix = !spelled.startsWith(meta) &&
      (scheme === "always" || (scheme === "first" && lead > 0));
    return prefix
      ? { text: meta + spelled, lead: lead > 0 ? lead + meta.length : 0 }
      : { text: spelled, lead };
  };
  if (cut) return { ...words, respell, pieces: (whole) => words.pieces(respell(whole)) };
  const pieces = (whole: Piece) => [respell(whole)];
  return meta === META_SPACE ? { pieces, metaPrefix: scheme } : { pieces };
}
