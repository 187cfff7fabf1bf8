/** What every family does beside equal logits: it generates from a cache, converts, and trains in stages. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { convertToHuggingFace, convertToPipeline } from "../../src/checkpoint/convert.ts";
import { openModel } from "../../src/checkpoint/model_source.ts";
import { openSafetensors } from "../../src/formats/safetensors.ts";
import { LanguageModel } from "../../src/inference/language_model.ts";
import { loadWeights } from "../../src/models/load_weights.ts";
import { describeModel } from "../../src/models/registry.ts";
import { Device } from "../../src/tensor/device.ts";
import { describe, withDir } from "../checkpoint/fixtures.ts";
import { ROOT, train, writeSamples } from "../train/run_training.ts";

const FIXTURES = join(ROOT, "tests/fixtures/models");
const MODELS = [
  "llama_gqa",
  "llama_rope_llama3",
  "llama_bias",
  "bloom",
  "bloom_h6",
  "bloom_post",
  "baichuan2",
  "baichuan2_13b",
  "chatglm3",
  "qwen2",
  "mistral",
  "mixtral",
  "mixtral_aux",
];

/** The tokens of the first row of the reference batch and its logits [S, V], which has no padding. */
function reference(name: string): { ids: number[]; logits: Float32Array; V: number } {
  using batch = openSafetensors(join(FIXTURES, name, "batch.safetensors"));
  using expected = openSafetensors(join(FIXTURES, name, "expected.safetensors"));
  const row = (key: string) => new BigInt64Array(batch.read(`right.${key}`).slice().buffer);
  const S = batch.tensors.get("right.input_ids")!.shape[1];
  const length = row("attention_mask").subarray(0, S).filter((m) => m === 1n).length;
  const logits = new Float32Array(expected.read("right.logits").slice().buffer);
  const V = expected.tensors.get("right.logits")!.shape[2];
  return { ids: [...row("input_ids").subarray(0, length)].map(Number), logits, V };
}

for (const name of MODELS) {
  Deno.test(`${name}: tokens given one by one to the cache get the logits of transformers`, () => {
    const { ids, logits, V } = reference(name);
    using source = openModel(join(FIXTURES, name, "hf"));
    using device = Device.open();
    const model = LanguageModel.load(
      device,
      describeModel(source.config),
      { capacity: ids.length, dtype: "f32" },
      (store) => loadWeights(device, store, source),
    );
    for (let at = 0; at < ids.length;) {
      const next = at === 0 ? 3 : at + 1; // a prompt of three, then one by one
      const ours = device.downloadF32(model.extend(Int32Array.from(ids.slice(at, next))));
      const theirs = logits.subarray((next - 1) * V, next * V);
      const worst = Math.max(...theirs.map((value, v) => Math.abs(value - ours[v])));
      assert(worst < 1e-4, `the logits at position ${next - 1} differ by ${worst}`);
      at = next;
    }
  });

  for (const format of ["safetensors", "pt"] as const) {
    const way = format === "pt" ? "torch files" : "the pipeline layout";
    Deno.test(`${name}: to ${way} and back, every byte is kept`, () =>
      withDir(async (dir) => {
        const from = join(FIXTURES, name, "hf");
        const [pp, hf] = [join(dir, "pp"), join(dir, "hf")];
        await convertToPipeline({ inputPath: from, savePath: pp, format });
        await convertToHuggingFace({ inputPath: pp, savePath: hf, maxShardBytes: 1 << 30 });
        assertEquals(describe(pp), describe(from));
        assertEquals(describe(hf), describe(from));
        const layers = [...Deno.readDirSync(pp)].map(({ name }) => name)
          .filter((name) => name !== "config.json");
        assert(layers.every((name) => name.endsWith(`-model_states.${format}`)), `${layers}`);
      }));
  }
}

/** Trains two steps of four rows in dir/NAME. */
async function curveOf(dir: string, dims: [number, number], config: Record<string, unknown>) {
  const { status, stderr, metrics } = await train(dir, {
    max_seq_len: 16,
    n_epoches: 2,
    threads: 1,
    train_micro_batch_size_per_gpu: 1,
    train_batch_size: 4,
    gradient_clipping: 1,
    optimizer: { type: "AdamW", params: { lr: 1e-3, betas: [0.9, 0.95], eps: 1e-8 } },
    aux_max_z_loss: { weight: 1e-3 },
    model_topo: { process_topology: { axes: ["pipe", "data"], dims } },
    ...config,
  }, { name: dims.join("x") });
  assertEquals(status, 0, stderr);
  return metrics.map(({ loss, grad_norm }) => [loss, grad_norm]).flat();
}

for (
  const [name, changes] of [
    ...MODELS.map((name) => [name, undefined] as const),
    ["llama_gqa", { head_dim: 24 }] as const,
    ["baichuan2", { z_loss_weight: 1e-3 }] as const,
  ]
) {
  const title = changes ? `${name} with ${JSON.stringify(changes)}` : name;
  Deno.test(`${title}: runs in three stages, and in two with two replicas, equal a run in one`, () =>
    withDir(async (dir) => {
      writeSamples(
        join(dir, "data.jsonl"),
        [16, 5, 9, 12].map((length, i) => {
          const ids = Array.from({ length }, (_, t) => 4 + (7 * i + 5 * t * t + t) % 60);
          return { ids, labels: ids };
        }),
      );
      const model_path = changes ? join(dir, "model") : join(FIXTURES, name, "hf");
      if (changes) {
        const text = Deno.readTextFileSync(join(FIXTURES, name, "hf/config.json"));
        Deno.mkdirSync(model_path);
        Deno.writeTextFileSync(
          join(model_path, "config.json"),
          JSON.stringify({ ...JSON.parse(text), ...changes }),
        );
      }
      const config = { model_path, from_scratch: changes !== undefined };
      const one = await curveOf(dir, [1, 1], config);
      assertEquals(one.length, 4);
      for (const dims of [[3, 1], [2, 2]] as [number, number][]) {
        const many = await curveOf(dir, dims, config);
        one.forEach((value, i) => {
          const off = Math.abs(value - many[i]);
          assert(off <= 1e-5 * value, `${many[i]} in [${dims}], ${value} in one rank`);
        });
      }
    }));
}
