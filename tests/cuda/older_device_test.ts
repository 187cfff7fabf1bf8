/**
 * Devices before sm_80, which lack bf16 and the tile instructions: fp16 without them, bf16 refused. And
 * those that run the code of sm_80 with less shared memory.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { existsSync } from "node:fs";
import { start } from "../cli/start.ts";
import { isAvailable } from "../ops/check_op.ts";
import { train } from "../train/run_training.ts";
import { PARITY_MODELS, S } from "./parity_models.ts";
import { prepare, run, STEPS } from "./parity_run.ts";

/** A T4. Under it, the emulation refuses mma, ldmatrix and cp.async. */
const SM_75 = { LLMPIPE_EMU_SM: "75" };

/** Means of many numbers that are wrong by 2^-11 each. */
const FP16_TOLERANCE = 2 ** -11;

/** How far a number of two steps is apart, as a share of it. */
function apart(a: Record<string, number>, b: Record<string, number>, key: string): number {
  return a[key] === b[key] ? 0 : Math.abs(a[key] / b[key] - 1);
}

/**
 * Steps until a token goes to another expert, as roundings decide after some updates: the loss of the
 * balance holds numbers of tokens, which jump (by 1 of 280, where roundings are 1e-5).
 */
function stepsAlike(a: Record<string, number>[], b: Record<string, number>[]): number {
  assertEquals(a.length, b.length);
  const first = a.findIndex((step, i) => apart(step, b[i], "aux_loss") > 1e-4);
  return first < 0 ? a.length : first;
}

const ignore = !isAvailable("cudaemu");

for (const name of ["llama", "mixtral", "bloom"]) {
  Deno.test({
    name: `${name}: sm_75 learns in fp16 and f32 as the CPU does`,
    ignore,
    fn: async () => {
      const dir = prepare(PARITY_MODELS.find((model) => model.name === name)!);
      try {
        for (const dtype of ["f32", "fp16"] as const) {
          const cpu = await run(dir, { device: "cpu", dtype, dims: [1, 1] });
          const old = await run(dir, { device: "cudaemu", dtype, dims: [1, 1], env: SM_75 });
          const steps = stepsAlike(old.metrics, cpu.metrics);
          assert(steps >= STEPS, `only ${steps} steps send tokens to the same experts`);
          for (const key of ["loss", "grad_norm"]) {
            const off = old.metrics.slice(0, steps).map((step, i) =>
              apart(step, cpu.metrics[i], key)
            );
            const limit = dtype === "f32" ? 1e-5 : FP16_TOLERANCE;
            assert(off.every((share) => share <= limit), `${dtype} ${key} is off by ${off}`);
          }
        }
      } finally {
        Deno.removeSync(dir, { recursive: true });
      }
    },
  });
}

Deno.test({
  name: "sm_75 refuses bf16 by name before anything starts",
  ignore,
  fn: async () => {
    const dir = prepare(PARITY_MODELS[0]);
    try {
      const { status, stderr, savePath } = await train(dir, {
        model_path: join(dir, "model"),
        device: "cudaemu",
        bf16: { enabled: true },
        max_seq_len: S,
        n_epoches: 1,
        optimizer: { type: "AdamW", params: { lr: 1e-3 } },
        train_micro_batch_size_per_gpu: 1,
        model_topo: { process_topology: { axes: ["pipe", "data"], dims: [1, 1] } },
      }, { env: SM_75 });
      assertEquals([status, existsSync(savePath)], [2, false]);
      assertStringIncludes(stderr, "Cannot compute in bf16 as the device Emulated sm_75 does not");
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  },
});

/** Prints the dtypes of the devices, and what a product in bf16 answers. */
const PROGRAM = `
  import { describeBackend, openContext } from "./ffi/context.ts";
  const { devices, reason } = describeBackend("cudaemu");
  console.log(devices[0]?.dtypes.join() ?? reason);
  try {
    using context = openContext({ backend: "cudaemu", threads: 1 });
    const x = context.alloc(512);
    context.gemm(x, x, x, 8, 8, 8, 8, 8, 8, 0, 0, 1, 0, 0, 0, 1, 0, 1, 1);
    console.log("ok");
  } catch (error) {
    console.log(error.message);
  }`;

for (
  const [sm, dtypes, answer] of [
    ["75", "f32,f16", "Emulated sm_75 cannot compute in bf16, which needs compute capability 8.0"],
    ["80", "f32,bf16,f16", "ok"],
    ["86", "f32,bf16,f16", "ok"],
    ["89", "f32,bf16,f16", "ok"],
    ["70", "has compute capability 7.0: 7.5 or newer is needed", "7.5 or newer is needed"],
  ]
) {
  Deno.test({
    name: `sm_${sm} is described with what it can, and the library holds to it`,
    ignore,
    fn: async () => {
      const env = { ...Deno.env.toObject(), NO_COLOR: "1", LLMPIPE_EMU_SM: sm };
      const { stdout } = await start(Deno.execPath(), ["eval", "--ext=ts", PROGRAM], { env });
      const [types, answered] = stdout.split("\n");
      assertStringIncludes(types, dtypes);
      assertStringIncludes(answered, answer);
    },
  });
}

/** Prints what the attention answers that takes the most shared memory, forward and backward. */
const WIDEST = `
  import { openContext } from "./ffi/context.ts";
  const [B, T, H, K] = [1, 80, 1, 128];
  using context = openContext({ backend: "cudaemu", threads: 1 });
  const [q, k, v, o, dq, dk, dv, lse, begin, end] = Array.from({ length: 10 }, () => {
    const ptr = context.alloc(4 * T * K);
    context.zero(ptr, 4 * T * K);
    return ptr;
  });
  context.upload(end, new Int32Array(T).fill(T));
  const sizes = [B, T, T, H, H, K], strides = [K, K, T * K, K], last = [1, 0, 0n, 0];
  for (const type of [1, 2]) {
    context.attentionForward(q, k, v, begin, end, null, o, lse, ...sizes, ...strides, ...last, type);
    context.attentionBackward(o, q, k, v, o, lse, begin, end, null, dq, dk, dv, ...sizes, ...strides, K,
      K, T * K, ...last, type);
    context.synchronize();
  }
  console.log("ok");`;

for (const sm of ["86", "89"]) {
  Deno.test({
    name: `sm_${sm} has the shared memory for the widest attention`,
    ignore,
    fn: async () => {
      const env = { ...Deno.env.toObject(), NO_COLOR: "1", LLMPIPE_EMU_SM: sm };
      const { stdout, stderr } = await start(Deno.execPath(), ["eval", "--ext=ts", WIDEST], {
        env,
      });
      assertEquals(stdout, "ok\n", stderr);
    },
  });
}
