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

/** Replaces all matches by a text. An empty one right after another match does not count. */
export function replaceMatches(text: string, pattern: RegExp, content: string): string {
  let out = "", end = 0, isAfterMatch = false;
  for (const { 0: match, index } of text.matchAll(pattern)) {
    if (match === "" && index === end && isAfterMatch) continue;
    out += text.slice(end, index) + content;
    end = index + match.length;
    isAfterMatch = true;
  }
  return isAfterMatch ? out + text.slice(end) : text;
}
