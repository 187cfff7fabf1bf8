/** Patterns of tokenizer.json, and what becomes of what they match. @module */
import { makeMatcher, type Matcher } from "../matcher.ts";
import { compileRegex, escapeRegex } from "../regex.ts";
import { literalRegex } from "../regex_syntax.ts";
import type { Behavior } from "../splitter.ts";
import type { Component } from "./component.ts";

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

/** The same, to find matches in units. @throws {SyntaxError} If it cannot be used */
export function readMatcher(component: Component, name: string): Matcher {
  const pattern = component.child(name);
  if (pattern.raw("Regex") !== undefined) return makeMatcher(pattern.text("Regex"));
  const text = pattern.text("String");
  return makeMatcher(text, literalRegex(text));
}

/** Whether a pattern matches nothing somewhere in a text. */
export function hasEmptyMatch(text: string, pattern: RegExp): boolean {
  return matchesOf(text, pattern).some(([match]) => match === "");
}

/** Replaces all matches by a text. */
export function replaceMatches(text: string, pattern: RegExp, content: string): string {
  let out = "", end = 0;
  for (const { 0: match, index } of matchesOf(text, pattern)) {
    out += text.slice(end, index) + content;
    end = index + match.length;
  }
  return out + text.slice(end);
}

/** All matches in order. An empty one right after another match does not count. */
function* matchesOf(text: string, pattern: RegExp): Generator<RegExpExecArray> {
  let end = -1;
  for (const match of text.matchAll(pattern)) {
    if (match[0] === "" && match.index === end) continue;
    end = match.index + match[0].length;
    yield match;
  }
}
