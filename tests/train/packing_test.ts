/** One sample a row or several: equal losses and gradients, and nothing seen across samples. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { join } from "@std/path";
import { openModel } from "../../src/checkpoint/model_source.ts";
import { loadMicroBatch, type MicroBatch } from "../../src/data/micro_batch.ts";
import { prepareDataset } from "../../src/data/prepare_dataset.ts";
import { TokenDataset } from "../../src/data/token_dataset.ts";
import { type HostBatch, uploadBatch } from "../../src/models/batch.ts";
import { loadWeights } from "../../src/models/load_weights.ts";
import { LayerWeights } from "../../src/models/model.ts";
import { describeModel } from "../../src/models/registry.ts";
import { Stage } from "../../src/pipeline/engine.ts";
import type { MicroBatchInput, StageSpec } from "../../src/pipeline/stage_layers.ts";
import { stageProgram } from "../../src/pipeline/schedule.ts";
import { Arena, Pool, UNBOUNDED } from "../../src/tensor/arena.ts";
import { Device } from "../../src/tensor/device.ts";
import type { FloatType } from "../../src/tensor/dtype.ts";
import { matmul } from "../../src/tensor/ops/linear.ts";
import { ParameterStore } from "../../src/tensor/parameter.ts";
import { Tape } from "../../src/tensor/tape.ts";
import { ROOT, train, writeSamples } from "./run_training.ts";

const INIT = join(ROOT, "tests/fixtures/training/llama/init");
const S = 32;
/** Sample i begins with the token 10 + i, by which it is found again; its first third has no loss. */
const SAMPLES = [20, 3, 11, 32, 7, 9, 14, 2, 5, 18, 31, 6].map((length, i) => {
  const ids = Array.from({ length }, (_, t) => t === 0 ? 10 + i : 40 + (31 * i + 17 * t) % 150);
  return { ids, labels: ids.map((id, t) => t < length / 3 ? -100 : id) };
});

