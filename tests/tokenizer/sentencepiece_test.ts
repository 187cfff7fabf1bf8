import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { IdBuffer } from "../../src/tokenizer/id_buffer.ts";
import { loadTokenizer } from "../../src/tokenizer/mod.ts";
import { parseModel } from "../../src/tokenizer/sentencepiece/model_file.ts";
import { PieceDecoder } from "../../src/tokenizer/sentencepiece/piece_decoder.ts";
import { SentencePiece } from "../../src/tokenizer/sentencepiece/sentence_piece.ts";
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
