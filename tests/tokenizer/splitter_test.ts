import { assertEquals } from "@std/assert";
import { makeMatcher, RegexMatcher } from "../../src/tokenizer/matcher.ts";
import { compileRegex } from "../../src/tokenizer/regex.ts";
import { type Behavior, Splitter } from "../../src/tokenizer/splitter.ts";
import { cut, random } from "./fixtures.ts";

Deno.test("Splitter arranges matches as the tokenizers library does", () => {
  const pieces = (behavior: Behavior, invert = false) =>
    cut(new Splitter(makeMatcher("-"), behavior, invert), "the-final--countdown");
  assertEquals(pieces("Removed"), ["the", "final", "countdown"]);
  assertEquals(pieces("Isolated"), ["the", "-", "final", "-", "-", "countdown"]);
  assertEquals(pieces("MergedWithPrevious"), ["the-", "final-", "-", "countdown"]);
  assertEquals(pieces("MergedWithNext"), ["the", "-final", "-", "-countdown"]);
  assertEquals(pieces("Contiguous"), ["the", "-", "final", "--", "countdown"]);
  assertEquals(pieces("Removed", true), ["-", "-", "-"]);
  assertEquals(pieces("MergedWithNext", true), ["the-", "final-", "-", "countdown"]);
  assertEquals(pieces("MergedWithPrevious", true), ["the", "-final", "-", "-countdown"]);
});

Deno.test("Splitter gives all of the text once, in order, unless it removes", () => {
  const next = random(8);
  for (
    const behavior of ["Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const
  ) {
    for (const pattern of ["a", "b+", "a|", "(?=b)", "c*?", ""]) {
      const splitter = new Splitter(makeMatcher(pattern), behavior, next(2) === 1);
      for (let k = 0; k < 100; k++) {
        const text = Array.from({ length: next(12) }, () => "abc"[next(3)]).join("");
        const pieces = cut(splitter, text);
        assertEquals(pieces.join(""), text, `${behavior} ${pattern}`);
        assertEquals(pieces.includes(""), false);
      }
    }
  }
});

Deno.test("Splitter cuts between two empty matches", () => {
  const splitter = new Splitter(new RegexMatcher(compileRegex("(?=b)")), "Isolated");
  assertEquals(cut(splitter, "aabab"), ["aa", "ba", "b"]);
});
