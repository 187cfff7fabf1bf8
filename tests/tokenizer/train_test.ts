import { assertEquals, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { ConfigError } from "../../src/config/config_error.ts";
import { loadTokenizer } from "../../src/tokenizer/mod.ts";
import { corpusTexts } from "../../src/tokenizer/train/corpus_texts.ts";
import { learnMerges } from "../../src/tokenizer/train/learn_merges.ts";
import { trainBpe, trainTokenizer } from "../../src/tokenizer/train/train.ts";
import { type Case, copyOf, folder, random, randomText, rows } from "./fixtures.ts";

const texts = rows<Case>("bloom", "cases").map(({ text }) => text);

Deno.test("trainBpe() learns the merges that the tokenizers library learns", () => {
  const { tokens, merges } = trainBpe(texts, { vocabSize: 1500 });
  const learned = merges.map(({ left, right }) => `${tokens[left]} ${tokens[right]}`);
  const wanted = Deno.readTextFileSync(join(folder("trained"), "merges.txt")).trimEnd().split("\n");
  assertEquals(learned, wanted);
  assertEquals(tokens.length, 1500);
  assertEquals(tokens.slice(0, 4), ["<s>", "</s>", "<pad>", "!"]);
});

Deno.test("learnMerges() stops when pairs become rare or the vocabulary is full", () => {
  const words = { roses: 1, are: 2, red: 1, voilets: 1, blue: 1, BERT: 1, is: 2, big: 1, and: 1 };
  const tokens = [...new Set(Object.keys(words).join(""))].sort();
  const first = tokens.length, begins = [0];
  for (const word of Object.keys(words)) begins.push(begins.at(-1)! + word.length);
  const counted = () => ({
    symbols: Int32Array.from(Object.keys(words).join(""), (c) => tokens.indexOf(c)),
    begins: Int32Array.from(begins),
    counts: Float64Array.from(Object.values(words)),
  });
  const all = [...tokens];
  learnMerges(counted(), { tokens: all, vocabSize: 100, minFrequency: 2 });
  assertEquals(all.slice(first), ["re", "are", "is"]);
  const one = [...tokens];
  learnMerges(counted(), { tokens: one, vocabSize: first + 1, minFrequency: 2 });
  assertEquals(one.slice(first), ["re"]);
});

Deno.test("a trained tokenizer loads, gives texts back and knows its special tokens", () => {
  using copy = copyOf("bloom", []);
  const input = join(copy.dir, "samples.jsonl"), dir = join(copy.dir, "made");
  Deno.writeTextFileSync(input, texts.map((text) => JSON.stringify({ text }) + "\n").join(""));
  const size = trainTokenizer(input, dir, { vocabSize: 800, specials: ["<|tool|>"] });
  const tokenizer = loadTokenizer(dir);
  assertEquals(size, 800);
  assertEquals(tokenizer.vocabSize, 800);
  const { bosId, eosId, padId, eosText } = tokenizer;
  assertEquals([bosId, eosId, padId, eosText], [0, 1, 2, "</s>"]);
  assertEquals([...tokenizer.encode("<|tool|></s>")], [3, 1]);
  const next = random(8);
  for (let round = 0; round < 300; round++) {
    const text = randomText(next, 30);
    assertEquals(tokenizer.decode(tokenizer.encode(text)), text);
  }
  const files = [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
  assertEquals(files, ["special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"]);
});

Deno.test("corpusTexts() takes all strings of samples but their types", () => {
  using copy = copyOf("bloom", [], {
    "a.json": JSON.stringify([
      { type: "pretrain", text: "one" },
      { type: "conversation", rounds: [["ask", "two"], ["ans", "three"]], n: 3, x: null },
    ]),
  });
  assertEquals([...corpusTexts(join(copy.dir, "a.json"))], ["one", "ask", "two", "ans", "three"]);
});

Deno.test("corpusTexts() cuts a long text only where no piece is cut", () => {
  const lines = Array.from({ length: 400_000 }, (_, i) => `line ${i}\n${i % 3 ? "" : "\n  "}`);
  const text = lines.join("") + "end";
  using copy = copyOf("bloom", [], { "long.txt": text });
  const parts = [...corpusTexts(join(copy.dir, "long.txt"))];
  assertEquals(parts.length > 1, true);
  assertEquals(parts.join(""), text);
  assertEquals(parts.slice(0, -1).every((part) => part.endsWith("\n")), true);
  assertEquals(parts.slice(1).every((part) => part.startsWith("line")), true);
});

Deno.test("trainTokenizer() says what is wrong with its input", () => {
  using copy = copyOf("bloom", [], { "a.jsonl": "{", "b.txt": Uint8Array.of(65, 255) });
  const train = (file: string, vocabSize = 300) => () =>
    trainTokenizer(join(copy.dir, file), join(copy.dir, "out"), { vocabSize });
  assertThrows(train("none.txt"), ConfigError, "does not exist");
  assertThrows(train("a.jsonl"), ConfigError, "a.jsonl");
  assertThrows(train("b.txt"), ConfigError, "it is not UTF-8");
  assertThrows(train("b.txt", 258), ConfigError, "must have at least 259 tokens");
});
