/** Packed rows train every family as rows of one sample do: positions, ALiBi, windows and masks. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { ROOT, train, writeSamples } from "./run_training.ts";

const MODELS = [
  "llama_gqa",
  "llama_rope_llama3",
  "bloom",
  "bloom_h6",
  "bloom_post",
  "baichuan2",
  "baichuan2_13b",
  "chatglm3",
  "qwen2",
  "mistral",
  "mixtral",
];
const S = 32;
const SAMPLES = [20, 3, 11, 32, 7, 9, 14, 2, 5, 18].map((length, i) => {
  const ids = Array.from({ length }, (_, t) => 4 + (7 * i + 5 * t * t + t) % 60);
  return { ids, labels: ids.map((id, t) => t < length / 3 ? -100 : id) };
});
const PACKED_ROWS = 4; // 121 tokens in rows of 32

for (const name of MODELS) {
  Deno.test(`${name}: a step on packed rows equals one on padded rows in two stages`, async () => {
    const dir = Deno.makeTempDirSync({ prefix: "llmpipe-packed-" });
    try {
      writeSamples(join(dir, "data.jsonl"), SAMPLES);
      const stepOf = async (packing: boolean, rows: number) => {
        const { status, stderr, metrics } = await train(dir, {
          model_path: join(ROOT, "tests/fixtures/models", name, "hf"),
          max_seq_len: S,
          n_epoches: 1,
          threads: 1,
          packing,
          train_micro_batch_size_per_gpu: 1,
          gradient_accumulation_steps: rows,
          optimizer: { type: "AdamW", params: { lr: 1e-3 } },
          aux_max_z_loss: { weight: 1e-3 },
          model_topo: { process_topology: { dims: [2, 1] } },
        }, { name: packing ? "packed" : "padded" });
        assertEquals(status, 0, stderr);
        assertEquals(metrics.length, 1);
        return metrics[0];
      };
      const padded = await stepOf(false, SAMPLES.length);
      const packed = await stepOf(true, PACKED_ROWS);
      assertEquals(packed.tokens, padded.tokens);
      for (const key of ["loss", "grad_norm"]) {
        const relative = Math.abs(packed[key] / padded[key] - 1);
        assert(relative < 1e-5, `${key} is ${packed[key]} packed, ${padded[key]} padded`);
      }
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  });
}
