import { assertEquals, assertThrows } from "@std/assert";
import { compileRegex } from "../../src/tokenizer/regex.ts";

const matches = (pattern: string, text: string) => text.match(compileRegex(pattern)) ?? [];

Deno.test("compileRegex() reads what Oniguruma means", () => {
  assertEquals(matches("\\s+", "a\u0085b\ufeffc\u2003"), ["\u0085", "\u2003"]);
  assertEquals(matches("\\d", "1\u0663\u00b2"), ["1", "\u0663"]);
  assertEquals(matches("\\w+", "a\u0301_1-b"), ["a\u0301_1", "b"]);
  assertEquals(matches("\\w+", "a\u00bd \u00b2\u00bf\u2460"), ["a\u00bd", "\u00b2"]);
  assertEquals(matches("[\\w]+|\\W", "a\u00bd\u00bf"), ["a", "\u00bf"]);
  assertEquals(matches("\\h+", "xbeefx"), ["beef"]);
  assertEquals(matches(".", "a\n\r\u2028"), ["a", "\r", "\u2028"]);
  assertEquals(matches("[^(\\s|[.,])]+", "ab(c d.e"), ["ab", "c", "d", "e"]);
  assertEquals(matches("[a-z&&[^aeiou]]+", "abcde"), ["bcd"]);
  assertEquals(matches("[]a]+", "x]a]"), ["]a]"]);
  assertEquals(matches("[a\\-z-]+", "b-az"), ["-az"]);
  assertEquals(matches("[[:alpha:]\\p{Nd}]+", "a1.b"), ["a1", "b"]);
  assertEquals(matches("\\p{Han}+|\\p{^L}+", "\u4e2d\u65871"), ["\u4e2d\u6587", "1"]);
  assertEquals(matches("(?i)ab|(?-i:c)d", "AB cD CD"), ["AB", "cD"]);
  assertEquals(matches("x(?i:'s)", "x'\u017f"), ["x'\u017f"]);
  assertEquals(matches("\\x{1F600}|\\u0041|\\x42", "\u{1f600}AB"), ["\u{1f600}", "A", "B"]);
  assertEquals(matches("a$", "a\na"), ["a", "a"]);
  assertEquals(matches("^b", "b\nb\rb"), ["b", "b"]);
  assertEquals(matches("a\\z", "a\na"), ["a"]);
  assertEquals(matches("a{,2}b", "aaab"), ["aab"]);
});

Deno.test("compileRegex() keeps possessive quantifiers and atomic groups from giving back", () => {
  assertEquals(matches("a++a", "aaa"), []);
  assertEquals(matches("a?+ab", "ab"), []);
  assertEquals(matches("(?>a|ab)c", "abc"), []);
  assertEquals(matches("[^\\r\\n\\p{L}]?+\\p{L}+|\\s++", " ab  c"), [" ab", "  ", "c"]);
});

Deno.test("compileRegex() refuses what it cannot translate, by name", () => {
  const refused = ["a(b", "a)", "[a", "\\p{Nonsense}", "(?m:.)", "\\b", "(a)\\1", "(?#x)", "\\R"];
  for (const pattern of refused) {
    assertThrows(() => compileRegex(pattern), SyntaxError, pattern);
  }
});
