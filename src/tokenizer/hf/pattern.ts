/** Patterns that cut a text, and what becomes of the pieces. @module */
import { compileRegex, escapeRegex } from "../regex.ts";
import type { Component } from "./component.ts";

/** What becomes of a match: `SplitDelimiterBehavior` of the tokenizers library. */
export type Behavior =
  | "Removed"
  | "Isolated"
  | "MergedWithPrevious"
  | "MergedWithNext"
  | "Contiguous";

const BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"];

/** Reads a behaviour. @throws {TypeError} If it is unknown */
export function readBehavior(component: Component, byDefault?: Behavior): Behavior {
  const behavior = component.text("behavior", byDefault);
  if (!BEHAVIORS.includes(behavior)) throw component.unsupportedOption("behavior");
  return behavior as Behavior;
}

/** Reads `{"String": ...}` or `{"Regex": ...}`. @throws {SyntaxError} If it cannot be used */
export function readPattern(component: Component, name: string): RegExp {
  const pattern = component.child(name);
  if (pattern.raw("Regex") !== undefined) return compileRegex(pattern.text("Regex"));
  return new RegExp(escapeRegex(pattern.text("String")), "gv");
}

interface Span {
  begin: number;
  end: number;
  /** A match, or what lies between two. */
  matched: boolean;
}

/** Cuts a text. Empty pieces are left out. */
export function split(text: string, regex: RegExp, behavior: Behavior, invert = false): string[] {
  const spans: Span[] = [];
  let at = 0;
  const add = (begin: number, end: number, matched: boolean) => {
    if (begin < end) spans.push({ begin, end, matched: matched !== invert });
  };
  for (const match of text.matchAll(regex)) {
    add(at, match.index, false);
    at = match.index + match[0].length;
    add(match.index, at, true);
  }
  add(at, text.length, false);
  return arrange(spans, behavior).map(({ begin, end }) => text.slice(begin, end));
}

function arrange(spans: Span[], behavior: Behavior): Span[] {
  if (behavior === "Isolated") return spans;
  if (behavior === "Removed") return spans.filter(({ matched }) => !matched);
  const backward = behavior === "MergedWithNext", out: Span[] = [];
  let previous = false;
  for (const span of backward ? spans.toReversed() : spans) {
    const last = out.at(-1);
    const joins = behavior === "Contiguous" ? span.matched === previous : span.matched && !previous;
    previous = span.matched;
    if (!joins || last === undefined) out.push({ ...span });
    else if (backward) last.begin = span.begin;
    else last.end = span.end;
  }
  return backward ? out.reverse() : out;
}
