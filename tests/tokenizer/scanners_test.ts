import { assertEquals, assertExists } from "@std/assert";
import { join } from "@std/path";
import { split } from "../../src/tokenizer/hf/pattern.ts";
import { compileRegex } from "../../src/tokenizer/regex.ts";
import {
  BLOOM_PATTERN,
  findScanner,
  GPT2_PATTERN,
  LLAMA3_PATTERN,
  QWEN_PATTERN,
} from "../../src/tokenizer/scanners.ts";
import { type Case, FIXTURES, random, randomText, rows } from "./fixtures.ts";

const PATTERNS = { GPT2_PATTERN, LLAMA3_PATTERN, QWEN_PATTERN, BLOOM_PATTERN };

for (const [name, pattern] of Object.entries(PATTERNS)) {
  Deno.test(`the scanner of ${name} cuts random text as the regular expression does`, () => {
    const scan = findScanner(pattern)!, regex = compileRegex(pattern), next = random(1);
    const texts = Array.from({ length: 6000 }, () => randomText(next, 24));
    texts.push(...rows<Case>("qwen", "cases").map(({ text }) => text));
    for (const text of texts) {
      const pieces: string[] = [];
      for (let i = 0, e = 0; i < text.length; i = e) {
        e = scan(text, i, text.length);
        pieces.push(text.slice(i, e));
      }
      assertEquals(pieces, split(text, regex, "Isolated"), JSON.stringify(text));
    }
  });

  Deno.test(`the scanner of ${name} sees nothing beyond the end it is given`, () => {
    const scan = findScanner(pattern)!, next = random(2);
    for (let k = 0; k < 2000; k++) {
      const text = randomText(next, 12), end = next(text.length + 1);
      if ((text.charCodeAt(end - 1) & 0xfc00) === 0xd800) continue;
      for (let i = 0, e = 0; i < end; i = e) {
        e = scan(text, i, end);
        assertEquals(e, scan(text.slice(0, end), i, end), JSON.stringify([text, i, end]));
      }
    }
  });
}

Deno.test("the patterns of the fixtures have scanners", () => {
  for (const name of ["bloom", "llama3", "qwen"]) {
    const json = JSON.parse(Deno.readTextFileSync(join(FIXTURES, name, "tokenizer.json")));
    assertExists(findScanner(json.pre_tokenizer.pretokenizers[0].pattern.Regex), name);
  }
});
