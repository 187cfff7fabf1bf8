/**
 * The normalizer of SentencePiece models.
 *
 * @see google/sentencepiece, src/normalizer.cc
 * @module
 */
import type { Charsmap } from "../charsmap.ts";
import { META_SPACE } from "../cut_table.ts";

/** Settings of the normalizer. */
export interface NormalizerSettings {
  /** Replacements; undefined for none. */
  charsmap: Charsmap | undefined;
  /** Removes spaces at both ends, and of several but one. */
  removeExtraWhitespaces: boolean;
  /** Puts U+2581 in front, unless nothing is left. */
  addDummyPrefix: boolean;
  /** Finds texts that are left as they are; undefined for none. */
  protectedTexts: RegExp | undefined;
}

/** A text as the model sees it: rules applied, spaces written as U+2581. */
export function normalize(text: string, settings: NormalizerSettings): string {
  const { charsmap, removeExtraWhitespaces: trims, addDummyPrefix, protectedTexts } = settings;
  let out = "";
  let afterSpace = trims; // spaces at the start go too
  const add = (part: string) => {
    if (afterSpace) part = part.replace(/^ +/, "");
    if (part === "") return;
    out += part;
    afterSpace = trims && part.endsWith(" ");
  };
  if (charsmap !== undefined) replaceAll(text, charsmap, protectedTexts, add);
  else {
    const apply = (part: string) => {
      if (!trims) add(part);
      else for (const run of part.match(/ +|[^ ]+/g) ?? []) add(run.startsWith(" ") ? " " : run);
    };
    let at = 0;
    for (const match of protectedTexts ? text.matchAll(protectedTexts) : []) {
      apply(text.slice(at, match.index));
      add(match[0]);
      at = match.index + match[0].length;
    }
    apply(text.slice(at));
  }
  if (trims) {
    out = out.replace(/[ \u2581]+$/, "");
    if (out === "") return "";
  }
  const prefix = addDummyPrefix && text !== "" ? META_SPACE : "";
  return prefix + out.replaceAll(" ", META_SPACE);
}

/** From left to right: what is replaced may end inside of a text that would be protected. */
function replaceAll(
  text: string,
  charsmap: Charsmap,
  protectedTexts: RegExp | undefined,
  add: (part: string) => void,
): void {
  const bytes = new TextEncoder().encode(text), decoder = new TextDecoder("utf-8", BOM_STAYS);
  const search = (from: number) => {
    if (protectedTexts === undefined) return null;
    protectedTexts.lastIndex = from;
    const match = protectedTexts.exec(text);
    protectedTexts.lastIndex = 0; // where others begin
    return match;
  };
  let next = search(0);
  for (let i = 0, units = 0; i < bytes.length;) { // the same place in bytes and in UTF-16 units
    if (next !== null && next.index < units) next = search(units);
    const begin = i, lead = bytes[i]!;
    if (next?.index === units) {
      add(next[0]);
      i += new TextEncoder().encode(next[0]).length;
    } else {
      const found = charsmap.find(bytes, i, true);
      i += found?.length ?? (lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4);
      add(found?.text ?? decoder.decode(bytes.subarray(begin, i)));
    }
    for (let k = begin; k < i; k++) {
      units += (bytes[k]! & 0xc0) === 0x80 ? 0 : bytes[k]! < 0xf0 ? 1 : 2;
    }
  }
}

const BOM_STAYS: TextDecoderOptions = { ignoreBOM: true };
