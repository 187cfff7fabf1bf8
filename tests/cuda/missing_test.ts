/**
 * What a machine may lack for CUDA, each said in one sentence, before anything starts: real
 * processes of the program, on the emulation that leaves out one thing.
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { isAvailable } from "../ops/check_op.ts";
import { llmpipe, ROOT, train, writeSamples } from "../train/run_training.ts";

const ignore = !isAvailable("cudaemu");
const INIT = join(ROOT, "tests/fixtures/training/llama/init");
const PLACES =
  "in LD_LIBRARY_PATH, in the library folders of the system, beside this library and " +
  "in /usr/local/cuda/lib64/";

interface Situation {
  /** What is not as it should be. */
  name: string;
  env: Record<string, string>;
  /** What the program says of it. */
  sentence: string;
}

const SITUATIONS: Situation[] = [
  {
    name: "no driver",
    env: { LLMPIPE_EMU_DRIVER: "0" },
    sentence: "this machine has no NVIDIA driver: libcuda.so.1 was looked for in LD_LIBRARY_PATH " +
      "and in the library folders of the system",
  },
  {
    name: "a driver that is too old",
    env: { LLMPIPE_EMU_DRIVER: "12080" },
    sentence: "the NVIDIA driver of this machine supports CUDA 12.8: this program needs a driver " +
      "for CUDA 13.0 or newer",
  },
  {
    name: "a driver without a device",
    env: { LLMPIPE_EMU_DEVICES: "0" },
    sentence: "the NVIDIA driver finds no device: no CUDA-capable device is detected",
  },
  {
    name: "devices that are too old",
    env: { LLMPIPE_EMU_SM: "61" },
    sentence: "Emulated sm_61 has compute capability 6.1: 7.5 or newer is needed",
  },
  {
    name: "no cuBLASLt",
    env: { LLMPIPE_EMU_MISSING: "cublasLt" },
    sentence: `cuBLASLt cannot be opened: libcublasLt.so.13 or libcublasLt.so.12 was looked for ` +
      `${PLACES} (libcublasLt.so.13: cannot open shared object file: No such file or directory)`,
  },
  {
    name: "a cuBLASLt that lacks a function",
    env: { LLMPIPE_EMU_MISSING: "cublasLtMatmulAlgoGetHeuristic" },
    sentence: "cuBLASLt is too old: libcublasLt.so.13 has no cublasLtMatmulAlgoGetHeuristic",
  },
  {
    name: "no NCCL",
    env: { LLMPIPE_EMU_MISSING: "nccl" },
    sentence: `NCCL cannot be opened: libnccl.so.2 was looked for ${PLACES} ` +
      "(libnccl.so.2: cannot open shared object file: No such file or directory)",
  },
  {
    name: "an NCCL that is too old",
    env: { LLMPIPE_EMU_NCCL: "21003" },
    sentence: "NCCL is too old: 2.18.0 or newer is needed, libnccl.so.2 is 2.10.3",
  },
  {
    name: "an NCCL that lacks a function",
    env: { LLMPIPE_EMU_MISSING: "ncclCommInitRankConfig" },
    sentence: "NCCL is too old: libnccl.so.2 has no ncclCommInitRankConfig",
  },
  {
    name: "fewer devices than ranks",
    env: { LLMPIPE_EMU_DEVICES: "1" },
    sentence: "2 ranks need a device each: this machine has 1",
  },
];

/** A configuration of two ranks, in a folder that is removed. */
async function withConfig(
  use: (dir: string, config: Record<string, unknown>) => Promise<void>,
): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "llmpipe-missing-" });
  try {
    const ids = Array.from({ length: 12 }, (_, i) => 3 + i);
    writeSamples(join(dir, "data.jsonl"), Array.from({ length: 4 }, () => ({ ids, labels: ids })));
    await use(dir, {
      model_path: INIT,
      max_seq_len: 16,
      n_epoches: 1,
      train_micro_batch_size_per_gpu: 1,
      gradient_accumulation_steps: 2,
      model_topo: { process_topology: { dims: [2, 1] } },
      optimizer: { type: "AdamW", params: { lr: 1e-3 } },
    });
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

const exists = (path: string) => Deno.stat(path).then(() => true, () => false);

for (const { name, env, sentence } of SITUATIONS) {
  Deno.test({
    name: `train with ${name} says so in one sentence and starts nothing`,
    ignore,
    fn: () =>
      withConfig(async (dir, config) => {
        const run = await train(dir, { ...config, device: "cudaemu" }, { env });
        assertEquals(run.stderr, `llmpipe: Cannot use device: cudaemu as ${sentence}\n`);
        assertEquals(run.status, 2);
        assertEquals(await exists(run.savePath), false);
        assertEquals(await exists(join(dir, "cache")), false);
      }),
  });
}

Deno.test({
  name: "doctor says what a machine lacks for CUDA in the same sentences",
  ignore,
  fn: async () => {
    for (const { name, env, sentence } of SITUATIONS.slice(0, -1)) {
      const { status, stdout } = await llmpipe(["doctor", "--device", "cudaemu"], env);
      assertStringIncludes(stdout, sentence, name);
      const isForOneDevice = /nccl/i.test(name); // one device works without it
      assertEquals([name, status], [name, isForOneDevice ? 0 : 1]);
    }
  },
});

Deno.test("train --device cuda without a CUDA backend that works ends before anything starts", () =>
  withConfig(async (dir, config) => {
    if (isAvailable("cuda")) return; // its place is taken by the tests of the ops
    const run = await train(dir, config, { args: ["--device", "cuda"] });
    assertEquals(run.status, 2);
    const [line, ...rest] = run.stderr.trimEnd().split("\n");
    assertEquals(rest, []);
    assertStringIncludes(line, "Cannot use device: cuda as ");
    assertStringIncludes(line, "looked for");
    assertEquals(await exists(run.savePath), false);
  }));
