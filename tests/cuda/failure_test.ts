/**
 * A call of CUDA, cuBLASLt or NCCL that fails in the middle of a step, at once or later, ends the run
 * of several processes as any failure does: soon, with its first cause last, leaving nothing.
 */
import { assertEquals, assertLess, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { existsSync } from "node:fs";
import { isAvailable } from "../ops/check_op.ts";
import { expectTidy } from "../train/left_behind.ts";
import { train } from "../train/run_training.ts";
import { PARITY_MODELS } from "./parity_models.ts";
import { type Dims, prepare } from "./parity_run.ts";

/** LLMPIPE_EMU_FAIL of csrc/emu/control.h, the topology, and the end of the last line. */
const CASES: readonly [injected: string, dims: Dims, last: RegExp][] = [
  [
    "cudaMemcpyAsync:60@0",
    [2, 1],
    /Rank 0 \(stage 0, step \d\) failed: load of micro-batch \d: upload: cudaMemcpyAsync: /,
  ],
  [
    "cublasLtMatmul:150@1",
    [2, 1],
    /Rank 1 \(stage 1, step \d\) failed: backward of micro-batch \d, layer 2: the gradient of 2\.self_attn\.q_proj\.weight: gemm: cublasLtMatmul: CUBLAS_STATUS_EXECUTION_FAILED/,
  ],
  [
    "ncclSend:7@0",
    [2, 1],
    /Rank 0 \(stage 0, step \d\) failed: sendForward of micro-batch \d: Group "pipe" of ranks \[0, 1\]: isend: ncclSend: internal error/,
  ],
  [
    "ncclAllReduce:9@1",
    [1, 2],
    /Rank 1 \(stage 0, step \d\) failed: \w+ of layers 0 to 3: Group "\w+" of ranks \[0, 1\]: all_reduce: ncclAllReduce: internal error/,
  ],
  [
    "async rms_norm_backward:9@1",
    [2, 1],
    /Rank 1 \(stage 1, step \d\) failed: backward of micro-batch \d, layer \d: .*kernel rms_norm_backward: an illegal memory access/,
  ],
  [
    "async ncclSend:7@0",
    [2, 1],
    /Rank 0 \(stage 0, step \d\) failed: \w+ of micro-batch \d: Group "pipe" of ranks \[0, 1\]: \w+: internal error: rank 0 (sends|exchanges with rank 1)/,
  ],
];

/** Shared memory of emulated communicators whose maker is gone. */
function segmentsLeft(): string[] {
  return [...Deno.readDirSync("/dev/shm")].map(({ name }) => name).filter((name) => {
    const pid = /^llmpipe-emu-(\d+)-/.exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  });
}

for (const [injected, dims, last] of CASES) {
  Deno.test({
    name:
      `${injected} ends a run on [${dims}] and is told last, with rank, step, operation and tensor`,
    ignore: !isAvailable("cudaemu"),
    fn: async () => {
      const before = segmentsLeft();
      const dir = prepare(PARITY_MODELS[0], [20, 33, 12, 17]);
      try {
        const begin = performance.now();
        const { status, stderr, savePath } = await train(dir, {
          model_path: join(dir, "model"),
          device: "cudaemu",
          max_seq_len: 40,
          n_epoches: 1000,
          threads: 1,
          train_micro_batch_size_per_gpu: 1,
          train_batch_size: 4,
          optimizer: { type: "AdamW", params: { lr: 1e-4 } },
          model_topo: { process_topology: { dims: [...dims] } },
        }, { env: { LLMPIPE_EMU_FAIL: injected } });
        assertEquals(status, 1, stderr);
        // It fails within the first steps: what is left of this is the end, and a busy machine
        assertLess((performance.now() - begin) / 1000, 40);
        assertMatch(stderr.trimEnd().split("\n").at(-1)!, last);
        assertEquals(stderr.split("\n").filter((line) => /^ {4}at /.test(line)), []);
        expectTidy({ savePath, cacheDir: join(dir, "cache") });
        assertEquals(segmentsLeft(), before);
      } finally {
        Deno.removeSync(dir, { recursive: true });
      }
    },
  });
}
