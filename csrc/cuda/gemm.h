// The product behind lp_gemm and lp_linear_forward, and its two ways.
#ifndef LLMPIPE_CUDA_GEMM_H
#define LLMPIPE_CUDA_GEMM_H

#include "common/product.h"
#include "cuda/context.h"

namespace lp {

// C = alpha op(A) op(B) + beta C + bias on the current stream. All sizes >= 1, pointers not null; bias
// null where the product has none.
void multiply(lp_ctx *ctx, const Product &product, const void *A, const void *B, void *C,
              const void *bias = nullptr);

// The ways to do it. gemm.cu: false, and nothing was done, where cuBLASLt has no kernel.
bool multiply_by_cublaslt(lp_ctx *ctx, const Product &product, const void *A, const void *B,
                          void *C, const void *bias);
// gemm_plain.cu: takes every product, in f32 whatever was selected, and nothing but beta C when inner
// is 0.
void multiply_by_kernel(lp_ctx *ctx, const Product &product, const void *A, const void *B, void *C,
                        const void *bias);

} // namespace lp
#endif
