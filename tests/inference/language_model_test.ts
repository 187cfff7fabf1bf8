/** A prompt that is too long to run at once, and sequences one after another. */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { openModel } from "../../src/checkpoint/model_source.ts";
import { LanguageModel } from "../../src/inference/language_model.ts";
import { loadWeights } from "../../src/models/load_weights.ts";
import { describeModel } from "../../src/models/registry.ts";
import { Device } from "../../src/tensor/device.ts";

const MODEL = fromFileUrl(new URL("../fixtures/models/llama_gqa/hf", import.meta.url));
const TOKENS = 2 * 256 + 5; // of which 256 run at once

Deno.test("a prompt in pieces, or token by token, or after restart(), gets the same logits", () => {
  using source = openModel(MODEL);
  using device = Device.open();
  const model = describeModel({ ...source.config, max_position_embeddings: TOKENS });
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
  assert(worst < 1e-4, `the logits differ by ${worst}`);
});
