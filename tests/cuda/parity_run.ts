/** Short trainings of the models of parity_models.ts, on whichever device, as real runs. @module */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { train, type TrainingResult, writeSamples } from "../train/run_training.ts";
import { type ParityModel, S, tokensOf, writeModel } from "./parity_models.ts";

/** Stages and replicas. */
export type Dims = readonly [pipe: number, data: number];

/** As the configuration names it. */
export type DType = "f32" | "bf16" | "fp16";

/** Updates that every run has at least. */
export const STEPS = 5;

/** The largest learning rate, from the second step on. */
export const PEAK_RATE = 1e-3;

/**
 * Larger than the roundings of a gradient, so that what has no gradient stays where it is. Some have
 * none: attention does not see what is added to all keys, such as their bias where it is not turned.
 */
const EPS = 1e-6;

/** A scale at which the gradients of the first step overflow fp16, and of at most two more. */
const FP16 = { enabled: true, initial_scale_power: 21, hysteresis: 1 };
const MOST_SKIPPED = 3;

/** A directory with the model, and samples of these lengths, of which one has a part without loss. */
export function prepare(model: ParityModel, lengths: readonly number[] = [S, 41]): string {
  const dir = Deno.makeTempDirSync({ prefix: "llmpipe-parity-" });
  writeModel(model, join(dir, "model"));
  writeSamples(
    join(dir, "data.jsonl"),
    tokensOf(lengths).map((ids, i) => ({
      ids,
      labels: ids.map((id, t) => i === 0 && t < 6 ? -100 : id),
    })),
  );
  return dir;
}

/** Trains on what prepare() wrote to `dir`; every sample is a micro-batch, all are a step. */
export async function run(
  dir: string,
  { device, dtype = "f32", dims: [pipe, data], samples = 2, env = {}, keys = {} }: {
    device: "cpu" | "cudaemu";
    dtype?: DType;
    dims: Dims;
    samples?: number;
    env?: Record<string, string>;
    keys?: Record<string, string>;
  },
): Promise<TrainingResult> {
  const name = [device, dtype, pipe, data, ...Object.values({ ...env, ...keys })].join("_");
  const result = await train(dir, {
    model_path: join(dir, "model"),
    device,
    max_seq_len: S,
    n_epoches: STEPS + (dtype === "fp16" ? MOST_SKIPPED : 0),
    seed: 3,
    threads: 1,
    train_micro_batch_size_per_gpu: 1,
    train_batch_size: samples,
    gradient_clipping: 1,
    optimizer: { type: "AdamW", params: { lr: PEAK_RATE, eps: EPS, weight_decay: 0.01 } },
    scheduler: { type: "WarmupCosineLR", params: { warmup_num_steps: 2 } },
    aux_max_z_loss: { weight: 1e-3 },
    model_topo: { process_topology: { axes: ["pipe", "data"], dims: [pipe, data] } },
    ...(dtype === "bf16" ? { bf16: { enabled: true } } : {}),
    ...(dtype === "fp16" ? { fp16: FP16 } : {}),
    ...keys,
  }, { name, env });
  assertEquals(result.status, 0, result.stderr);
  return result;
}
