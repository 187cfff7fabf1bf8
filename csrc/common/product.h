// The arguments of lp_gemm and lp_linear_forward, and what they must satisfy on every backend.
#ifndef LLMPIPE_COMMON_PRODUCT_H
#define LLMPIPE_COMMON_PRODUCT_H

#include <string.h>

#include <functional>
#include <string_view>

#include "common/guard.h"

namespace lp {

// C = alpha op(A) op(B) + beta C + bias, apart from the addresses. Used as a key: all bytes count.
struct Product {
  int32_t rows, cols, inner;
  int32_t lda, ldb, ldc;
  int32_t trans_a, trans_b;
  int32_t batch;
  lp_dtype in_dtype, out_dtype;
  float alpha, beta;
  int32_t has_bias = 0; // [cols] of out_dtype, for every row of C; only where alpha is 1, beta 0
  uint64_t batch_a, batch_b, batch_c;

  bool operator==(const Product &other) const { return memcmp(this, &other, sizeof other) == 0; }
};

// Of a key that is its bytes.
template <class Key> struct HashBytes {
  size_t operator()(const Key &key) const {
    return std::hash<std::string_view>()(
        std::string_view(reinterpret_cast<const char *>(&key), sizeof key));
  }
};

// Of lp_products_select.
enum : int32_t { kExactProducts = 0, kTf32Products = 1 };
inline void check_arithmetic(int32_t arithmetic) {
  LP_CHECK(arithmetic == kExactProducts || arithmetic == kTf32Products,
           "arithmetic must be 0 (exact) or 1 (tf32), found %d", arithmetic);
}

// LP_EINVAL for what the documentation of lp_gemm excludes.
inline void check(const Product &p) {
  LP_CHECK(p.rows >= 0 && p.cols >= 0 && p.inner >= 0 && p.batch >= 0,
           "rows, cols, inner and batch must be >= 0, found %d, %d, %d, %d", p.rows, p.cols,
           p.inner, p.batch);
  LP_CHECK(p.trans_a == 0 || p.trans_a == 1, "trans_a must be 0 or 1, found %d", p.trans_a);
  LP_CHECK(p.trans_b == 0 || p.trans_b == 1, "trans_b must be 0 or 1, found %d", p.trans_b);
  const int width_a = p.trans_a ? p.rows : p.inner, width_b = p.trans_b ? p.inner : p.cols;
  LP_CHECK(p.lda >= width_a, "lda must be >= %d, found %d", width_a, p.lda);
  LP_CHECK(p.ldb >= width_b, "ldb must be >= %d, found %d", width_b, p.ldb);
  LP_CHECK(p.ldc >= p.cols, "ldc must be >= %d, found %d", p.cols, p.ldc);
  const bool known = p.in_dtype == LP_F32 || p.in_dtype == LP_BF16 || p.in_dtype == LP_F16;
  LP_CHECK(known && (p.out_dtype == p.in_dtype || p.out_dtype == LP_F32),
           "in_dtype and out_dtype must be equal, or out_dtype f32; found %d and %d", p.in_dtype,
           p.out_dtype);
  const uint64_t matrix_c = p.rows == 0 ? 0 : (uint64_t)(p.rows - 1) * (uint64_t)p.ldc + p.cols;
  LP_CHECK(p.batch <= 1 || p.batch_c >= matrix_c, "batch_c must be >= %llu, found %llu",
           (unsigned long long)matrix_c, (unsigned long long)p.batch_c);
}

// y [N, F] = x [N, D] w [F, D]^T, plus a bias if there is one.
inline Product linear_product(int32_t N, int32_t D, int32_t F, lp_dtype dtype, bool has_bias) {
  LP_CHECK(N >= 0 && F >= 0, "N and F must be >= 0, found %d and %d", N, F);
  LP_CHECK(D >= 1, "D must be >= 1, found %d", D);
  const Product product{N, F, D, D, D, F, 0, 1, 1, dtype, dtype, 1, 0, has_bias, 0, 0, 0};
  check(product);
  return product;
}

} // namespace lp
#endif
