/** Cuts a text at the matches of a pattern. @module */
import type { Matcher } from "./matcher.ts";
import { isPair } from "./units.ts";

/** What becomes of a match: `SplitDelimiterBehavior` of the tokenizers library. */
export type Behavior =
  | "Removed"
  | "Isolated"
  | "MergedWithPrevious"
  | "MergedWithNext"
  | "Contiguous";

/**
 * Gives the pieces of a span one after the other. They are made of matches and of what lies between
 * two matches, neither ever empty; `invert` takes the one for the other.
 */
export class Splitter {
  /** Where the piece that was found begins. */
  pieceBegin = 0;
  /** Where it ends. */
  pieceEnd = 0;
  readonly #matcher: Matcher;
  readonly #behavior: Behavior;
  readonly #invert: boolean;
  #units: Uint16Array = new Uint16Array(0);
  #at = 0; // all spans before this place were read
  #end = 0;
  #matchEnd = -1; // of the match at this place, if it is known that there is one
  // the span that was read last: a match, or what lies between two
  #hasSpan = false;
  #spanBegin = 0;
  #spanEnd = 0;
  #isMatch = false;

  /** Makes a splitter with nothing to do. */
  constructor(matcher: Matcher, behavior: Behavior, invert: boolean = false) {
    this.#matcher = matcher;
    this.#behavior = behavior;
    this.#invert = invert;
  }

  /** Begins to cut `units[begin, end)`. */
  start(units: Uint16Array, begin: number, end: number): void {
    this.#matcher.start(units, begin, end);
    this.#units = units;
    this.#at = begin;
    this.#end = end;
    this.#matchEnd = -1;
    if (this.#behavior !== "Isolated") this.#readSpan();
  }

  /** Finds the next piece. @returns false if there is none */
  next(): boolean {
    switch (this.#behavior) {
      case "Isolated":
        return this.#readSpan() && this.#take();
      case "Removed":
        while (this.#hasSpan && this.#isMatch) this.#readSpan();
        break;
    }
    if (!this.#take()) return false;
    const isMatch = this.#isMatch;
    this.#readSpan();
    switch (this.#behavior) {
      case "Contiguous": // an empty match parts what lies before and after it
        while (isMatch !== this.#invert && this.#hasSpan && this.#isMatch === isMatch) this.#join();
        break;
      case "MergedWithPrevious":
        if (!isMatch && this.#hasSpan && this.#isMatch) this.#join();
        break;
      case "MergedWithNext":
        if (isMatch && this.#hasSpan && !this.#isMatch) this.#join();
        break;
    }
    return true;
  }

  /** Makes the span a piece. */
  #take(): boolean {
    this.pieceBegin = this.#spanBegin;
    this.pieceEnd = this.#spanEnd;
    return this.#hasSpan;
  }

  /** Adds the span to the piece. */
  #join(): void {
    this.pieceEnd = this.#spanEnd;
    this.#readSpan();
  }

  /** Reads the next span. @returns false if there is none */
  #readSpan(): boolean {
    const begin = this.#at;
    if (begin === this.#end) return this.#hasSpan = false;
    let end = this.#matchEnd >= 0 ? this.#matchEnd : this.#matcher.matchAt(begin);
    const isMatch = end > begin;
    if (isMatch) this.#matchEnd = -1;
    else end = this.#nextMatch(begin);
    this.#spanBegin = begin;
    this.#spanEnd = this.#at = end;
    this.#isMatch = isMatch !== this.#invert;
    return this.#hasSpan = true;
  }

  /** Begin of the first match after the character at `place`, empty ones too; else the end. */
  #nextMatch(place: number): number {
    const units = this.#units, end = this.#end;
    this.#matchEnd = -1;
    for (let i = place; i < end;) {
      i += isPair(units, i, end) ? 2 : 1;
      if (i === end) break;
      const matchEnd = this.#matcher.matchAt(i);
      if (matchEnd < 0) continue;
      if (matchEnd > i) this.#matchEnd = matchEnd;
      return i;
    }
    return end;
  }
}
