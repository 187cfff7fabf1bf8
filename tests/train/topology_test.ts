/** However a model is divided and whatever it is stored in, it learns the same. */
import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { openModel } from "../../src/checkpoint/model_source.ts";
import { ROOT, train, type TrainingResult, writeSamples } from "./run_training.ts";

const INIT = join(ROOT, "tests/fixtures/training/llama/init");
const TIED = join(ROOT, "tests/fixtures/models/llama_tied/hf");
const PEAK_RATE = 3e-3;

/** Twelve steps over eight samples, three of them with a part that has no loss. */
async function run(
  dims: [number, number],
  config: Record<string, unknown> = {},
): Promise<TrainingResult & { dir: string }> {
  const dir = Deno.makeTempDirSync({ prefix: "llmpipe-topology-" });
  const ids = (i: number) =>
    Array.from({ length: 9 + i % 8 }, (_, t) => 3 + (i * 37 + t * 11) % 190);
  writeSamples(
    join(dir, "data.jsonl"),
    Array.from({ length: 8 }, (_, i) => {
      const labels = ids(i).map((id, t) => i < 3 && t < 4 ? -100 : id);
      return { ids: ids(i), labels };
    }),
  );
  const result = await train(dir, {
    model_path: INIT,
    max_seq_len: 16,
    n_epoches: 12,
    seed: 5,
    threads: 1,
    train_micro_batch_size_per_gpu: 1,
    gradient_accumulation_steps: 8 / dims[1],
    gradient_clipping: 1,
    optimizer: { type: "AdamW", params: { lr: PEAK_RATE, weight_decay: 0.01 } },
    scheduler: { type: "WarmupCosineLR", params: { warmup_num_steps: 4 } },
    model_topo: { process_topology: { dims } },
    ...config,
  });
  return { ...result, dir };
}

async function runWell(...args: Parameters<typeof run>): Promise<Record<string, number>[]> {
  const { status, stderr, metrics, dir } = await run(...args);
  Deno.removeSync(dir, { recursive: true });
  assertEquals(status, 0, stderr);
  return metrics;
}

function expectSameCurve(
  ours: Record<string, number>[],
  theirs: Record<string, number>[],
  tolerance: number,
  keys = ["loss", "grad_norm"],
): void {
  assertEquals(ours.length, theirs.length);
  ours.forEach((step, i) => {
    assertEquals(step.lr, theirs[i].lr);
    for (const key of keys) {
      const off = Math.abs(step[key] / theirs[i][key] - 1);
      assert(off <= tolerance, `${key} of step ${i + 1} is ${step[key]}, not ${theirs[i][key]}`);
    }
  });
}

/** The weights of the embedding and of the head in the last checkpoint. */
function readEnds(savePath: string): Uint8Array[] {
  using model = openModel(join(savePath, "checkpoint_final"));
  return [0, model.layerCount - 1].map((layer) => {
    const bytes = new Uint8Array(model.entry(layer, "embed_tokens.weight").bytes);
    model.read(layer, "embed_tokens.weight", bytes);
    return bytes;
  });
}

for (
  const [start, topologies] of [
    ["from weights", [[2, 1], [2, 2]]],
    ["from scratch", [[3, 1]]],
  ] as [string, [number, number][]][]
) {
  Deno.test(`tied embeddings, ${start}: first and last stage stay one, and learn as in one stage`, async () => {
    const config = { model_path: TIED, from_scratch: start === "from scratch" };
    const one = await runWell([1, 1], config);
    assertLess(one.at(-1)!.loss, one[0].loss - 1);
    for (const dims of topologies) {
      const { status, stderr, metrics, savePath, dir } = await run(dims, config);
      try {
        assertEquals(status, 0, stderr);
        expectSameCurve(metrics, one, 1e-4);
        const [embedding, head] = readEnds(savePath);
        assertEquals(embedding, head);
      } finally {
        Deno.removeSync(dir, { recursive: true });
      }
    }
  });
}

