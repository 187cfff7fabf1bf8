/** Corners of tokenizer.json; what is expected comes from tokenizers 0.23.2. @module */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { loadTokenizer } from "../../src/tokenizer/mod.ts";
import { copyOf, FIXTURES } from "./fixtures.ts";

interface Corner {
  name: string;
  json: unknown;
  encoded: [text: string, ids: number[]][];
  decoded: [ids: number[], text: string, withoutSpecial: string][];
}

const corners: Corner[] = JSON.parse(Deno.readTextFileSync(join(FIXTURES, "corners.json")));

for (const { name, json, encoded, decoded } of corners) {
  Deno.test(`as the tokenizers library: ${name}`, () => {
    using folder = copyOf("", [], { "tokenizer.json": JSON.stringify(json) });
    const tokenizer = loadTokenizer(folder.dir);
    for (const [text, ids] of encoded) {
      assertEquals([...tokenizer.encode(text)], ids, JSON.stringify(text));
    }
    for (const [ids, text, withoutSpecial] of decoded) {
      assertEquals(tokenizer.decode(ids), text);
      assertEquals(tokenizer.decode(ids, { skipSpecial: true }), withoutSpecial);
    }
  });
}

/** A tokenizer.json of single letters. */
function letters(more: Record<string, unknown>): string {
  const vocab = { a: 0, b: 1, x: 2, "-": 3 };
  return JSON.stringify({ model: { type: "BPE", vocab, merges: [] }, ...more });
}

Deno.test("added tokens that are one text when normalized are refused: the library takes any", () => {
  const added_tokens = ["AB", "ab"].map((content, i) => ({ id: 4 + i, content, normalized: true }));
  const json = letters({ normalizer: { type: "Lowercase" }, added_tokens });
  using folder = copyOf("", [], { "tokenizer.json": json });
  const { message } = assertThrows(() => loadTokenizer(folder.dir), Error);
  assertStringIncludes(message, 'the added tokens "AB" and "ab" are both "ab" when normalized');
});

Deno.test("Replace that matches nothing before ByteLevel is refused: the library fails there", () => {
  const json = letters({
    normalizer: { type: "Replace", pattern: { Regex: "x*" }, content: "-" },
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
  });
  using folder = copyOf("", [], { "tokenizer.json": json });
  const tokenizer = loadTokenizer(folder.dir);
  assertThrows(() => tokenizer.encode("ab"), TypeError, "normalizer (Replace) matches the empty");
  assertEquals([...tokenizer.encode("x")], [3]); // as the library
});

Deno.test("tokens that are named for what they are for are special, whatever tokenizer.json says", () => {
  const added_tokens = ["[E]", "[M]"].map((content, i) => ({ id: 4 + i, content, special: false }));
  const skipped = (config: Record<string, unknown>) => {
    using folder = copyOf("", [], {
      "tokenizer.json": letters({ added_tokens }),
      "tokenizer_config.json": JSON.stringify(config),
    });
    return loadTokenizer(folder.dir).decode([0, 4, 5, 1], { skipSpecial: true });
  };
  assertEquals(skipped({}), "a [E] [M] b");
  assertEquals(skipped({ eos_token: "[E]", mask_token: "[M]" }), "a b");
  assertEquals(skipped({ extra_special_tokens: { image_token: "[M]" } }), "a [E] b");
  assertEquals(skipped({ additional_special_tokens: ["[M]"] }), "a [E] [M] b"); // it is there already
});
