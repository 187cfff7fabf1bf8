import { assertEquals } from "@std/assert";
import { loadTokenizer } from "../../src/tokenizer/mod.ts";
import { type Case, folder, rows } from "./fixtures.ts";

const FOLDERS = [
  "llama",
  "mixtral",
  "bloom",
  "bloom_resaved",
  "llama3",
  "qwen",
  "baichuan2",
  "chatglm3",
  "unigram_nmt_nfkc",
];

for (const name of FOLDERS) {
  const source = name === "bloom_resaved" ? "bloom" : name;

  Deno.test(`${name} encodes every reference string, with and without special tokens`, () => {
    const tokenizer = loadTokenizer(folder(name));
    for (const { text, ids, ids_special } of rows<Case>(source, "cases")) {
      assertEquals([...tokenizer.encode(text)], ids, JSON.stringify(text));
      assertEquals([...tokenizer.encode(text, { special: true })], ids_special, text);
    }
  });

  Deno.test(`${name} decodes every reference sequence, at once and id by id`, () => {
    const tokenizer = loadTokenizer(folder(name));
    const cases = [...rows<Case>(source, "cases"), ...rows<Case>(source, "decode_cases")];
    const streams = [tokenizer.decodeStream(), tokenizer.decodeStream({ skipSpecial: true })];
    for (const { ids, decoded, decoded_skip_special } of cases) {
      assertEquals(tokenizer.decode(ids), decoded);
      assertEquals(tokenizer.decode(ids, { skipSpecial: true }), decoded_skip_special);
      const joined = streams.map((s) => ids.map((id) => s.push(id)).join("") + s.end());
      assertEquals(joined, [decoded, decoded_skip_special]);
    }
  });
}

Deno.test("loadTokenizer() finds the special tokens and sizes that the files name", () => {
  const facts = FOLDERS.map((name) => {
    const { vocabSize, bosId, eosId, padId, unkId, eosText } = loadTokenizer(folder(name));
    return [name, vocabSize, bosId, eosId, padId, unkId, eosText];
  });
  assertEquals(facts, [
    ["llama", 2600, 1, 2, undefined, 0, "</s>"],
    ["mixtral", 2300, 1, 2, undefined, 0, "</s>"],
    ["bloom", 3000, 1, 2, 3, 0, "</s>"],
    ["bloom_resaved", 3000, 1, 2, 3, 0, "</s>"],
    ["llama3", 3200, 3194, 3195, undefined, undefined, "<|end_of_text|>"],
    ["qwen", 2600, undefined, 2597, 2595, undefined, "<|im_end|>"],
    ["baichuan2", 2900, 1, 2, 0, 0, "</s>"],
    ["chatglm3", 2709, 1, 2, 0, 0, "</s>"],
    ["unigram_nmt_nfkc", 2500, undefined, 1, 0, 2, "</s>"],
  ]);
});