/** The samples as rows, by the road that a run takes. */
async function rowsOf(packing: boolean): Promise<MicroBatch[]> {
  const dir = Deno.makeTempDirSync({ prefix: "llmpipe-packing-" });
  try {
    const dataPath = join(dir, "data.jsonl");
    writeSamples(dataPath, SAMPLES);
    const cacheDir = join(dir, "cache");
    const { path } = await prepareDataset({
      dataPath,
      modelPath: INIT,
      maxSeqLen: S,
      packing,
      cacheDir,
    });
    using dataset = TokenDataset.open(path);
    return Array.from({ length: dataset.length }, (_, row) => loadMicroBatch(dataset, [row]));
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

/** The forward and backward of one step; losses of each row, and the gradients as one vector. */
function runStep(batches: readonly MicroBatch[], dtype: FloatType) {
  using source = openModel(INIT);
  const model = describeModel(source.config);
  const [layers, M] = [model.layers.length, batches.length];
  const program = stageProgram("1f1b", { P: 1, p: 0, M });
  const spec: StageSpec = {
    model,
    from: 0,
    to: layers,
    dtype,
    B: 1,
    S,
    M,
    slots: program.slots,
    checkpointing: false,
    seed: 0,
  };
  const lossTokens = batches.reduce((sum, batch) => sum + batch.lossTokens, 0);
  const inputs = batches.map((batch): MicroBatchInput => ({
    ...batch,
    ceScale: 1 / lossTokens,
    places: [0],
  }));
  const run = (stage: Stage) =>
    stage.run(program.instructions, {
      load: (micro) => inputs[micro],
      send: () => ({ wait() {} }),
      receive() {},
      reduceGrads() {},
      step() {},
    });
  const plan = new Stage(Device.dry(), spec);
  run(plan);
  using device = Device.open({ threads: 1 });
  const stage = new Stage(device, spec, plan.memory());
  loadWeights(device, stage.store, source);
  run(stage);
  const embed = stage.store.get(0, "embed_tokens.weight").grad!;
  return {
    ce: stage.layers.losses()!.ce,
    grads: device.downloadF32(stage.store.grads!),
    embed: device.downloadF32(embed),
  };
}

/** Losses of the tokens of each sample, by its first token. */
function lossesBySample(batches: readonly MicroBatch[], ce: Float32Array): Map<number, number[]> {
  const found = new Map<number, number[]>();
  batches.forEach(({ ids, targets, segments }, m) => {
    let losses: number[] = [];
    ids.forEach((id, t) => {
      if (segments[t] !== 0 && segments[t] !== segments[t - 1]) found.set(id, losses = []);
      if (targets[t] >= 0) losses.push(ce[m * S + t]);
    });
  });
  return found;
}

Deno.test("packed and padded rows give each token of each sample the same loss and gradients", async () => {
  const [padded, packed] = [await rowsOf(false), await rowsOf(true)];
  assertEquals(padded.length, SAMPLES.length);
  assert(packed.length < 8, `${packed.length} packed rows`);
  for (const [dtype, tolerance] of [["f32", 2e-6], ["bf16", 0.02], ["f16", 0.003]] as const) {
    const [a, b] = [runStep(padded, dtype), runStep(packed, dtype)];
    const [want, have] = [lossesBySample(padded, a.ce), lossesBySample(packed, b.ce)];
    assertEquals([...have.keys()].sort(), [...want.keys()].sort());
    for (const [sample, losses] of want) {
      losses.forEach((loss, t) => {
        const ours = have.get(sample)![t];
        const off = `${dtype}: loss ${t} of sample ${sample} is ${ours} packed, ${loss} alone`;
        assert(Math.abs(ours - loss) <= tolerance * Math.abs(loss), off);
      });
    }
    const largest = a.grads.reduce((max, g) => Math.max(max, Math.abs(g)), 0);
    const worst = a.grads.reduce((max, g, i) => Math.max(max, Math.abs(g - b.grads[i])), 0);
    assert(worst <= tolerance * largest, `${dtype}: gradients of ${largest} are ${worst} off`);
  }
});

/** Logits [B * S, V] of a batch. */
function logitsOf(batch: HostBatch, dtype: FloatType): Float32Array {
  using source = openModel(INIT);
  const model = describeModel(source.config);
  const last = model.layers.length - 1;
  const layers = model.layers.map((parameters, layer) => ({ layer, parameters }));
  const run = (device: Device, arenaBytes?: number) => {
    const store = new ParameterStore(device, layers, { dtype, train: false });
    if (!device.isDry) loadWeights(device, store, source);
    const arena = new Arena(arenaBytes ? device.region(arenaBytes) : UNBOUNDED);
    const tape = new Tape(device, arena, new Pool(UNBOUNDED), "inference");
    const forward = model.forward(device, S);
    const uploaded = uploadBatch(tape, batch);
    const of = (layer: number) => ({
      tape,
      batch: uploaded,
      weights: new LayerWeights(store, layer),
    });
    let h = forward.embed(of(0));
    for (let layer = 1; layer < last; layer++) h = forward.block(of(layer), h);
    const { x, w } = forward.head(of(last), h);
    const logits = tape.empty([batch.B * S, model.vocabSize], "f32");
    matmul(tape, x, w.weight, logits, { transposeB: true });
    return { arena, logits: device.downloadF32(logits) };
  };
  const { arena } = run(Device.dry());
  using device = Device.open({ threads: 1 });
  return run(device, arena.peakBytes).logits;
}

/** Rows of samples A (10 tokens), B (12) and padding, and of C (20) and D (12). */
function twoRows(tokenOf: (segment: string, t: number) => number): HostBatch & { of: string[] } {
  const rows = [["A", 10, 1], ["B", 12, 2], ["-", 10, 0], ["C", 20, 1], ["D", 12, 2]] as const;
  const of = rows.flatMap(([name, length]) => Array.from({ length }, () => name as string));
  const segments = rows.flatMap(([, length, number]) => Array.from({ length }, () => number));
  return {
    B: 2,
    S,
    of,
    segments: Int32Array.from(segments),
    ids: Int32Array.from(of, (name, n) => tokenOf(name, n)),
  };
}

Deno.test("a sample's logits keep their bits whatever its neighbours and the padding hold", () => {
  for (const dtype of ["f32", "bf16", "f16"] as const) {
    const base = twoRows((name, t) => name === "-" ? 0 : 40 + 7 * t % 150);
    const before = logitsOf(base, dtype);
    const V = before.length / (2 * S);
    for (const changed of ["A", "B", "C", "D", "-"]) {
      const batch = twoRows((name, t) => name === changed ? 30 + 11 * t % 150 : base.ids[t]);
      const after = logitsOf(batch, dtype);
      base.of.forEach((name, n) => {
        const row = (all: Float32Array) => all.slice(n * V, (n + 1) * V);
        const what = `${dtype}: ${changed} changed, position ${n} of ${name}`;
        if (name === changed) assertNotEquals(row(after), row(before), what);
        else if (name !== "-") assertEquals(row(after), row(before), what);
      });
    }
  }
});

Deno.test("the loss of a sample sends no gradient to its neighbours or the padding", async () => {
  const packed = await rowsOf(true);
  const row = packed.find(({ segments, tokens }) => segments.includes(2) && tokens < S)!;
  const [A, B, padding] = [1, 2, 0].map((wanted) =>
    row.ids.findIndex((_, t) => row.segments[t] === wanted)
  );
  // Tokens of their own, so that the rows of the embedding's gradient tell them apart.
  const ids = row.ids.map((_, t) => (t >= B ? 100 : 20) + t);
  ids.fill(199, padding);
  const lossOf = (segment: number): MicroBatch => {
    const targets = row.targets.map((_, t) => {
      const isInside = row.segments[t] === segment && row.segments[t + 1] === segment;
      return isInside ? ids[t + 1] : -100;
    });
    return { ...row, ids, targets, lossTokens: targets.filter((target) => target >= 0).length };
  };
  for (const segment of [1, 2]) {
    const { embed } = runStep([lossOf(segment)], "f32");
    const D = embed.length / 200;
    const gradientAt = (t: number) => embed.slice(ids[t] * D, (ids[t] + 1) * D);
    const own = segment === 1 ? A : B, other = segment === 1 ? B : A;
    assert(gradientAt(own).some((g) => g !== 0));
    for (const t of [other, other + 1, padding]) {
      assertEquals(gradientAt(t), new Float32Array(D), `loss of ${segment}, position ${t}`);
    }
  }
});

Deno.test("a step on packed rows has the loss and gradient norm of the same samples unpacked", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "llmpipe-packing-" });
  try {
    writeSamples(join(dir, "data.jsonl"), SAMPLES);
    const packedRows = (await rowsOf(true)).length;
    const stepOf = async (packing: boolean, rows: number) => {
      const { status, stderr, metrics } = await train(dir, {
        model_path: INIT,
        max_seq_len: S,
        n_epoches: 1,
        threads: 1,
        packing,
        train_micro_batch_size_per_gpu: 1,
        gradient_accumulation_steps: rows,
        optimizer: { type: "AdamW", params: { lr: 1e-3 } },
      }, { name: packing ? "packed" : "padded" });
      assertEquals(status, 0, stderr);
      assertEquals(metrics.length, 1);
      return metrics[0];
    };
    const padded = await stepOf(false, SAMPLES.length);
    const packed = await stepOf(true, packedRows);
    assertEquals(packed.tokens, padded.tokens);
    for (const key of ["loss", "grad_norm"]) {
      const relative = Math.abs(packed[key] / padded[key] - 1);
      assert(relative < 2e-6, `${key} is ${packed[key]} packed, ${padded[key]} padded`);
    }
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
