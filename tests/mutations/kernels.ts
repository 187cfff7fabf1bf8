/** Bugs in sums, norms, losses and elementwise kernels. @module */
import type { Mode, Mutation } from "./mutation.ts";

const NORM = "cuda/norm.cu";
const LOSS = "cuda/cross_entropy.cu";
const plain: readonly Mode[] = ["plain", "race", "asan"];
const race: readonly Mode[] = ["race", "plain"];
const asan: readonly Mode[] = ["plain", "race", "asan"];
const norm = ["ops/norm_test.ts", "layerNorm"] as const;
const loss = ["ops/cross_entropy_test.ts", "formula and gradient"] as const;
const embedding = ["ops/embedding_test.ts"] as const;
const optimizer = ["ops/optimizer_test.ts", "adamw"] as const;
const rope = ["ops/rope_test.ts"] as const;

/** Bugs, the ones that only a detector finds among them. */
export const KERNELS: Mutation[] = [
  {
    bug: "block sum: no barrier between the warps",
    ...{ file: "cuda/reduce.h", find: "__syncthreads();", put: ";", modes: race, test: norm },
  },
  {
    bug: "block sum: the last warp is left out",
    ...{ file: "cuda/reduce.h", find: "i < warps; i++) x[k] +=", change: "i < warps" },
    ...{ put: "i < warps - 1", isExpression: true, modes: plain, test: norm },
  },
  {
    bug: "norm: sums of the next row written while others read those of this one",
    ...{ file: NORM, find: "shared[n % 2]", put: "shared[0]", isExpression: true },
    ...{ modes: race, test: norm },
  },
  {
    bug: "norm: sums of columns not cleared",
    ...{ file: NORM, find: "column_sums[k].clear(group);", put: ";", modes: plain, test: norm },
  },
  {
    bug: "norm: a gradient overwritten that is to be added to",
    ...{ file: NORM, find: "if (before != nullptr) pack.load(before + at + d, dx_d);", put: ";" },
    ...{ modes: plain, test: norm },
  },
  {
    bug: "norm: variance of a tail counts what lies beyond it",
    ...{ file: NORM, find: "if (j < pack.count) squares[0] +=", change: "j < pack.count" },
    ...{ put: "true", isExpression: true, modes: plain, test: norm },
  },
  {
    bug: "row sums: no barrier between the warps",
    ...{ file: "cuda/row_sums.cu", find: "__syncthreads();", put: ";", modes: race, test: norm },
  },
  {
    bug: "bias: no barrier between the warps",
    ...{ file: "cuda/bias.cu", find: "__syncthreads();", put: ";", modes: race },
    test: ["ops/linear_test.ts", "gradient of a bias"],
  },
  {
    bug: "packs: a vector access that ends one past the end",
    ...{ file: "cuda/packs.h", find: "if (i + W <= n)", change: "i + W <= n" },
    ...{ put: "i + W <= n + 1", isExpression: true, modes: asan },
    test: ["ops/elementwise_test.ts", "fill, scale and add"],
  },
  {
    bug: "packs: vector accesses to addresses that are not aligned",
    file: "cuda/packs.h",
    find: "reinterpret_cast<uintptr_t>(p) % (bytes < 16 ? bytes : 16) == 0",
    ...{ put: "true", isExpression: true, modes: asan },
    test: ["ops/elementwise_test.ts", "fill, scale and add"],
  },
  {
    bug: "packs: a tail of one element too few",
    ...{ file: "cuda/packs.h", find: "(int)(n - i) : W", change: "(int)(n - i)" },
    ...{ put: "(int)(n - i) - 1", isExpression: true, modes: plain },
    test: ["ops/elementwise_test.ts", "fill, scale and add"],
  },
  {
    bug: "elements: lanes side by side read memory that is not (slow, not wrong)",
    file: "cuda/elements.h",
    find: "((size_t)blockIdx.x * kElementThreads + threadIdx.x) * Op::W",
    ...{ change: "threadIdx.x", put: "threadIdx.x % 32 * 8 + threadIdx.x / 32" },
    ...{ isExpression: true, modes: ["race"], test: ["cuda/sectors_test.ts", "gelu"] },
  },
  {
    bug: "sum of squares: blocks add to one place in no order",
    ...{ file: "cuda/elementwise.cu", find: "if (threadIdx.x == 0) sums[blockIdx.x] = sum[0];" },
    put: "if (threadIdx.x == 0) { sums[blockIdx.x] = 0; sums[blockIdx.x / 2 * 2] += sum[0]; }",
    ...{ modes: race, test: ["ops/elementwise_test.ts", "sumSquares"] },
  },
  {
    bug: "cross-entropy: no barrier between the warps",
    ...{ file: LOSS, find: "__syncthreads();", put: ";", modes: race, test: loss },
  },
  {
    bug: "cross-entropy: half of the block at the barrier",
    ...{ file: LOSS, find: "__syncthreads();", put: "if (threadIdx.x < 32) __syncthreads();" },
    ...{ modes: plain, test: loss },
  },
  {
    bug: "cross-entropy: a shuffle mask without the own lane",
    ...{ file: LOSS, find: "__shfl_xor_sync(0xffffffffu, a.sum", change: "0xffffffffu" },
    ...{ put: "0xffffu", isExpression: true, modes: plain, test: loss },
  },
  {
    bug: "cross-entropy: half of the z-loss",
    ...{ file: "common/cross_entropy.h", find: "z_scale * -2.0f * log_sum" },
    ...{ put: "z_scale * -1.0f * log_sum", isExpression: true, modes: plain, test: loss },
  },
  {
    bug: "cross-entropy: the sum is not scaled when a larger logit comes",
    ...{ file: LOSS, find: "all.sum *= rescale(all.largest, m);", put: ";" },
    ...{ modes: plain, test: loss },
  },
  {
    bug: "cross-entropy: a row of -inf so far gives nan",
    ...{ file: LOSS, find: "m == -INFINITY ? 0.0f : m", put: "m", isExpression: true },
    ...{ modes: plain, test: ["ops/cross_entropy_test.ts", "crossEntropy"] },
  },
  {
    bug: "cross-entropy: positions without a target are learned",
    ...{ file: LOSS, find: "target < 0 ? 0 : ce_scale", put: "ce_scale", isExpression: true },
    ...{ modes: plain, test: loss },
  },
  {
    bug: "rope: direction ignored",
    ...{ file: "cuda/rope.cu", find: "s[j] *= sign;", put: ";", modes: plain, test: rope },
  },
  {
    bug: "rope: a position one past the table is taken",
    ...{ file: "cuda/rope.cu", find: "p >= positions", put: "p > positions" },
    ...{ isExpression: true, modes: plain, test: rope },
  },
  {
    bug: "embedding: an id one past the table is taken",
    ...{ file: "cuda/embedding.cu", find: "if (id[n] < 0 || id[n] >= V)" },
    ...{ change: "id[n] >= V", put: "id[n] > V", isExpression: true },
    ...{ modes: plain, test: embedding },
  },
  {
    bug: "embedding: every row of an id adds all of them",
    ...{ file: "cuda/embedding.cu", find: "key[first - 1] == id", put: "false" },
    ...{ isExpression: true, modes: race, test: embedding },
  },
  {
    bug: "embedding: host code reads a pointer of the device",
    file: "cuda/embedding.cu",
    find: "check_embedding(N, D, V);\n    const size_t bytes",
    change: "check_embedding(N, D, V);",
    put: "check_embedding(N, D, V); if (N > 0 && id != nullptr && id[0] == -12345) return;",
    ...{ modes: ["guard"], test: embedding },
  },
  {
    bug: "sort: counts changed while other lanes read them",
    ...{ file: "cuda/sort.cu", find: "__syncwarp(); // all have read the counts", put: ";" },
    ...{ modes: race, test: embedding },
  },
  {
    bug: "sort: equal keys in reversed order",
    ...{ file: "cuda/sort.cu", find: "counted + __popc(before)" },
    put: "counted + __popc(alike) - 1 - __popc(before)",
    ...{ isExpression: true, modes: plain, test: ["ops/moe_test.ts", "moeSort"] },
  },
  {
    bug: "sort: sums that include the own tile",
    ...{ file: "cuda/sort.cu", find: "counts[tile] = sum + upto - count" },
    ...{ change: "sum + upto - count", put: "sum + upto", isExpression: true },
    ...{ modes: plain, test: ["ops/moe_test.ts", "moeSort"] },
  },
  {
    bug: "AdamW: first moment not corrected",
    ...{ file: "common/optimizer.h", find: "step(lr / correction1)", change: "lr / correction1" },
    ...{ put: "lr", isExpression: true, modes: plain, test: optimizer },
  },
  {
    bug: "AdamW: second moment of the gradient, not of its square",
    ...{ file: "common/optimizer.h", find: "beta2_rest * (g * g)", put: "beta2_rest * g" },
    ...{ isExpression: true, modes: plain, test: optimizer },
  },
  {
    bug: "AdamW: gradients not scaled",
    ...{ file: "cuda/optimizer.cu", find: "step(grad_scale * g[j], p_i[j], m_i[j], v_i[j])" },
    ...{ change: "grad_scale * g[j]", put: "g[j]", isExpression: true },
    ...{ modes: plain, test: optimizer },
  },
  {
    bug: "AdamW: weights not written",
    file: "cuda/optimizer.cu",
    find: "pack.store(v + i, v_i);\n    if (w != nullptr) pack.store(w + i, p_i);",
    change: "if (w != nullptr) pack.store(w + i, p_i);",
    ...{ put: ";", modes: plain, test: optimizer },
  },
  {
    bug: "dropout: what is kept is not scaled",
    file: "common/dropout.h",
    ...{ find: "65536.0f / (float)(65536 - dropped)", put: "1.0f", isExpression: true },
    ...{ modes: plain, test: ["ops/dropout_test.ts"] },
  },
  {
    bug: "dropout: eight elements share the bits of four",
    ...{ file: "cuda/dropout.cu", find: "first + j", put: "j", isExpression: true },
    ...{ modes: plain, test: ["ops/dropout_test.ts"] },
  },
];
