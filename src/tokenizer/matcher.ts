/** Finds the matches of a pattern in a span of UTF-16 units. @module */
import { Automaton } from "./automaton.ts";
import { toRegExp } from "./regex.ts";
import type { RegexNode } from "./regex_node.ts";
import { parseRegex } from "./regex_syntax.ts";
import { textOfUnits } from "./units.ts";

/** Finds matches in one span after the other. A span is the whole text to it: no more is seen. */
export interface Matcher {
  /** Begins with the span `units[begin, end)`. */
  start(units: Uint16Array, begin: number, end: number): void;
  /**
   * End of the match that begins at a character of the span; -1 if there is none, the same place if it
   * is empty. The places that are asked for never decrease.
   */
  matchAt(place: number): number;
  /** The next character at or after `place` where a match may begin; the span's end if there is none. */
  skip(place: number): number;
}

/**
 * A matcher for an expression: an automaton where there is one.
 *
 * @param pattern Its source, for errors
 * @throws {SyntaxError} If the expression cannot be used
 */
export function makeMatcher(
  pattern: string,
  node: RegexNode = parseRegex(pattern),
): Matcher {
  const regex = toRegExp(node, pattern); // also where it is not needed, so that errors are equal
  const automaton = Automaton.of(node);
  return automaton === undefined ? new RegexMatcher(regex) : new AutomatonMatcher(automaton);
}

class AutomatonMatcher implements Matcher {
  readonly #automaton: Automaton;
  #units: Uint16Array = new Uint16Array(0);
  #end = 0;

  constructor(automaton: Automaton) {
    this.#automaton = automaton;
  }

  start(units: Uint16Array, _begin: number, end: number): void {
    this.#units = units;
    this.#end = end;
  }

  matchAt(place: number): number {
    return this.#automaton.match(this.#units, place, this.#end);
  }

  skip(place: number): number {
    return this.#automaton.skip(this.#units, place, this.#end);
  }
}

/** For what no automaton can do. */
export class RegexMatcher implements Matcher {
  readonly #regex: RegExp;
  #matches: Iterator<RegExpExecArray> = [].values();
  #offset = 0;
  #end = 0;
  #begin = 0; // of the match at or after the last place, Infinity if there is none
  #matchEnd = 0;

  /** Takes an expression with the flag `g`. */
  constructor(regex: RegExp) {
    this.#regex = regex;
  }

  start(units: Uint16Array, begin: number, end: number): void {
    this.#offset = begin;
    this.#end = end;
    this.#matches = textOfUnits(units, begin, end).matchAll(this.#regex);
    this.#begin = -1;
  }

  matchAt(place: number): number {
    return this.skip(place) === place ? this.#matchEnd : -1;
  }

  skip(place: number): number {
    while (this.#begin < place) {
      const found = this.#matches.next();
      this.#begin = found.done ? Infinity : this.#offset + found.value.index;
      this.#matchEnd = found.done ? Infinity : this.#begin + found.value[0].length;
    }
    return Math.min(this.#begin, this.#end);
  }
}
