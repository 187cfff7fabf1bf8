// What ops require of their sizes and options, and of the numbers they are given: one sentence for
// every backend.
#ifndef LLMPIPE_COMMON_CHECKS_H
#define LLMPIPE_COMMON_CHECKS_H

#include "common/guard.h"

namespace lp {

inline void check_rows(int32_t N) { LP_CHECK(N >= 0, "N must be >= 0, found %d", N); }

inline void check_norm(int32_t N, int32_t D, float eps) {
  check_rows(N);
  LP_CHECK(D >= 0, "D must be >= 0, found %d", D);
  LP_CHECK(eps > 0, "eps must be > 0, found %g", (double)eps);
}

inline void check_bias(int32_t N, int32_t F) {
  check_rows(N);
  LP_CHECK(F >= 0, "F must be >= 0, found %d", F);
}

inline void check_swiglu(int32_t N, int32_t F) {
  check_rows(N);
  LP_CHECK(F >= 0 && F <= INT32_MAX / 2, "F must be in 0..2^30 - 1, found %d", F);
}

inline void check_copy_rows(int32_t rows) {
  LP_CHECK(rows >= 0, "rows must be >= 0, found %d", rows);
}

inline void check_rope_table(int32_t positions, int32_t half_R) {
  LP_CHECK(positions >= 0, "positions must be >= 0, found %d", positions);
  LP_CHECK(half_R >= 0, "half_R must be >= 0, found %d", half_R);
}

inline void check_rope(int32_t N, int32_t heads, int32_t K, int32_t R, int32_t row_stride,
                       int32_t layout, int32_t direction) {
  LP_CHECK(N >= 0 && heads >= 0 && K >= 0, "N, heads and K must be >= 0, found %d, %d, %d", N,
           heads, K);
  LP_CHECK(R >= 0 && R % 2 == 0 && R <= K, "R must be even and in 0..K = %d, found %d", K, R);
  LP_CHECK(row_stride >= (int64_t)heads * K, "row_stride must be >= heads * K = %lld, found %d",
           (long long)heads * K, row_stride);
  LP_CHECK(layout == 0 || layout == 1, "layout must be 0 or 1, found %d", layout);
  LP_CHECK(direction == 1 || direction == -1, "direction must be 1 or -1, found %d", direction);
}

inline void check_embedding(int32_t N, int32_t D, int32_t V) {
  LP_CHECK(N >= 0 && D >= 0 && V >= 0, "N, D and V must be >= 0, found %d, %d, %d", N, D, V);
}

inline void check_cross_entropy(const void *x, const void *dx, int32_t N, int32_t V,
                                lp_dtype in_dtype, lp_dtype out_dtype) {
  LP_CHECK(N >= 0 && V >= 0, "N and V must be >= 0, found %d and %d", N, V);
  LP_CHECK(x != dx || in_dtype == out_dtype,
           "in_dtype and out_dtype must be equal where dx is x, found %d and %d", in_dtype,
           out_dtype);
}

inline void check_corrections(float correction1, float correction2) {
  LP_CHECK(correction1 > 0, "correction1 must be > 0, found %g", (double)correction1);
  LP_CHECK(correction2 > 0, "correction2 must be > 0, found %g", (double)correction2);
}

constexpr int kMostExperts = 1024;

inline void check_moe_route(int32_t N, int32_t E, int32_t top) {
  check_rows(N);
  LP_CHECK(E >= 1 && E <= kMostExperts, "E must be in 1..%d, found %d", kMostExperts, E);
  LP_CHECK(top >= 1 && top <= E, "top must be in 1..E with E = %d, found %d", E, top);
  LP_CHECK(N <= INT32_MAX / top, "N * top must be below 2^31, found %d * %d", N, top);
}

inline void check_moe_rows(int32_t N, int32_t D, int32_t top) {
  LP_CHECK(D >= 0, "D must be >= 0, found %d", D);
  LP_CHECK(top >= 1 && top <= kMostExperts, "top must be in 1..%d, found %d", kMostExperts, top);
  LP_CHECK(N >= 0 && N <= INT32_MAX / top, "N must be in 0..2^31 / top, found %d", N);
}

inline void check_moe_product(int32_t R, int32_t a, int32_t b, int32_t E) {
  LP_CHECK(R >= 0 && a >= 0 && b >= 0, "R and the widths must be >= 0, found %d, %d, %d", R, a, b);
  LP_CHECK(E >= 1 && E <= kMostExperts, "E must be in 1..%d, found %d", kMostExperts, E);
}

inline void check_dropout(float p) {
  LP_CHECK(p >= 0 && p < 1, "the probability of dropout must be in [0, 1), found %g", (double)p);
}

inline void check_int8_block(int32_t block) {
  LP_CHECK(block >= 1, "block must be >= 1, found %d", block);
}

constexpr int32_t kMostSampled = 1 << 23; // logits: the sum of weights stays below 2^64

inline void check_sample(int32_t N, int32_t V, float temperature, int32_t top_k, float top_p) {
  check_rows(N);
  LP_CHECK(V >= 0 && V <= kMostSampled, "V must be in 0..%d, found %d", kMostSampled, V);
  LP_CHECK(temperature >= 0, "temperature must be >= 0, found %g", (double)temperature);
  LP_CHECK(top_k >= 0, "top_k must be >= 0, found %d", top_k);
  LP_CHECK(top_p > 0 && top_p <= 1, "top_p must be in (0, 1], found %g", (double)top_p);
}

// Numbers in memory: checked as they are read. On a device the sentence waits for the next call
// that synchronizes.
inline std::string wrong_number(const char *format, int32_t limit, int32_t found, int32_t row) {
  char text[128];
  snprintf(text, sizeof text, format, limit, found, row);
  return text;
}
inline std::string wrong_id(int32_t V, int32_t found, int32_t row) {
  return wrong_number("id must be in 0..V-1 with V = %d, found %d in row %d", V, found, row);
}
inline std::string wrong_position(int32_t positions, int32_t found, int32_t row) {
  return wrong_number("position must be in 0..%d, found %d in row %d", positions - 1, found, row);
}
inline std::string wrong_target(int32_t V, int32_t found, int32_t row) {
  return wrong_number("target must be < V = %d, found %d in row %d", V, found, row);
}

} // namespace lp
#endif
