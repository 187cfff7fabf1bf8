/** Every cell of README's table of families is held against the tests that show it. */
import { assertEquals } from "@std/assert";
import { FAMILIES } from "../src/models/registry.ts";
import { testNames } from "./test_names.ts";

/** The fixtures that stand for a row. */
interface Row {
  /** Its cell `model_type`. */
  type: keyof typeof FAMILIES;
  /** Models in tests/fixtures/models. */
  models: string[];
  /** Tests of each kind of tokenizer in its last cell. */
  tokenizers: Record<string, string[]>;
}

const encodes = (name: string) => [
  `${name} encodes every reference string, with and without special tokens`,
  `${name} decodes every reference sequence, at once and id by id`,
];
const encodesAsSlow = (name: string) => [
  `SentencePiece does with the model of ${name} what its library does`,
  `${name} without tokenizer.json encodes as the slow class does`,
];
// mistral-7b-v0.1 and mixtral-8x7b-v0.1 have the same tokenizer.
const MISTRAL = { "`tokenizer.json`": encodes("mixtral"), SentencePiece: encodesAsSlow("mixtral") };
const BAICHUAN = {
  SentencePiece: encodes("baichuan2"),
  "its own rules": ["baichuan2 adds BOS and EOS when its configuration says so"],
};

const ROWS: Record<string, Row> = {
  "llama 1, 2, 3": {
    type: "llama",
    models: ["llama_gqa", "llama_rope_llama3", "llama_bias"],
    tokenizers: {
      "`tokenizer.json`": ["llama", "llama3"].flatMap(encodes),
      SentencePiece: encodesAsSlow("llama"),
    },
  },
  mistral: { type: "mistral", models: ["mistral"], tokenizers: MISTRAL },
  mixtral: { type: "mixtral", models: ["mixtral"], tokenizers: MISTRAL },
  qwen2: {
    type: "qwen2",
    models: ["qwen2"],
    tokenizers: { "`tokenizer.json`": encodes("qwen") },
  },
  bloom: {
    type: "bloom",
    models: ["bloom"],
    tokenizers: { "`tokenizer.json`": ["bloom", "bloom_resaved"].flatMap(encodes) },
  },
  "baichuan2-7b": { type: "baichuan", models: ["baichuan2"], tokenizers: BAICHUAN },
  "baichuan2-13b": { type: "baichuan", models: ["baichuan2_13b"], tokenizers: BAICHUAN },
  "chatglm3-6b": {
    type: "chatglm",
    models: ["chatglm3"],
    tokenizers: {
      SentencePiece: encodes("chatglm3"),
      "its own rules": [
        "chatglm3 encodes the texts of roles as ids when its configuration says so",
        "chatglm3 puts conversations together as its tokenizer does",
      ],
    },
  },
};

/** Tests of a model that each cell stands for, by column and by what the cell says. */
const CELLS: Record<string, Record<string, (model: string) => string[]>> = {
  reads: {
    all: (model) =>
      [
        "model.safetensors",
        "sharded safetensors",
        "pytorch_model.bin",
        "sharded pytorch_model.bin",
        "layers in safetensors",
        "layers in .pt",
        "a run of DeepSpeed",
      ].map((format) => `${model} reads the same from ${format}`),
  },
  trains: {
    yes: (model) => [
      `${model}/hf: all gradients of ce equal transformers`,
      `${model}/hf: all gradients of ce_plus_max_z equal transformers`,
      `${model}: runs in three stages, and in two with two replicas, equal a run in one`,
    ],
  },
  converts: {
    "both ways": (model) => [
      `${model}: to the pipeline layout and back, every byte is kept`,
      `${model}: to torch files and back, every byte is kept`,
    ],
  },
  generates: {
    yes: (model) => [
      `${model}: tokens given one by one to the cache get the logits of transformers`,
      `${model}: generate() writes the likeliest tokens of the logits`,
    ],
  },
};

const TESTS = await testNames([
  "checkpoint/read_formats_test.ts",
  "inference/greedy_test.ts",
  "models/family_test.ts",
  "models/reference_test.ts",
  "tokenizer/chat_test.ts",
  "tokenizer/reference_test.ts",
  "tokenizer/sentencepiece_test.ts",
]);

/** The rows of README's table: cells by column. */
function readTable(): Record<string, string>[] {
  const readme = Deno.readTextFileSync(new URL("../README.md", import.meta.url));
  const [, section] = readme.split("\n## Families\n");
  const [columns, , ...rows] = section.split("\n## ")[0].split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
  return rows.map((row) => Object.fromEntries(row.map((cell, i) => [columns[i], cell])));
}

const table = readTable();

Deno.test("README's table of families has a row of every family", () => {
  assertEquals(table.map(({ family }) => family).sort(), Object.keys(ROWS).sort());
  const types = table.map((cells) => cells["`model_type`"].replaceAll("`", ""));
  assertEquals([...new Set(types)].sort(), Object.keys(FAMILIES).sort());
  assertEquals(types, table.map(({ family }) => ROWS[family].type));
});

for (const { family, "`model_type`": _, tokenizer, ...cells } of table) {
  for (const [column, cell] of Object.entries(cells)) {
    Deno.test(`README: that ${family} ${column}: ${cell} is shown by tests`, () => {
      const shown = CELLS[column]?.[cell];
      assertEquals(shown === undefined, false, "no test is known to show what this cell says");
      assertEquals(missing(ROWS[family].models.flatMap(shown)), []);
    });
  }

  Deno.test(`README: that ${family} has as tokenizer ${tokenizer} is shown by tests`, () => {
    const { tokenizers } = ROWS[family];
    assertEquals(tokenizer.split(", ").sort(), Object.keys(tokenizers).sort());
    assertEquals(missing(Object.values(tokenizers).flat()), []);
  });
}

function missing(names: string[]): string[] {
  return names.filter((name) => !TESTS.has(name));
}
