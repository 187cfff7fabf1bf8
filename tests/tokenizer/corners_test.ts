/** Corners of tokenizer.json; what is expected comes from tokenizers 0.23.2. @module */
import { assertEquals } from "@std/assert";
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
