/** What a seeded bug is. @module */

/** How the tests run: which library, and what the emulation is told. See scripts/mutations.ts. */
export type Mode = "plain" | "deferred" | "guard" | "race" | "asan";

/** One bug, in a source of the CUDA backend. */
export interface Mutation {
  /** What is wrong, for the table. */
  bug: string;
  /** Below csrc. */
  file: string;
  /** Text that the file holds once; with `change`, the text around what is changed. */
  find: string;
  /** What of `find` is changed: all of it when left out. It stands there once. */
  change?: string;
  /** What stands in its place. */
  put: string;
  /** An expression is changed, not a whole statement. */
  isExpression?: boolean;
  /** Modes to try, in this order, until one catches it. */
  modes: readonly Mode[];
  /** The test that is to catch it, below tests: a file, and words of the names of its tests. */
  test: readonly [file: string, words?: string];
}
