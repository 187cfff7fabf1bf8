/** Normalizers of tokenizer.json: text to text, before it is cut into pieces. @module */
import { Charsmap } from "../charsmap.ts";
import type { Component } from "./component.ts";
import { GraphemeNormalizer } from "./grapheme_normalizer.ts";
import { hasEmptyMatch, readPattern, replaceMatches } from "./pattern.ts";
import { normalizeAsOf9, stripMarks } from "./unicode_9.ts";

/** Rewrites a text. */
export type Normalizer = (text: string) => string;

/** What a normalizer is for. */
export interface NormalizerUse {
  /** "head": for the first character of a text alone, which is not its end. */
  part?: "whole" | "head";
  /** Whether a ByteLevel pre-tokenizer follows. */
  beforeByteLevel?: boolean;
}

/**
 * Makes a normalizer.
 *
 * @throws {TypeError} If it is not supported; also from the normalizer, if its pattern matches nothing
 */
export function makeNormalizer(component: Component, use: NormalizerUse = {}): Normalizer {
  switch (component.type) {
    case "Sequence": {
      const all = component.children("normalizers").map((step) => makeNormalizer(step, use));
      return (text) => all.reduce((t, normalize) => normalize(t), text);
    }
    case "NFC":
    case "NFD":
    case "NFKC":
    case "NFKD": {
      const form = component.type;
      return (text) => normalizeAsOf9(text, form);
    }
    case "Lowercase": // character by character: a final sigma is not looked for
      return (text) => text.replace(/\P{ASCII}|[A-Z]/gu, lowercase);
    case "Strip": {
      const left = component.flag("strip_left");
      const right = component.flag("strip_right") && use.part !== "head";
      return (text) => {
        let begin = 0, end = text.length;
        while (left && begin < end && WHITE_SPACE.test(text[begin]!)) begin++;
        while (right && begin < end && WHITE_SPACE.test(text[end - 1]!)) end--;
        return text.slice(begin, end);
      };
    }
    case "StripAccents":
      return stripMarks;
    case "Prepend": {
      const prefix = component.text("prepend");
      return (text) => text === "" ? text : prefix + text;
    }
    case "Replace": {
      const pattern = readPattern(component, "pattern"), content = component.text("content");
      return (text) => {
        if (use.beforeByteLevel && hasEmptyMatch(text, pattern)) {
          // the tokenizers library doubles some of them there, or ends by an index out of bounds
          throw new TypeError(
            `${component.path} (Replace) matches the empty text before ByteLevel, which is not supported`,
          );
        }
        return replaceMatches(text, pattern, content);
      };
    }
    case "Precompiled": {
      const charsmap = Charsmap.fromBase64(component.text("precompiled_charsmap"));
      const normalizer = new GraphemeNormalizer(charsmap);
      return (text) => normalizer.normalize(text);
    }
  }
  throw component.unsupported();
}

const WHITE_SPACE = /\p{White_Space}/u;

/** The letters of Unicode 17 too, which the tokenizers library knows and V8 does not. */
function lowercase(c: string): string {
  const code = c.codePointAt(0)!;
  if (code === 0xa7ce || code === 0xa7d2 || code === 0xa7d4) return String.fromCharCode(code + 1);
  if (code >= 0x16ea0 && code <= 0x16eb8) return String.fromCodePoint(code + 0x1b);
  return c.toLowerCase();
}
