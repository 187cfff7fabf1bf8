/** Bugs in attention and its tiles. @module */
import type { Mode, Mutation } from "./mutation.ts";

const FORWARD = "cuda/attention_forward.cu";
const BACKWARD = "cuda/attention_backward.cu";
const ROWS = "cuda/attention_rows.cu";
const TILE = "cuda/tile.h";
const plain: readonly Mode[] = ["plain", "race", "asan"];
const race: readonly Mode[] = ["race", "plain"];
const asan: readonly Mode[] = ["plain", "asan"];
const causal = ["cuda/attention_test.ts", "64, causal"] as const;
const grouped = ["cuda/attention_test.ts", "two groups of two"] as const;
const padded = ["cuda/attention_test.ts", "64, padding"] as const;
const biased = ["cuda/attention_test.ts", "64, biases"] as const;
const digits = ["ops/attention_test.ts", "keeps its digits"] as const;
const rows = ["ops/attention_test.ts", "every mask"] as const;

/** Bugs, the ones that only a detector finds among them. */
export const ATTENTION: Mutation[] = [
  {
    bug: "forward: no barrier after the wait for copies",
    ...{ file: FORWARD, find: "__syncthreads();\n    const int next", change: "__syncthreads();" },
    ...{ put: ";", modes: race, test: causal },
  },
  {
    bug: "forward: waits for one group of copies too few",
    file: FORWARD,
    find: "async_wait<Plan::kSlots - 2>();\n    __syncthreads();\n    const int next",
    change: "async_wait<Plan::kSlots - 2>();",
    ...{ put: "async_wait<Plan::kSlots - 1>();", modes: race, test: causal },
  },
  {
    bug: "forward: the output is not scaled when a larger score comes",
    ...{ file: FORWARD, find: "out[r][n][e] *= shrink;", put: ";", modes: plain, test: causal },
  },
  {
    bug: "forward: the maximum leaves two lanes of four out",
    ...{ file: FORWARD, find: "m = fmaxf(m, __shfl_xor_sync(kQuad, m, 2));", put: ";" },
    ...{ modes: plain, test: causal },
  },
  {
    bug: "forward: a shuffle in which half of the lanes take part",
    ...{ file: FORWARD, find: "m = fmaxf(m, __shfl_xor_sync(kQuad, m, 1));" },
    put: "if (lane < 16) m = fmaxf(m, __shfl_xor_sync(kQuad, m, 1));",
    ...{ modes: plain, test: causal },
  },
  {
    bug: "forward: slopes of the biases dropped",
    ...{ file: FORWARD, find: "slope(a.slope ? a.slope[h] * kLog2E : 0)" },
    ...{ change: "a.slope ? a.slope[h] * kLog2E : 0", put: "0.0f", isExpression: true },
    ...{ modes: plain, test: biased },
  },
  {
    bug: "forward: wrong group of a query head",
    ...{ file: FORWARD, find: "h / a.heads_of_group", put: "h % a.G", isExpression: true },
    ...{ modes: plain, test: grouped },
  },
  {
    bug: "forward: dropout exchanges keys that are 8 apart",
    ...{ file: FORWARD, find: "a.dropout.keeps(bits, i)", put: "a.dropout.keeps(bits, i ^ 1)" },
    ...{ isExpression: true, modes: plain, test: ["cuda/attention_test.ts", "64, dropout"] },
  },
  {
    bug: "backward: dropout exchanges keys that are 8 apart",
    ...{
      file: BACKWARD,
      find: "n * 2 + e / 2)",
      change: "n * 2 + e / 2",
      put: "n * 2 + 1 - e / 2",
    },
    ...{ isExpression: true, modes: plain, test: ["cuda/attention_test.ts", "64, dropout"] },
  },
  {
    bug: "forward: too little dynamic shared memory",
    ...{ file: FORWARD, find: "kThreads, Plan::kBytes, a,", change: "Plan::kBytes" },
    ...{ put: "Plan::kBytes - 1024u", isExpression: true, modes: plain, test: causal },
  },
  {
    bug: "mask: one key too many",
    ...{ file: "cuda/attention.h", find: "return j >= begin && j < end;", change: "j < end" },
    ...{ put: "j <= end", isExpression: true, modes: plain, test: causal },
  },
  {
    bug: "mask: a sliding window one key too short",
    ...{ file: "cuda/attention.h", find: "return j >= begin && j < end;", change: "j >= begin" },
    ...{ put: "j > begin", isExpression: true, modes: plain, test: biased },
  },
  {
    bug: "backward: no barrier before the second tile of a pair is read",
    file: BACKWARD,
    find: "// the second one is there\n    __syncthreads();",
    ...{ change: "__syncthreads();", put: ";", modes: race, test: causal },
  },
  {
    bug: "backward: <do, o> dropped",
    ...{ file: BACKWARD, find: "attention_ds(p[n][e], dp[n][e], do_o)", change: "do_o" },
    ...{ put: "0.0f", isExpression: true, modes: plain, test: causal },
  },
  {
    bug: "backward: wrong group of a query head",
    ...{ file: BACKWARD, find: "(int)blockIdx.y / a.heads_of_group" },
    ...{ put: "(int)blockIdx.y % a.G", isExpression: true, modes: plain, test: grouped },
  },
  {
    bug: "tile: a wrong register of the left fragment",
    ...{ file: TILE, find: "{p[r][j][0], p[r][j][1], p[r][j + 1][0]", change: "p[r][j][1]" },
    ...{ put: "p[r][j + 1][0]", isExpression: true, modes: plain, test: causal },
  },
  {
    bug: "tile: values not transposed when they are read",
    file: TILE,
    find: "load_matrix_x4_transposed(y, base + Layout::step(x, i) + j * Layout::bytes(8));",
    put: "load_matrix_x4(y, base + Layout::step(x, i) + j * Layout::bytes(8));",
    ...{ modes: plain, test: causal },
  },
  {
    bug: "tile: no swizzle (slow, not wrong)",
    ...{ file: TILE, find: "(uint32_t)(row % 8) / (8 / kPeriod)", put: "0u", isExpression: true },
    ...{ modes: ["plain"], test: ["cuda/attention_test.ts", "bank conflicts"] },
  },
  {
    bug: "tile: reads one row past the sequence",
    ...{ file: TILE, find: "at >= begin && at < end", change: "at < end", put: "at <= end" },
    ...{ isExpression: true, modes: ["plain", "asan"], test: padded },
  },
  {
    bug: "tile: no zeros where there is no row",
    ...{ file: TILE, find: "from + c * 8, is_held", change: "is_held", put: "true" },
    ...{ isExpression: true, modes: asan, test: padded },
  },
  {
    bug: "tile: rows are read before the warp has written them",
    file: TILE,
    find: "  __syncwarp();\n#pragma unroll\n  for (int i = 0; i < 16 * m",
    ...{ change: "__syncwarp();", put: ";", modes: race, test: causal },
  },
  {
    bug: "tile: writes one row past the sequence",
    ...{ file: TILE, find: "if (row < count)", change: "row < count", put: "row <= count" },
    ...{ isExpression: true, modes: ["plain", "asan"], test: padded },
  },
  {
    bug: "rows: probabilities overwritten while they are read",
    ...{ file: ROWS, find: "__syncwarp(); // the last reads of p are done", put: ";" },
    ...{ modes: race, test: digits },
  },
  {
    bug: "rows: a part of the keys ends past the keys",
    ...{ file: ROWS, find: "min(keys.end, (at.part + 1) * kPart)" },
    ...{ put: "(at.part + 1) * kPart", isExpression: true, modes: asan, test: rows },
  },
];
