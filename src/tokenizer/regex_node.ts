/** A parsed regular expression, whatever syntax it was written in. @module */

/** A set of characters by its source in JavaScript's syntax, as with the flag `v`. */
export interface SetNode {
  /** What it is. */
  kind: "set";
  /** Matches exactly one character. */
  source: string;
}

/** Items one after the other, or one of them: the first that leads to a match. */
export interface ListNode {
  /** What it is. */
  kind: "sequence" | "alternatives";
  /** In order. */
  items: RegexNode[];
}

/** An item several times. */
export interface RepeatNode {
  /** What it is. */
  kind: "repeat";
  /** What is repeated. */
  item: RegexNode;
  /** At least so often. */
  min: number;
  /** At most so often, may be Infinity. */
  max: number;
  /** Rather less often than more. */
  lazy: boolean;
}

/** An item whose match is never given back. */
export interface AtomicNode {
  /** What it is. */
  kind: "atomic";
  /** What is matched. */
  item: RegexNode;
}

/** An item that must (or must not) match here, or end here, without being part of the match. */
export interface LookNode {
  /** What it is. */
  kind: "look";
  /** What is looked for. */
  item: RegexNode;
  /** Before the place instead of after it. */
  behind: boolean;
  /** It must not be there. */
  negated: boolean;
}

/** An item whose case counts, or does not. */
export interface CaseNode {
  /** What it is. */
  kind: "case";
  /** What is matched. */
  item: RegexNode;
  /** Whether case is ignored; undefined leaves it as it is outside. */
  ignored: boolean;
}

/** A regular expression. */
export type RegexNode = SetNode | ListNode | RepeatNode | AtomicNode | LookNode | CaseNode;

/** Any character. */
export const ANY_CHARACTER: SetNode = { kind: "set", source: "[\\s\\S]" };
