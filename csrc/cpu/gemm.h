// The product behind lp_gemm, for ops that need one on the way.
#ifndef LLMPIPE_CPU_GEMM_H
#define LLMPIPE_CPU_GEMM_H

#include "cpu/context.h"

namespace lp {

// Arguments of lp_gemm, apart from the addresses. Used as a key: all bytes count.
struct Product {
  int32_t rows, cols, inner;
  int32_t lda, ldb, ldc;
  int32_t trans_a, trans_b;
  int32_t batch;
  lp_dtype in_dtype, out_dtype;
  float alpha, beta;
  uint32_t unused = 0;
  uint64_t batch_a, batch_b, batch_c;

  bool operator==(const Product &other) const;
};

// C = alpha op(A) op(B) + beta C. All sizes >= 1, pointers not null.
void multiply(lp_ctx *ctx, const Product &product, const void *A, const void *B, void *C);

// The ways to do it. gemv.cpp: streams the weights once; false, and nothing was done, unless A has
// few rows, B is stored [cols, inner] and there is no batch.
bool multiply_few_rows(const Product &product, const void *A, const void *B, void *C);
// gemm_tiles.cpp: takes every product.
void multiply_tiles(lp_ctx *ctx, const Product &product, const void *A, const void *B, void *C);

} // namespace lp
#endif
