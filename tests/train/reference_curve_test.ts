/** Twenty steps of training against torch and DeepSpeed's schedules, for every way to divide them. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { openModel } from "../../src/checkpoint/model_source.ts";
import { openSafetensors } from "../../src/formats/safetensors.ts";
import { ROOT, train, type TrainingResult, writeSamples } from "./run_training.ts";

const FIXTURES = join(ROOT, "tests/fixtures/training/llama");

interface Log {
  optimizer: { type: string; lr: number; betas: number[]; eps?: number; weight_decay: number };
  scheduler: { type: string; params: Record<string, number> };
  lr_mode: string;
  gradient_clipping: number;
  aux_max_z_loss_weight: number | null;
  no_wd_kws: string[];
  steps: { lr: number; loss: number; grad_norm: number }[];
}

function writeBatches(path: string): number {
  using file = openSafetensors(join(FIXTURES, "batches.safetensors"));
  const read = (name: string) => {
    const { shape } = file.tensors.get(name)!;
    const values = [...new BigInt64Array(file.read(name).slice().buffer)].map(Number);
    return Array.from(
      { length: shape[0] },
      (_, i) => values.slice(i * shape[1], (i + 1) * shape[1]),
    );
  };
  const [ids, mask, labels] = ["input_ids", "attention_mask", "labels"].map(read);
  writeSamples(
    path,
    ids.map((row, i) => {
      const length = mask[i].filter((m) => m === 1).length;
      return { ids: row.slice(0, length), labels: labels[i].slice(0, length) };
    }),
  );
  return ids[0].length;
}

async function runReference(
  run: string,
  topology: { dims: [number, number]; parts?: number[]; schedule?: string },
): Promise<{ log: Log; result: TrainingResult; dir: string }> {
  const log: Log = JSON.parse(Deno.readTextFileSync(join(FIXTURES, run, "log.json")));
  const dir = Deno.makeTempDirSync({ prefix: "llmpipe-curve-" });
  const S = writeBatches(join(dir, "data.jsonl"));
  const { type, ...params } = log.optimizer;
  const [stages, replicas] = topology.dims;
  const result = await train(dir, {
    model_path: join(FIXTURES, "init"),
    max_seq_len: S,
    n_epoches: 1,
    shuffle: false,
    train_micro_batch_size_per_gpu: 1,
    gradient_accumulation_steps: 4 / replicas,
    optimizer: { type, params, no_wd_kws: log.no_wd_kws },
    scheduler: log.scheduler,
    gradient_clipping: log.gradient_clipping,
    aux_max_z_loss: { weight: log.aux_max_z_loss_weight ?? 0 },
    ...(log.lr_mode === "deepspeed_0.11.1" && run !== "lion" ? { compat: "gdgpt" } : {}),
    loss_reduction: "micro_batch",
    schedule: topology.schedule ?? "1f1b",
    model_topo: {
      process_topology: { axes: ["pipe", "data"], dims: [stages, replicas] },
      ...(topology.parts ? { parts: topology.parts } : {}),
    },
  });
  assertEquals(result.status, 0, result.stderr);
  return { log, result, dir };
}

function expectCurve(log: Log, { metrics }: TrainingResult, tolerance: number): void {
  assertEquals(metrics.length, log.steps.length);
  log.steps.forEach((want, i) => {
    const step = `step ${i + 1}`;
    const close = (name: string, ours: number, theirs: number, relative: number) =>
      assert(
        Math.abs(ours - theirs) <= relative * Math.abs(theirs),
        `${step}: ${name} is ${ours}, expected ${theirs}`,
      );
    close("lr", metrics[i].lr, want.lr, 1e-12);
    close("loss", metrics[i].loss, want.loss, tolerance);
    close("grad_norm", metrics[i].grad_norm, want.grad_norm, tolerance);
  });
}

/** Part of the final weights within `tolerance` of the reference, and the largest difference. */
function compareWeights(run: string, savePath: string, tolerance: number) {
  using ours = openModel(join(savePath, "checkpoint_final"));
  using theirs = openSafetensors(join(FIXTURES, run, "final.safetensors"));
  let [count, close, worst] = [0, 0, 0];
  for (const name of theirs.tensors.keys()) {
    const want = new Float32Array(theirs.read(name).slice().buffer);
    const place = ours.layerName(name)!;
    const bytes = new Uint8Array(want.byteLength);
    ours.read(place.layer, place.name, bytes);
    const have = new Float32Array(bytes.buffer);
    want.forEach((value, i) => {
      const difference = Math.abs(value - have[i]);
      worst = Math.max(worst, difference);
      count++;
      if (difference <= tolerance) close++;
    });
  }
  return { share: close / count, worst };
}

const TOPOLOGIES: { dims: [number, number]; parts?: number[]; schedule?: string }[] = [
  { dims: [1, 1] },
  { dims: [2, 1], parts: [1, 3] },
  { dims: [2, 1], parts: [3, 1], schedule: "gpipe" },
  { dims: [4, 1] },
  { dims: [2, 2] },
  { dims: [1, 4], schedule: "gpipe" },
];

for (const topology of TOPOLOGIES) {
  const { dims, parts = "auto", schedule = "1f1b" } = topology;
  Deno.test(`adamw on dims [${dims}], parts ${parts}, ${schedule} follows torch`, async () => {
    const { log, result, dir } = await runReference("adamw", topology);
    try {
      expectCurve(log, result, 1e-4);
      const { share, worst } = compareWeights("adamw", result.savePath, 1e-4);
      assert(share > 0.9999, `${share} of the weights are within 1e-4, the worst is ${worst} off`);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  });
}

for (const run of ["adamw_from_schedule", "adamw_max_z"]) {
  Deno.test(`${run} follows torch`, async () => {
    const { log, result, dir } = await runReference(run, { dims: [2, 1] });
    try {
      expectCurve(log, result, 1e-4);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  });
}

Deno.test("lion_fused follows torch, but for signs that flip near 0", async () => {
  const { log, result, dir } = await runReference("lion_fused", { dims: [2, 1] });
  try {
    expectCurve(log, result, 1e-3);
    const { share, worst } = compareWeights("lion_fused", result.savePath, 1e-5);
    assert(share > 0.995, `${share} of the weights are within 1e-5`);
    assert(worst <= 2 * log.optimizer.lr * log.steps.length, `the worst is ${worst} off`);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("a run repeats bit for bit, on one rank and on four", async () => {
  for (const dims of [[1, 1], [2, 2]] as [number, number][]) {
    const curves = [];
    for (let i = 0; i < 2; i++) {
      const { result, dir } = await runReference("adamw", { dims });
      curves.push(result.metrics.map(({ loss, grad_norm }) => [loss, grad_norm]));
      Deno.removeSync(dir, { recursive: true });
    }
    assertEquals(curves[0], curves[1]);
  }
});
