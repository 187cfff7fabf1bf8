/** Pre-tokenizers of tokenizer.json: a text to the pieces that the model encodes one by one. @module */
import { META_SPACE } from "../cut_table.ts";
import { compileRegex } from "../regex.ts";
import { findScanner, GPT2_PATTERN, type Scanner } from "../scanners.ts";
import { Component } from "./component.ts";
import { type Behavior, readBehavior, readPattern, split } from "./pattern.ts";

/** Cuts a text into pieces. */
export interface PreTokenizer {
  /**
   * The pieces, in order; a pre-tokenizer may change the text.
   *
   * @param first Whether the text stands at the start of the whole input
   */
  pieces(text: string, first: boolean): string[];
  /** Pieces may be left out, the first one too. */
  removes?: boolean;
  /** If the pieces only tile the unchanged text: the end of the one that begins somewhere. */
  scan?: Scanner;
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
  return {
    pieces: (text, first) => {
      let texts = [text], isFirst = first;
      for (const step of all) {
        const cut = texts.flatMap((t, i) => step.pieces(t, isFirst && i === 0));
        if (step.removes && !texts[0]?.startsWith(cut[0] ?? "")) isFirst = false;
        texts = cut;
      }
      return texts;
    },
  };
}

function makeStep(component: Component): PreTokenizer | undefined {
  switch (component.type) {
    case "Split": {
      const behavior = readBehavior(component), invert = component.flag("invert", false);
      const regex = readPattern(component, "pattern");
      const source = component.child("pattern").raw("Regex");
      const scan = typeof source === "string" && behavior === "Isolated"
        ? findScanner(source)
        : undefined;
      return splitter(regex, behavior, invert, scan);
    }
    case "ByteLevel": {
      const useRegex = component.flag("use_regex", true);
      const pieces = splitter(compileRegex(GPT2_PATTERN), "Isolated", false, scanGpt2);
      if (!component.flag("add_prefix_space")) return useRegex ? pieces : undefined;
      return {
        pieces: (text, first) => {
          const spaced = text.startsWith(" ") ? text : ` ${text}`;
          return useRegex ? pieces.pieces(spaced, first) : [spaced];
        },
      };
    }
    case "Metaspace":
      return metaspace(component);
    case "Digits": {
      const each = component.flag("individual_digits", false);
      return splitter(/\p{N}/gv, each ? "Isolated" : "Contiguous");
    }
    case "Punctuation":
      return splitter(/[\p{P}$+<=>^`\|~]/gv, readBehavior(component, "Isolated"));
    case "WhitespaceSplit":
      return splitter(/\p{White_Space}/gv, "Removed");
    case "Whitespace":
      return splitter(WORDS_OR_SIGNS, "Removed", true);
  }
  throw component.unsupported();
}

const WORDS_OR_SIGNS =
  /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gv;
const scanGpt2 = findScanner(GPT2_PATTERN)!;

function splitter(
  regex: RegExp,
  behavior: Behavior,
  invert = false,
  scan?: Scanner,
): PreTokenizer {
  if (scan === undefined) {
    return {
      pieces: (text) => split(text, regex, behavior, invert),
      removes: behavior === "Removed",
    };
  }
  const pieces = (text: string) => {
    const out: string[] = [];
    for (let i = 0, e = 0; i < text.length; i = e) {
      e = scan(text, i, text.length);
      out.push(text.slice(i, e));
    }
    return out;
  };
  return { pieces, scan };
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
  const regex = new RegExp(`\\u{${meta.codePointAt(0)!.toString(16)}}`, "gv");
  const pieces = (text: string, first: boolean) => {
    let t = text.replaceAll(" ", meta);
    if (!t.startsWith(meta) && (scheme === "always" || (scheme === "first" && first))) t = meta + t;
    return cut ? split(t, regex, "MergedWithNext") : [t];
  };
  return cut || meta !== META_SPACE ? { pieces } : { pieces, metaPrefix: scheme };
}
