/** A prompt whose last block answers its last token only, in pieces, and sequences one after another. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { openModel } from "../../src/checkpoint/model_source.ts";
import { LanguageModel } from "../../src/inference/language_model.ts";
import { loadWeights } from "../../src/models/load_weights.ts";
import { describeModel } from "../../src/models/registry.ts";
import { Arena, Pool, UNBOUNDED } from "../../src/tensor/arena.ts";
import { Device } from "../../src/tensor/device.ts";
import { cachedAttention } from "../../src/tensor/ops/attention.ts";
import { Tape } from "../../src/tensor/tape.ts";

const MODELS = fromFileUrl(new URL("../fixtures/models", import.meta.url));
const TOKENS = 2 * 256 + 5; // of which 256 run at once

/** Families, and what in attention could tell the last row of a prompt from a token of its own. */
const CASES = {
  "llama_gqa": "grouped heads",
  "llama_bias": "biases",
  "llama_tied": "a tied head",
  "mistral": "a sliding window",
  "mixtral": "experts",
  "qwen2": "biases of queries",
  "bloom": "linear biases, heads in blocks",
  "bloom_post": "residuals after the norm",
  "baichuan2": "a head of unit rows",
  "baichuan2_13b": "linear biases",
  "chatglm3": "half rotary heads",
};

for (const [name, what] of Object.entries(CASES)) {
  Deno.test(`${name} (${what}): a prompt in pieces, or token by token, gets the same logits`, () => {
    using source = openModel(join(MODELS, name, "hf"));
    using device = Device.open();
    const positions = "seq_length" in source.config ? "seq_length" : "max_position_embeddings";
    const longer = positions in source.config ? { [positions]: TOKENS } : {};
    const model = describeModel({ ...source.config, ...longer });
    const language = LanguageModel.load(
      device,
      model,
      { capacity: TOKENS, dtype: "f32" },
      (store) => loadWeights(device, store, source),
    );
    const ids = Int32Array.from({ length: TOKENS }, (_, t) => t * 7919 % model.vocabSize);
    const inPieces = device.downloadF32(language.extend(ids));

    language.restart();
    assertEquals(device.downloadF32(language.extend(ids)), inPieces);

    language.restart();
    for (let t = 0; t < TOKENS - 1; t++) language.extend(ids.subarray(t, t + 1));
    const oneByOne = device.downloadF32(language.extend(ids.subarray(TOKENS - 1)));
    const worst = Math.max(...oneByOne.map((value, v) => Math.abs(value - inPieces[v])));
    const largest = Math.max(...oneByOne.map(Math.abs));
    assert(worst < 1e-4 * Math.max(1, largest), `the logits differ by ${worst} of ${largest}`);
  });
}

Deno.test("cachedAttention() answers the last positions of one sequence only", () => {
  const device = Device.dry();
  const tape = new Tape(device, new Arena(UNBOUNDED), new Pool(UNBOUNDED), "inference");
  const answer = (B: number, queries: number) => {
    const span = { begin: tape.empty([B * 4], "i32"), end: tape.empty([B * 4], "i32") };
    const cache = { rows: tape.empty([B, 8, 2, 1, 8], "f32"), capacity: 8, length: 3 };
    const qkv = tape.empty([B * 4, 32], "f32");
    return cachedAttention(tape, qkv, span, { B, H: 2, G: 1, K: 8 }, cache, queries).shape;
  };
  assertEquals([answer(2, 4), answer(1, 4), answer(1, 1)], [[8, 16], [4, 16], [1, 16]]);
  for (const [B, queries] of [[2, 1], [1, 0], [1, 5]]) {
    assertThrows(
      () => answer(B, queries),
      RangeError,
      `answer ${queries} of 4 positions of ${B} sequences`,
    );
  }
});
