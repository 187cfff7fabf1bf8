/** Normalizers of tokenizer.json: text to text, before it is cut into pieces. @module */
import { Charsmap } from "../charsmap.ts";
import type { Component } from "./component.ts";
import { readPattern, replaceMatches } from "./pattern.ts";
import { normalizeAsOf9, stripMarks } from "./unicode_9.ts";

/** Rewrites a text. */
export type Normalizer = (text: string) => string;

/**
 * Makes a normalizer.
 *
 * @param part "head": for the first character of a text alone, which is not its end
 * @throws {TypeError} If it is not supported
 */
export function makeNormalizer(component: Component, part: "whole" | "head" = "whole"): Normalizer {
  switch (component.type) {
    case "Sequence": {
      const all = component.children("normalizers").map((step) => makeNormalizer(step, part));
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
      return (text) => text.replace(/\P{ASCII}|[A-Z]/gu, (c) => c.toLowerCase());
    case "Strip": {
      const left = component.flag("strip_left");
      const right = component.flag("strip_right") && part === "whole";
      return (text) => {
        if (left) text = text.replace(/^\p{White_Space}+/u, "");
        return right ? text.replace(/\p{White_Space}+$/u, "") : text;
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
      return (text) => replaceMatches(text, pattern, content);
    }
    case "Precompiled": {
      const charsmap = Charsmap.fromBase64(component.text("precompiled_charsmap"));
      return (text) => charsmap.normalizeByGrapheme(text);
    }
  }
  throw component.unsupported();
}
