/**
 * The small models of tests/fixtures/models, which transformers has computed, on the emulated CUDA
 * backend: what their families do differently (scaled rotary positions, a norm after the residual,
 * tied embeddings, six heads, narrow and odd heads), padding on either side, and the cache.
 */
import { assert } from "@std/assert";
import { join } from "@std/path";
import { openModel } from "../../src/checkpoint/model_source.ts";
import { openSafetensors, writeSafetensors } from "../../src/formats/safetensors.ts";
import { LanguageModel } from "../../src/inference/language_model.ts";
import { computeLogits } from "../../src/inference/logits.ts";
import { loadWeights } from "../../src/models/load_weights.ts";
import { describeModel } from "../../src/models/registry.ts";
import { Device } from "../../src/tensor/device.ts";
import { isAvailable } from "../ops/check_op.ts";
import { ROOT } from "../train/run_training.ts";
import { expectClose, type Results } from "./parity_tolerance.ts";

const FIXTURES = join(ROOT, "tests/fixtures/models");
const MODELS = [
  ...["llama_gqa", "llama_rope_linear", "llama_rope_llama3", "llama_tied", "mistral", "mixtral"],
  ...["mixtral_aux", "qwen2", "bloom", "bloom_h6", "bloom_post", "chatglm3", "baichuan2"],
  "baichuan2_13b",
];
const KEYS = ["input_ids", "attention_mask", "labels"];

/** Writes the batch with padding on one side under plain names. */
function writeBatch(name: string, side: string, path: string): void {
  using file = openSafetensors(join(FIXTURES, name, "batch.safetensors"));
  writeSafetensors(
    path,
    KEYS.map((key) => ({
      name: key,
      dtype: "I64" as const,
      shape: file.tensors.get(`${side}.${key}`)!.shape,
      chunks: () => [file.read(`${side}.${key}`)],
    })),
  );
}

function readAll(path: string): Results {
  using file = openSafetensors(path);
  return new Map(
    [...file.tensors.keys()].map((key) => [key, new Float32Array(file.read(key).slice().buffer)]),
  );
}

for (const name of MODELS) {
  const modelPath = join(FIXTURES, name, "hf");

  Deno.test({
    name:
      `${name}: logits, loss and gradients of cudaemu equal those of cpu, padded on either side`,
    ignore: !isAvailable("cudaemu"),
    fn: () => {
      const dir = Deno.makeTempDirSync({ prefix: "llmpipe-parity-" });
      const [input, output] = [join(dir, "in"), join(dir, "out")];
      try {
        for (const side of ["right", "left"]) {
          writeBatch(name, side, input);
          const [cpu, ours] = (["cpu", "cudaemu"] as const).map((device) => {
            computeLogits({
              ...{ modelPath, input, output, zLoss: 1e-2, grads: "all", dtype: "f32", device },
            });
            return readAll(output);
          });
          expectClose("f32", ours, cpu, cpu);
        }
      } finally {
        Deno.removeSync(dir, { recursive: true });
      }
    },
  });

  Deno.test({
    name: `${name}: tokens given one by one to the cache of cudaemu get the logits of transformers`,
    ignore: !isAvailable("cudaemu"),
    fn: () => {
      using batch = openSafetensors(join(FIXTURES, name, "batch.safetensors"));
      using expected = openSafetensors(join(FIXTURES, name, "expected.safetensors"));
      const first = (key: string) => new BigInt64Array(batch.read(`right.${key}`).slice().buffer);
      const S = batch.tensors.get("right.input_ids")!.shape[1];
      const length = first("attention_mask").subarray(0, S).filter((m) => m === 1n).length;
      const ids = Int32Array.from(first("input_ids").subarray(0, length), Number);
      const logits = new Float32Array(expected.read("right.logits").slice().buffer);
      const V = expected.tensors.get("right.logits")!.shape[2];

      using source = openModel(modelPath);
      using device = Device.open({ backend: "cudaemu" });
      const model = LanguageModel.load(
        device,
        describeModel(source.config),
        { capacity: length, dtype: "f32" },
        (store) => loadWeights(device, store, source),
      );
      for (let at = 0; at < length;) {
        const next = at === 0 ? 3 : at + 1; // a prompt of three, then one by one
        const ours = device.downloadF32(model.extend(ids.slice(at, next)));
        const theirs = logits.subarray((next - 1) * V, next * V);
        const worst = Math.max(...theirs.map((value, v) => Math.abs(value - ours[v])));
        assert(worst < 1e-4, `the logits at position ${next - 1} differ by ${worst}`); // as on the CPU
        at = next;
      }
    },
  });
}
