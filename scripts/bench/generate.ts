#!/usr/bin/env -S deno run -A
/**
 * Speed of generation with the bench model and batch 1, all threads: the best of three prompts, each
 * at the start of a sequence, and the mean of the tokens after the last.
 *
 *   deno run -A scripts/bench/generate.ts [--prompt-tokens 512] [--new-tokens 64] [--peer PYTHON]
 *
 * Beside decode stands the rate at which the weights are read, and that of a plain copy. With `--peer`
 * torch and transformers do the same right before.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { join } from "@std/path";
import { readModelConfig } from "../../src/checkpoint/model_dir.ts";
import { LanguageModel } from "../../src/inference/language_model.ts";
import { Sampler } from "../../src/inference/sampler.ts";
import { initializeWeights } from "../../src/models/load_weights.ts";
import { describeModel } from "../../src/models/registry.ts";
import { Device } from "../../src/tensor/device.ts";
import type { FloatType } from "../../src/tensor/dtype.ts";
import { runPeer, times } from "./peer.ts";

const args = parseArgs(Deno.args, { string: ["prompt-tokens", "new-tokens", "peer"] });
const promptTokens = Number(args["prompt-tokens"] ?? 512);
const newTokens = Number(args["new-tokens"] ?? 64);
const MODEL = "configs/models/bench";
const model = describeModel({
  ...readModelConfig(MODEL),
  max_position_embeddings: promptTokens + newTokens + 1,
});

function readRate(): number {
  using device = Device.open();
  const [from, to] = [0, 1].map(() => device.tensor([1 << 26], "f32"));
  device.copy(to, from);
  const start = performance.now();
  device.copy(to, from);
  return from.bytes / 1e6 / (performance.now() - start);
}

function measure(dtype: FloatType) {
  const peer = args.peer &&
    runPeer<{ prefill: number; decode: number }>(args.peer, "generate", [
      join(MODEL, "config.json"),
      dtype,
      String(promptTokens),
      String(newTokens),
    ]);
  using device = Device.open();
  let weightBytes = 0;
  const language = LanguageModel.load(
    device,
    model,
    { capacity: promptTokens + newTokens + 1, dtype },
    (store) => {
      initializeWeights(device, store, 0);
      weightBytes = store.bytes().weights -
        model.vocabSize * model.width * (dtype === "f32" ? 4 : 2);
    },
  );
  const prompt = Int32Array.from({ length: promptTokens }, (_, t) => t * 7919 % model.vocabSize);
  const sampler = new Sampler(device, { temperature: 0, topK: 0, topP: 1, seed: 0 });
  let start = 0, id = 0, prefill = 0;
  for (let i = 0; i < 4; i++) {
    language.restart();
    start = performance.now();
    id = sampler.next(language.extend(prompt));
    const rate = promptTokens / (performance.now() - start) * 1000;
    if (i > 0) prefill = Math.max(prefill, rate); // the first one makes the kernels of its shapes
  }
  const step = () => id = sampler.next(language.extend(Int32Array.of(id)));
  step();
  start = performance.now();
  for (let i = 0; i < newTokens; i++) step();
  const decode = newTokens / (performance.now() - start) * 1000;
  return {
    "prefill tokens/s": prefill.toFixed(0),
    "decode tokens/s": decode.toFixed(1),
    "weights read GB/s": (decode * weightBytes / 1e9).toFixed(1),
    ...(peer && {
      "prefill beside torch": times(prefill, peer.prefill),
      "decode beside torch": times(decode, peer.decode),
    }),
  };
}

console.log(`A copy reads ${readRate().toFixed(1)} GB/s on this machine`);
console.table({ f32: measure("f32"), bf16: measure("bf16") });