for (const [dtype, tolerance] of [["bf16", 0.02], ["fp16", 0.004]] as const) {
  Deno.test(`${dtype} learns as f32 does, on one rank and on four`, async () => {
    const f32 = await runWell([1, 1]);
    assertLess(f32.at(-1)!.loss, f32[0].loss - 1);
    for (const dims of [[1, 1], [2, 2]] as [number, number][]) {
      const metrics = await runWell(dims, { [dtype]: { enabled: true } });
      expectSameCurve(metrics, f32, tolerance, ["loss"]);
      expectSameCurve(metrics.slice(0, 1), f32.slice(0, 1), 2 * tolerance, ["grad_norm"]);
      assertEquals(metrics.filter(({ skipped }) => skipped), []);
    }
  });
}

Deno.test("fp16 skips steps that overflow until the scale fits, and the learning rate waits", async () => {
  const f32 = await runWell([1, 1], { n_epoches: 36 });
  const fp16 = { enabled: true, initial_scale_power: 32, hysteresis: 2 };
  const curves = [];
  for (const dims of [[1, 1], [2, 2]] as [number, number][]) {
    const metrics = await runWell(dims, { n_epoches: 36, fp16 });
    const skipped = metrics.filter((step) => step.skipped);
    const done = metrics.filter((step) => !step.skipped);
    assert(skipped.length > 4 && done.length > 8, `${skipped.length} of 36 steps are skipped`);
    assertEquals(metrics.slice(0, skipped.length), skipped);
    skipped.forEach(({ loss_scale, loss, lr, grad_norm }, i) => {
      assertEquals(loss_scale, 2 ** (32 - Math.max(0, i - 1))); // the first is let pass
      assertEquals(lr, f32[0].lr);
      assertLess(Math.abs(loss / skipped[0].loss - 1), 1e-9);
      assertEquals(grad_norm, null as unknown as number);
    });
    const off = Math.abs(skipped[0].loss / f32[0].loss - 1);
    assertLess(off, 0.004);
    // Updates take the rates in turn, whatever was skipped before them.
    assertEquals(done.map(({ lr }) => lr), f32.slice(0, done.length).map(({ lr }) => lr));
    assertLess(done.at(-1)!.loss, done[0].loss - 1);
    curves.push(metrics.map(({ skipped, loss_scale }) => [skipped, loss_scale]));
  }
  assertEquals(curves[0], curves[1]);
});

Deno.test("fp16 that overflows at the smallest scale ends the run and says what to change", async () => {
  const fp16 = { enabled: true, initial_scale_power: 32, min_loss_scale: 2 ** 31, hysteresis: 1 };
  const { status, stderr, metrics, dir } = await run([2, 1], { fp16 });
  Deno.removeSync(dir, { recursive: true });
  assertEquals(status, 1, stderr);
  assertEquals(metrics.map(({ skipped }) => skipped), [true] as unknown as number[]);
  const last = stderr.trimEnd().split("\n").at(-1)!;
  assertStringIncludes(last, "step 2) failed: Cannot continue as gradients overflow fp16");
  assertStringIncludes(last, "Train in bf16");
});

Deno.test("loss_reduction: token holds with compat: gdgpt too, which else weighs micro-batches", async () => {
  const first = async (config: Record<string, unknown>) => {
    const [step] = await runWell([1, 1], { n_epoches: 1, shuffle: false, ...config });
    return [step];
  };
  const token = await first({ compat: "gdgpt", loss_reduction: "token" });
  const plain = await first({});
  const micro = await first({ compat: "gdgpt" });
  expectSameCurve(token.map((step) => ({ ...step, lr: plain[0].lr })), plain, 1e-6);
  assert(Math.abs(token[0].loss / micro[0].loss - 1) > 1e-4, "the reductions are told apart");
});
