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

/** Where the pieces of a text lie: piece `i` is `units[begins[i], ends[i])`. Reused, grows. */
export class PieceList {
  /** First unit of each piece. */
  begins: Int32Array = new Int32Array(1 << 10);
  /** Unit after the last one of each piece. */
  ends: Int32Array = new Int32Array(1 << 10);
  /** How many pieces there are. */
  count = 0;

  /** Appends a piece. */
  push(begin: number, end: number): void {
    if (this.count === this.ends.length) {
      this.begins = grown(this.begins);
      this.ends = grown(this.ends);
    }
    this.begins[this.count] = begin;
    this.ends[this.count++] = end;
  }

  /** Makes the last piece longer. */
  extend(end: number): void {
    this.ends[this.count - 1] = end;
  }
}

/**
 * Cuts a span into pieces. They are made of matches and of what lies between two matches, neither ever
 * empty; `invert` takes the one for the other.
 */
export class Splitter {
  readonly #matcher: Matcher;
  readonly #behavior: Behavior;
  readonly #invert: boolean;
  #matchEnd = -1; // of the match that was found last, if it is not behind

  /** Makes a splitter. */
  constructor(matcher: Matcher, behavior: Behavior, invert: boolean = false) {
    this.#matcher = matcher;
    this.#behavior = behavior;
    this.#invert = invert;
  }

  /** Appends the pieces of `units[begin, end)`, in order. */
  split(units: Uint16Array, begin: number, end: number, pieces: PieceList): void {
    const matcher = this.#matcher, behavior = this.#behavior, invert = this.#invert;
    matcher.start(units, begin, end);
    this.#matchEnd = -1;
    const isolates = behavior === "Isolated"; // as most do
    let wasMatch: boolean | undefined; // what the part before was; one part may be joined to the next
    for (let at = begin, to: number; at < end; at = to) {
      to = this.#matchEnd > at ? this.#matchEnd : matcher.matchAt(at);
      const matches = to > at, isMatch = matches !== invert;
      if (!matches) to = this.#nextMatch(units, at, end);
      if (isolates) pieces.push(at, to);
      else if (joins(behavior, invert, isMatch, wasMatch)) pieces.extend(to);
      else if (!isMatch || behavior !== "Removed") pieces.push(at, to);
      wasMatch = isMatch;
    }
  }

  /** Begin of the first match after the character at `place`, empty ones too; else the end. */
  #nextMatch(units: Uint16Array, place: number, end: number): number {
    const matcher = this.#matcher;
    for (let i = place;;) {
      i = matcher.skip(i + (isPair(units, i, end) ? 2 : 1));
      if (i >= end) return end;
      const matchEnd = matcher.matchAt(i);
      if (matchEnd < 0) continue;
      this.#matchEnd = matchEnd;
      return i;
    }
  }
}

/** Whether a part belongs to the piece of the part before it. */
function joins(behavior: Behavior, invert: boolean, isMatch: boolean, wasMatch?: boolean): boolean {
  switch (behavior) {
    case "Isolated":
    case "Removed":
      return false;
    case "MergedWithPrevious":
      return isMatch && wasMatch === false;
    case "MergedWithNext":
      return !isMatch && wasMatch === true;
    case "Contiguous": // two parts between matches: an empty match lies between them
      return isMatch === wasMatch && isMatch !== invert;
  }
}

function grown(list: Int32Array): Int32Array {
  const data = new Int32Array(2 * list.length);
  data.set(list);
  return data;
}
