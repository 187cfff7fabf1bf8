import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { Charsmap } from "../../src/tokenizer/charsmap.ts";
import { IdBuffer } from "../../src/tokenizer/id_buffer.ts";
import { loadTokenizer } from "../../src/tokenizer/mod.ts";
import { parseModel } from "../../src/tokenizer/sentencepiece/model_file.ts";
import { Normalizer } from "../../src/tokenizer/sentencepiece/normalize.ts";
import { PieceDecoder } from "../../src/tokenizer/sentencepiece/piece_decoder.ts";
import { SentencePiece } from "../../src/tokenizer/sentencepiece/sentence_piece.ts";
import { textOfUnits } from "../../src/tokenizer/units.ts";
import { type Case, copyOf, FIXTURES, folder, rows } from "./fixtures.ts";

const MODELS = [
  "llama",
  "mixtral",
  "baichuan2",
  "unigram_nmt_nfkc",
  "unigram_user_defined",
  "bpe_custom_rules",
];

for (const name of MODELS) {
  Deno.test(`SentencePiece does with the model of ${name} what its library does`, () => {
    const file = join(FIXTURES, name, "tokenizer.model");
    const sp = new SentencePiece(parseModel(Deno.readFileSync(file)));
    const out = new IdBuffer(), decoder = new PieceDecoder(sp.model);
    for (const { text, ids, decoded } of rows<Case>(name, "cases_sp")) {
      sp.encode(text, 0, text.length, out);
      assertEquals([...out.take()], ids, JSON.stringify(text));
      assertEquals(ids.map((id) => decoder.push(id)).join("") + decoder.end(), decoded);
    }
  });
}

for (const name of ["llama", "mixtral"]) {
  Deno.test(`${name} without tokenizer.json encodes as the slow class does`, () => {
    using copy = copyOf(name, ["tokenizer.model", "tokenizer_config.json"]);
    const tokenizer = loadTokenizer(copy.dir);
    const slow = Deno.readTextFileSync(join(folder(name), "slow_differs.jsonl")).split("\n")
      .filter((line) => line !== "").map((line) => JSON.parse(line));
    const idsOf = new Map<string, number[]>(slow.map(({ text, ids_slow }) => [text, ids_slow]));
    for (const { text, ids, ids_special, decoded } of rows<Case>(name, "cases")) {
      const wanted = idsOf.get(text) ?? ids;
      assertEquals([...tokenizer.encode(text)], wanted, JSON.stringify(text));
      assertEquals([...tokenizer.encode(text, { special: true })], [ids_special[0]!, ...wanted]);
      assertEquals(tokenizer.decode(ids), decoded);
    }
  });
}

Deno.test("baichuan2 adds BOS and EOS when its configuration says so", () => {
  const config = JSON.parse(
    Deno.readTextFileSync(join(folder("baichuan2"), "tokenizer_config.json")),
  );
  const text = JSON.stringify({ ...config, add_bos_token: true, add_eos_token: true });
  using copy = copyOf("baichuan2", ["tokenizer.model"], { "tokenizer_config.json": text });
  const tokenizer = loadTokenizer(copy.dir);
  for (const { text, ids_special } of rows<Case>("baichuan2", "cases_bos_eos")) {
    assertEquals([...tokenizer.encode(text, { special: true })], ids_special);
  }
});

Deno.test("chatglm3 encodes the texts of roles as ids when its configuration says so", () => {
  const config = { tokenizer_class: "ChatGLMTokenizer", encode_special_tokens: true };
  using copy = copyOf("chatglm3", ["tokenizer.model"], {
    "tokenizer_config.json": JSON.stringify(config),
  });
  const tokenizer = loadTokenizer(copy.dir);
  for (const { text, ids } of rows<Case>("chatglm3", "cases_encode_special_tokens")) {
    assertEquals([...tokenizer.encode(text)], ids, JSON.stringify(text));
  }
});

/** A compiled map of one rule, from an ASCII character to a text. */
function charsmapOf(from: string, to: string): Uint8Array {
  const trie = new Uint32Array(256), byte = from.charCodeAt(0), child = byte ^ 1;
  trie[0] = 1 << 10; // its children lie from 1 on (place = byte ^ 1)
  trie[child] = byte | 1 << 8 | (child ^ 255) << 10; // a rule, whose text is named at 255
  const text = new TextEncoder().encode(to);
  const blob = new Uint8Array(4 + trie.byteLength + text.length + 1);
  new DataView(blob.buffer).setUint32(0, trie.byteLength, true);
  blob.set(new Uint8Array(trie.buffer), 4);
  blob.set(text, 4 + trie.byteLength);
  return blob;
}

Deno.test("a rule of a SentencePiece model may write any text", () => {
  const normalized = (to: string, text: string, removeExtraWhitespaces: boolean) => {
    const charsmap = new Charsmap(charsmapOf("x", to));
    const settings = { charsmap, removeExtraWhitespaces, protectedTexts: undefined };
    const normalizer = new Normalizer(settings), count = normalizer.normalize(text, true);
    return textOfUnits(normalizer.units, 0, count).replaceAll("\u2581", "_");
  };
  assertEquals(normalized("\u{2f800}b", "axc", true), "_a\u{2f800}bc");
  assertEquals(
    normalized("\u{2f800}", "xe\u0301\u{1f600}\ud800x", false),
    "_\u{2f800}e\u0301\u{1f600}\ufffd\u{2f800}",
  );
  assertEquals(normalized("", "xx", true), "");
  assertEquals(normalized("", "xx", false), "_");
  assertEquals(normalized(" ", " x a x  b x", true), "_a_b");
  assertEquals(normalized("  ", "x ax b", true), "_a__b");
  assertEquals(normalized("  ", " ax b ", false), "__a___b_");
});

Deno.test("tokens that are added to a SentencePiece model are what the Python classes make of them", () => {
  const file = join(FIXTURES, "added_tokens.json");
  const cases = JSON.parse(Deno.readTextFileSync(file)) as {
    model: string;
    config: Record<string, unknown>;
    rows: (Pick<Case, "text" | "ids"> & Partial<Case>)[];
  }[];
  for (const { model, config, rows } of cases) {
    const files = { "tokenizer_config.json": JSON.stringify(config) };
    using copy = copyOf(model, ["tokenizer.model"], files);
    const tokenizer = loadTokenizer(copy.dir);
    for (const { text, ids, decoded, decoded_skip_special } of rows) {
      const name = `${model} ${JSON.stringify(text)}`;
      assertEquals([...tokenizer.encode(text)], ids, name);
      if (decoded === undefined) continue; // llama is decoded as its tokenizer.json has it
      assertEquals(tokenizer.decode(ids), decoded, name);
      assertEquals(tokenizer.decode(ids, { skipSpecial: true }), decoded_skip_special, name);
    }
  }
});
