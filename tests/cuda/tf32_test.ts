/** f32_products: tf32 reaches the products of a training, and is refused where there is none. @module */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { existsSync } from "node:fs";
import { isAvailable } from "../ops/check_op.ts";
import { train } from "../train/run_training.ts";
import { PARITY_MODELS, S } from "./parity_models.ts";
import { prepare, run } from "./parity_run.ts";

/** Means of many numbers that are wrong by 2^-11 each. */
const TF32_TOLERANCE = 2 ** -11;

Deno.test({
  name: "training in tf32 differs from exact products, by the errors of 10 bits",
  ignore: !isAvailable("cudaemu"),
  fn: async () => {
    const dir = prepare(PARITY_MODELS.find(({ name }) => name === "bloom")!);
    try {
      const given = { device: "cudaemu", dims: [2, 1] } as const;
      const exact = await run(dir, { ...given, keys: { f32_products: "exact" } });
      const tf32 = await run(dir, { ...given, keys: { f32_products: "tf32" } });
      tf32.metrics.forEach((step, i) => {
        for (const key of ["loss", "grad_norm"]) {
          const off = Math.abs(step[key] / exact.metrics[i][key] - 1);
          assert(off > 1e-6 && off < 4 * TF32_TOLERANCE, `step ${i}: ${key} is off by ${off}`);
        }
      });
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  },
});

for (
  const [what, device, env, reason] of [
    [
      "a device before sm_80",
      "cudaemu",
      { LLMPIPE_EMU_SM: "75" },
      "Cannot use f32_products: tf32 as the device Emulated sm_75 has none: take exact in its " +
      "place, or GPUs of compute capability 8.0 or newer",
    ],
    [
      "the CPU",
      "cpu",
      {},
      "Cannot use f32_products: tf32 with device: cpu, which multiplies f32 exactly: take " +
      "f32_products: exact, or device: cuda",
    ],
  ] as const
) {
  Deno.test({
    name: `${what} refuses tf32 by name before anything starts`,
    ignore: device === "cudaemu" && !isAvailable("cudaemu"),
    fn: async () => {
      const dir = prepare(PARITY_MODELS[0]);
      try {
        const { status, stderr, savePath } = await train(dir, {
          model_path: join(dir, "model"),
          device,
          f32_products: "tf32",
          max_seq_len: S,
          n_epoches: 1,
          optimizer: { type: "AdamW", params: { lr: 1e-3 } },
          train_micro_batch_size_per_gpu: 1,
          model_topo: { process_topology: { axes: ["pipe", "data"], dims: [1, 1] } },
        }, { env });
        assertStringIncludes(stderr, reason);
        assertEquals([status, existsSync(savePath)], [2, false]);
      } finally {
        Deno.removeSync(dir, { recursive: true });
      }
    },
  });
}
