import { assertEquals, assertExists } from "@std/assert";
import { Automaton } from "../../src/tokenizer/automaton.ts";
import { makeMatcher, RegexMatcher } from "../../src/tokenizer/matcher.ts";
import { GPT2_PATTERN, LLAMA3_PATTERN } from "../../src/tokenizer/patterns.ts";
import { compileRegex } from "../../src/tokenizer/regex.ts";
import { parseRegex } from "../../src/tokenizer/regex_syntax.ts";
import { Splitter } from "../../src/tokenizer/splitter.ts";
import { type Case, cut, random, randomText, rows, unitsOf } from "./fixtures.ts";

const CASED = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", UNCASED = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const SUFFIX = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?", REST = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** Of models that people use. */
const PATTERNS: Record<string, string> = {
  "GPT-2": GPT2_PATTERN,
  "Llama 3": LLAMA3_PATTERN,
  "Qwen 2": LLAMA3_PATTERN.replace("{1,3}", ""),
  "BLOOM": " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+",
  "GPT-4o": `[^\\r\\n\\p{L}\\p{N}]?${CASED}*${UNCASED}+${SUFFIX}|[^\\r\\n\\p{L}\\p{N}]?${CASED}+` +
    `${UNCASED}*${SUFFIX}|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${REST}`,
  "DeepSeek 3": "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|" +
    `[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|${REST}`,
  "cl100k":
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++" +
    "[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
};
const OTHERS = [
  "a|ab|abc",
  "abc|ab|a",
  "(?:a|ab)(?:c|bcd)?",
  "a+?b?",
  "(?:a{1,2}b|a){2,3}",
  "a{2,}?|b{2,3}+|c{3}",
  "a*+b",
  "\\w+(?=b|c)|\\s",
  "[ab]++|b",
  "(?i)ab|C$",
  "a\\z|b",
  "(?:a|b(?!c))+",
  "(?>[^b])a|b",
  "\\p{L}\\p{M}*|.",
];

const regexSplitter = (pattern: string) =>
  new Splitter(new RegexMatcher(compileRegex(pattern)), "Isolated");

for (const [name, pattern] of Object.entries(PATTERNS)) {
  Deno.test(`the automaton of ${name} cuts random text as the regular expression does`, () => {
    assertExists(Automaton.of(parseRegex(pattern)));
    const splitter = new Splitter(makeMatcher(pattern), "Isolated"), next = random(1);
    const reference = regexSplitter(pattern);
    const texts = Array.from({ length: 6000 }, () => randomText(next, 24));
    texts.push(...rows<Case>("qwen", "cases").map(({ text }) => text));
    texts.push("\ud800a", "a\udc00b", "\ud83d\ud83d\ude00");
    for (const text of texts) {
      assertEquals(cut(splitter, text), cut(reference, text), JSON.stringify(text));
    }
  });

  Deno.test(`the automaton of ${name} sees nothing beyond the end it is given`, () => {
    const automaton = Automaton.of(parseRegex(pattern))!, next = random(2);
    for (let k = 0; k < 2000; k++) {
      const units = unitsOf(randomText(next, 12)), end = next(units.length + 1);
      for (let i = 0; i < end; i++) {
        const whole = automaton.match(units.slice(0, end), i, end);
        assertEquals(automaton.match(units, i, end), whole, String([units, i, end]));
      }
    }
  });
}

Deno.test("automata prefer what the expression prefers", () => {
  const next = random(3);
  for (const pattern of OTHERS) {
    assertExists(Automaton.of(parseRegex(pattern)), pattern);
    const splitter = new Splitter(makeMatcher(pattern), "Isolated");
    const reference = regexSplitter(pattern);
    for (let k = 0; k < 1000; k++) {
      const text = Array.from({ length: next(14) }, () => "aaabbcdC \n\u0301"[next(11)]).join("");
      assertEquals(cut(splitter, text), cut(reference, text), `${pattern} ${JSON.stringify(text)}`);
    }
  }
});

Deno.test("every character has the class of the sets that it is in", () => {
  const sets = ["\\p{Lu}", "\\p{N}", "\\p{Emoji}", "(?i:k)", "[^\\p{Han}]"];
  for (const source of sets) {
    const regex = compileRegex(source), automaton = Automaton.of(parseRegex(source))!;
    const next = random(4);
    for (let c = 0; c < 0x110000; c += 1 + next(c < 0x3000 ? 3 : 90)) {
      if (c >= 0xd800 && c < 0xe000) continue;
      const text = String.fromCodePoint(c), units = unitsOf(text);
      regex.lastIndex = 0;
      const expected = regex.test(text) ? text.length : -1;
      assertEquals(automaton.match(units, 0, text.length), expected, `${source} ${c.toString(16)}`);
    }
  }
});

Deno.test("what an automaton cannot do is left to the regular expression", () => {
  for (const pattern of ["a*", "a(?!bc)", "(?<=a)b", "(?>a|ab)c", "^a", "(?:a?)+b"]) {
    assertEquals(Automaton.of(parseRegex(pattern)), undefined, pattern);
  }
  assertEquals(cut(new Splitter(makeMatcher("a(?!bc)"), "Removed"), "abcabd"), ["abc", "bd"]);
});
