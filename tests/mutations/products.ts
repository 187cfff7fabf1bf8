/** Bugs in matrix products and mixtures of experts. @module */
import type { Mode, Mutation } from "./mutation.ts";

const GEMM = "cuda/gemm.cu";
const TILES = "cuda/tile_product.h";
const PLAIN = "cuda/plain_product.h";
const plain: readonly Mode[] = ["plain", "race", "asan"];
const race: readonly Mode[] = ["race", "plain"];
const layouts = ["ops/gemm_test.ts", "every layout"] as const;
const biased = ["ops/linear_test.ts", "adds its bias"] as const;
const unaided = ["ops/linear_test.ts", "without a kernel"] as const;
const tf32 = ["ops/linear_test.ts", "exact until tf32"] as const;
const experts = ["ops/moe_test.ts", "moeGemm matches"] as const;
const large = ["ops/moe_test.ts", "more rows"] as const;
const combine = ["ops/moe_test.ts", "moeCombine"] as const;

/** Bugs, the ones that only a detector finds among them. */
export const PRODUCTS: Mutation[] = [
  {
    bug: "cuBLASLt: transposes not swapped with the operands",
    ...{ file: GEMM, find: "CUBLASLT_MATMUL_DESC_TRANSA, transposition(p.trans_b)" },
    ...{ change: "p.trans_b", put: "p.trans_a", isExpression: true, modes: plain, test: layouts },
  },
  {
    bug: "cuBLASLt: wrong leading dimension",
    ...{ file: GEMM, find: "p.ldb, p.batch, p.batch_b", change: "p.ldb", put: "p.lda" },
    ...{ isExpression: true, modes: plain, test: layouts },
  },
  {
    bug: "cuBLASLt: wrong stride between matrices",
    ...{ file: GEMM, find: "p.ldb, p.batch, p.batch_b", change: "p.batch_b", put: "p.batch_a" },
    ...{ isExpression: true, modes: plain, test: ["ops/gemm_test.ts", "of a batch"] },
  },
  {
    bug: "cuBLASLt: beta in the place of alpha",
    ...{ file: GEMM, find: "plan.matmul.get(), &product.alpha", change: "&product.alpha" },
    ...{ put: "&product.beta", isExpression: true, modes: plain, test: layouts },
  },
  {
    bug: "cuBLASLt: alpha in the place of beta",
    ...{ file: GEMM, find: "plan.second.get(), &product.beta", change: "&product.beta" },
    ...{ put: "&product.alpha", isExpression: true, modes: plain, test: layouts },
  },
  {
    bug: "cuBLASLt: the epilogue of the bias left off",
    file: GEMM,
    find: "set(matmul, CUBLASLT_MATMUL_DESC_EPILOGUE, (uint32_t)CUBLASLT_EPILOGUE_BIAS);",
    ...{ put: ";", modes: plain, test: biased },
  },
  {
    bug: "cuBLASLt: a bias of another type, which it has no kernel for",
    ...{ file: GEMM, find: "DESC_BIAS_DATA_TYPE, (int32_t)type_of(p.out_dtype)" },
    ...{ change: "type_of(p.out_dtype)", put: "CUDA_R_32F", isExpression: true },
    ...{ modes: plain, test: unaided },
  },
  {
    bug: "cuBLASLt: the bias of the product that the plan was made for",
    file: GEMM,
    find: "if (product.has_bias) set(plan.matmul.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);",
    ...{ put: ";", modes: plain, test: tf32 },
  },
  {
    bug: "cuBLASLt: plans do not depend on the alignment of the bias",
    ...{ file: GEMM, find: "alignment_of(C), alignment_of(bias)}", change: "alignment_of(bias)" },
    ...{ put: "16u", isExpression: true, modes: plain, test: unaided },
  },
  {
    bug: "cuBLASLt: plans of the arithmetic before are kept",
    ...{ file: GEMM, find: "gemm.plans.clear(); // they are of the other arithmetic" },
    ...{ put: ";", modes: plain, test: tf32 },
  },
  {
    bug: "cuBLASLt: tf32 for products of bf16 and f16 too",
    ...{
      file: GEMM,
      find: "p.in_dtype == LP_F32 ? arithmetic_of_f32",
      change: "p.in_dtype == LP_F32",
    },
    ...{ put: "true", isExpression: true, modes: plain, test: unaided },
  },
  {
    bug: "own product: no bias",
    ...{ file: "cuda/gemm_plain.cu", find: "bias == nullptr ? 0.0f : to_float(bias[n])" },
    ...{ put: "0.0f", isExpression: true, modes: plain, test: biased },
  },
  {
    bug: "own product: the bias runs along the rows",
    ...{ file: "cuda/gemm_plain.cu", find: "bias == nullptr ? 0.0f : to_float(bias[n])" },
    ...{ put: "bias == nullptr ? 0.0f : to_float(bias[m])", isExpression: true, modes: plain },
    test: biased,
  },
  {
    bug: "own product: 0 times what C held counts",
    ...{ file: "cuda/gemm_plain.cu", find: "s.beta == 0 ? 0.0f : s.beta * to_float(*to)" },
    ...{ put: "s.beta * to_float(*to)", isExpression: true, modes: plain },
    test: ["ops/gemm_test.ts", "every layout"],
  },
  {
    bug: "plain tile: overwritten while others read it",
    ...{ file: PLAIN, find: "__syncthreads(); // all have read what the next part overwrites" },
    ...{ put: ";", modes: race, test: experts },
  },
  {
    bug: "plain tile: read before it is written",
    file: PLAIN,
    find: "    __syncthreads();\n#pragma unroll\n    for (int k = 0; k < kPlainInner; k++)",
    ...{ change: "__syncthreads();", put: ";", modes: race, test: experts },
  },
  {
    bug: "plain tile: no zeros beyond the last row",
    ...{ file: PLAIN, find: "has_a ? a(row + m, first + k_a) : 0.0f" },
    ...{ put: "a(row + m, first + k_a)", isExpression: true, modes: plain, test: experts },
  },
  {
    bug: "experts: waits for one group of copies too few",
    ...{ file: TILES, find: "async_wait<kStages - 2>();", put: "async_wait<kStages - 1>();" },
    ...{ modes: race, test: large },
  },
  {
    bug: "experts: no barrier before a stage is filled again",
    file: TILES,
    find:
      "__syncthreads(); // everyone's copies of this step are there, and the step before is read",
    ...{ put: ";", modes: race, test: large },
  },
  {
    bug: "experts: wrong register of the right fragment",
    ...{ file: TILES, find: "b[j][1] = both[1]", change: "both[1]", put: "both[2]" },
    ...{ isExpression: true, modes: plain, test: experts },
  },
  {
    bug: "experts: no swizzle (slow, not wrong)",
    ...{ file: TILES, find: "along ? line / 2 % 4 : line % 8", put: "0", isExpression: true },
    ...{ modes: ["plain"], test: ["ops/moe_test.ts", "bank conflicts"] },
  },
  {
    bug: "experts: no zeros outside of an operand",
    ...{ file: TILES, find: "async_copy16(place, source, is_inside)", change: "is_inside" },
    ...{ put: "true", isExpression: true, modes: plain, test: experts },
  },
  {
    bug: "experts: rows read before the warp has written them",
    file: "cuda/moe_gemm.cu",
    find: "    __syncwarp();\n#pragma unroll\n    for (int part = 0",
    ...{ change: "__syncwarp();", put: ";", modes: race, test: experts },
  },
  {
    bug: "experts: the last rows of an expert are no tile",
    ...{ file: "cuda/moe_gemm.cu", find: "(end - begin + rows - 1) / rows" },
    ...{ put: "(end - begin) / rows", isExpression: true, modes: plain, test: experts },
  },
  {
    bug: "experts: no end of the last one",
    ...{ file: "cuda/moe.cu", find: "i == R ? E : key[i]", put: "i == R ? E - 1 : key[i]" },
    ...{ isExpression: true, modes: plain, test: ["ops/moe_test.ts", "moeSort"] },
  },
  {
    bug: "experts: outputs are not weighted",
    ...{ file: "cuda/moe.cu", find: "weight == nullptr ? 1.0f : weight[first + j]" },
    ...{ put: "1.0f", isExpression: true, modes: plain, test: combine },
  },
  {
    bug: "experts: sums of the next one written while others read those of this one",
    ...{ file: "cuda/moe.cu", find: "shared[j % 2]", put: "shared[0]", isExpression: true },
    ...{ modes: race, test: combine },
  },
  {
    bug: "routing: of equal experts the last",
    ...{ file: "common/moe.h", find: "p[e] > p[best]", put: "p[e] >= p[best]" },
    ...{ isExpression: true, modes: plain, test: ["ops/moe_test.ts", "equally"] },
  },
];
