/** Normalizers of tokenizer.json: text to text, before it is cut into pieces. @module */
import { Charsmap } from "../charsmap.ts";
import type { Component } from "./component.ts";
import { readPattern } from "./pattern.ts";

/** Rewrites a text. */
export type Normalizer = (text: string) => string;

/** Makes a normalizer. @throws {TypeError} If it is not supported */
export function makeNormalizer(component: Component): Normalizer {
  switch (component.type) {
    case "Sequence": {
      const all = component.children("normalizers").map(makeNormalizer);
      return (text) => all.reduce((t, normalize) => normalize(t), text);
    }
    case "NFC":
    case "NFD":
    case "NFKC":
    case "NFKD": {
      const form = component.type;
      return (text) => text.normalize(form);
    }
    case "Lowercase": // character by character: a final sigma is not looked for
      return (text) => text.replace(/\P{ASCII}|[A-Z]/gu, (c) => c.toLowerCase());
    case "Strip": {
      const left = component.flag("strip_left"), right = component.flag("strip_right");
      return (text) => {
        if (left) text = text.replace(/^\p{White_Space}+/u, "");
        return right ? text.replace(/\p{White_Space}+$/u, "") : text;
      };
    }
    case "StripAccents":
      return (text) => text.replace(/\p{M}/gu, "");
    case "Prepend": {
      const prefix = component.text("prepend");
      return (text) => text === "" ? text : prefix + text;
    }
    case "Replace": {
      const pattern = readPattern(component, "pattern"), content = component.text("content");
      return (text) => text.replace(pattern, () => content);
    }
    case "Precompiled": {
      const charsmap = Charsmap.fromBase64(component.text("precompiled_charsmap"));
      return (text) => charsmap.normalizeByGrapheme(text);
    }
  }
  throw component.unsupported();
}
