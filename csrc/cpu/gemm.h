// The product behind lp_gemm and lp_linear_forward, for ops that need one on the way.
#ifndef LLMPIPE_CPU_GEMM_H
#define LLMPIPE_CPU_GEMM_H

#include "common/product.h"
#include "cpu/context.h"

namespace lp {

// C = alpha op(A) op(B) + beta C + bias. All sizes >= 1, pointers not null; bias null where the product
// has none.
void multiply(lp_ctx *ctx, const Product &product, const void *A, const void *B, void *C,
              const void *bias = nullptr);

// The ways to do it. gemv.cpp: streams the weights once; false, and nothing was done, unless A has
// few rows, B is stored [cols, inner] and there is no batch.
bool multiply_few_rows(const Product &product, const void *A, const void *B, void *C,
                       const void *bias);
// gemm_tiles.cpp: takes every product.
void multiply_tiles(lp_ctx *ctx, const Product &product, const void *A, const void *B, void *C,
                    const void *bias);

} // namespace lp
#endif
