/** Five steps of training in every family: the emulated CUDA backend against the CPU, as real runs. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { openModel } from "../../src/checkpoint/model_source.ts";
import { isAvailable } from "../ops/check_op.ts";
import type { TrainingResult } from "../train/run_training.ts";
import { PARITY_MODELS } from "./parity_models.ts";
import { type Dims, type DType, PEAK_RATE, prepare, run, STEPS } from "./parity_run.ts";
import { F32_TOLERANCE, norm } from "./parity_tolerance.ts";

/** The CPU runs in one rank: that more equal it is shown in tests/models. */
const TOPOLOGIES: readonly Dims[] = [[1, 1], [2, 1], [1, 2]];

/**
 * How far losses and gradient norms may be apart, as a share of them.
 *
 * f32: what parity_tolerance.ts allows tensors; means of many numbers are wrong by much less, and
 * gain some of it from step to step (measured: 3e-7).
 * bf16, fp16: losses and norms are means of thousands of numbers that are wrong by 2^-8 and 2^-11
 * each, in both directions: they are wrong by less than one of them is. Where the CPU's bf16 is
 * further than that from its f32, as where tokens are sent to other experts: twice as far as that.
 */
const TOLERANCE: Record<DType, number> = { f32: F32_TOLERANCE, bf16: 2 ** -8, fp16: 2 ** -11 };

/**
 * What the weights may differ by, as a share of how far they can have moved (measured: 2e-4). AdamW
 * moves an element whose gradients are small as far as any, whatever share of them is rounding.
 */
const WEIGHT_TOLERANCE = 1e-3;

/** What must be the same to the last bit, and what may differ by roundings. */
function expectSameCurve(
  dtype: DType,
  ours: TrainingResult,
  cpu: TrainingResult,
  f32?: TrainingResult,
): void {
  const exact = ["step", "epoch", "lr", "loss_scale", "skipped", "tokens"];
  const pick = ({ metrics }: TrainingResult) =>
    metrics.map((step) => exact.map((key) => [key, step[key]]));
  assertEquals(pick(ours), pick(cpu));
  const problems: string[] = [];
  for (const key of ["loss", "z_loss", "aux_loss", "grad_norm"]) {
    let limit = TOLERANCE[dtype];
    cpu.metrics.forEach((step, i) => {
      const [mine, theirs] = [ours.metrics[i][key], step[key]];
      if (mine === theirs) return; // both null where the step was skipped, or both absent
      if (f32) limit = Math.max(limit, 2 * Math.abs(theirs / f32.metrics[i][key] - 1));
      const off = Math.abs(mine / theirs - 1);
      if (!(off <= limit)) problems.push(`${dtype} ${key} of step ${i + 1}: ${mine}, ${theirs}`);
    });
  }
  assertEquals(problems, []);
}

/** The weights after the last step. */
function expectSameWeights(ours: TrainingResult, cpu: TrainingResult): void {
  using a = openModel(join(ours.savePath, "checkpoint_final"));
  using b = openModel(join(cpu.savePath, "checkpoint_final"));
  const read = (source: typeof a, layer: number, name: string) => {
    const bytes = new Uint8Array(source.entry(layer, name).bytes);
    source.read(layer, name, bytes);
    return new Float32Array(bytes.buffer);
  };
  for (let layer = 0; layer < b.layerCount; layer++) {
    for (const name of b.names(layer)) {
      const [mine, theirs] = [a, b].map((source) => read(source, layer, name));
      const way = STEPS * PEAK_RATE * Math.sqrt(theirs.length);
      const off = norm(mine, theirs) / way;
      assert(off <= WEIGHT_TOLERANCE, `${layer}.${name} differs by ${off} of its way`);
    }
  }
}

/** What the CPU computes in f32, by model: the test in f32 leaves it to the one in bf16. */
const exactRuns = new Map<string, TrainingResult>();

for (const model of PARITY_MODELS) {
  for (const dtype of ["f32", "bf16", "fp16"] as const) {
    Deno.test({
      name:
        `${model.name}: in ${dtype}, cudaemu learns as cpu does in one stage, two, and two replicas`,
      ignore: !isAvailable("cudaemu"),
      fn: async () => {
        const dir = prepare(model);
        try {
          const [cpu, ...all] = await inPairs([
            () => run(dir, { device: "cpu", dtype, dims: [1, 1] }),
            ...TOPOLOGIES.map((dims) => () => run(dir, { device: "cudaemu", dtype, dims })),
          ]);
          if (dtype === "f32") exactRuns.set(model.name, cpu);
          const f32 = dtype === "bf16"
            ? exactRuns.get(model.name) ?? await run(dir, { device: "cpu", dims: [1, 1] })
            : undefined;
          const skipped = cpu.metrics.filter((step) => step.skipped).length;
          assertEquals([skipped > 0, cpu.metrics[0].skipped], [dtype === "fp16", dtype === "fp16"]);
          assert(cpu.metrics.length - skipped >= STEPS, `${skipped} steps were skipped`);
          for (const ours of all) {
            expectSameCurve(dtype, ours, cpu, f32);
            if (dtype === "f32") expectSameWeights(ours, cpu);
          }
        } finally {
          Deno.removeSync(dir, { recursive: true });
        }
      },
    });
  }
}

/** Two at a time: a rank has one thread, and the first run tokenizes for all. */
async function inPairs<T>(runs: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = [];
  for (let i = 0; i < runs.length; i += 2) {
    results.push(...await Promise.all(runs.slice(i, i + 2).map((start) => start())));
  }
  return results;
}
