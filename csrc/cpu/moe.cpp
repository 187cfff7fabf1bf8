// Mixture of experts: routing, rows by expert, products by expert. Formulas: common/moe.h
#include "common/moe.h"

#include <string.h>

#include <algorithm>

#include "common/checks.h"
#include "cpu/gemm.h"
#include "cpu/lanes.h"
#include "cpu/row_sums.h"

namespace lp {

namespace {
template <class T>
void route(const T *x, float *p, int32_t *expert, float *weight, int N, int E, int top) {
#pragma omp parallel for schedule(static) if ((size_t)N * E > kSerial)
  for (int n = 0; n < N; n++) {
    const size_t at = (size_t)n * E, first = (size_t)n * top;
    route_softmax(E, [&](int e) { return to_float(x[at + e]); }, p + at);
    route_choose(E, top, p + at, expert + first, weight + first);
  }
}

void count(lp_ctx *ctx, const int32_t *counted, const float *p, const int32_t *expert,
           float *statistics, int N, int E, int top) {
  std::fill(statistics, statistics + 2 * E, 0.0f);
  sum_over_rows<2>(ctx, N, E, {statistics, statistics + E}, [&](int n, float *sums) {
    if (counted && counted[n] == 0) return;
    for (int j = 0; j < top; j++) sums[expert[(size_t)n * top + j]] += 1;
    for (int e = 0; e < E; e++) sums[E + e] += p[(size_t)n * E + e];
  });
}

void sort(const int32_t *expert, int32_t *offset, int32_t *slot, int pairs, int E) {
  int32_t next[kMostExperts] = {};
  for (int i = 0; i < pairs; i++) {
    LP_CHECK(expert[i] >= 0 && expert[i] < E, "expert must be in 0..E-1 with E = %d, found %d", E,
             expert[i]);
    next[expert[i]]++;
  }
  offset[0] = 0;
  for (int e = 0; e < E; e++) {
    offset[e + 1] = offset[e] + next[e];
    next[e] = offset[e];
  }
  for (int i = 0; i < pairs; i++) slot[i] = next[expert[i]]++;
}

template <class T>
void combine(const T *x, const int32_t *slot, const float *weight, T *y, int N, int D, int top,
             bool accumulate) {
#pragma omp parallel for schedule(static) if ((size_t)N * top * D > kSerial)
  for (int n = 0; n < N; n++) {
    const size_t first = (size_t)n * top;
    T *to = y + (size_t)n * D;
    for_lanes(D, [&](int d, auto lanes) {
      vf sum = accumulate ? lanes.load(to + d) : vf{};
      for (int j = 0; j < top; j++) {
        const vf row = lanes.load(x + (size_t)slot[first + j] * D + d);
        sum += weight ? weight[first + j] * row : row;
      }
      lanes.store(to + d, sum);
    });
  }
}

template <class T>
void combine_backward(const T *dy, const T *x, const int32_t *slot, const float *weight, T *dx,
                      float *dweight, int N, int D, int top) {
#pragma omp parallel for schedule(static) if ((size_t)N * top * D > kSerial)
  for (int n = 0; n < N; n++) {
    const T *from = dy + (size_t)n * D;
    for (int j = 0; j < top; j++) {
      const size_t pair = (size_t)n * top + j, row = (size_t)slot[pair] * D;
      vf dot = {};
      for_lanes(D, [&](int d, auto lanes) {
        const vf g = lanes.load(from + d);
        dot += g * lanes.load(x + row + d);
        lanes.store(dx + row + d, weight[pair] * g);
      });
      dweight[pair] = sum(dot);
    }
  }
}

void check_offset(const int32_t *offset, int32_t R, int32_t E) {
  LP_CHECK(offset[0] == 0 && offset[E] == R, "offset must go from 0 to R = %d, found %d to %d", R,
           offset[0], offset[E]);
  for (int e = 0; e < E; e++)
    LP_CHECK(offset[e] <= offset[e + 1], "offset must not fall, found %d after %d", offset[e + 1],
             offset[e]);
}

// Element `count` of a matrix of elements of `bytes`.
const void *at(const void *base, size_t count, size_t bytes) {
  return static_cast<const char *>(base) + count * bytes;
}
} // namespace

} // namespace lp

using namespace lp;

lp_status lp_moe_route_forward(lp_ctx *ctx, const void *x, const int32_t *counted, float *p,
                               int32_t *expert, float *weight, float *statistics, int32_t N,
                               int32_t E, int32_t top, lp_dtype dtype) {
  return guard(ctx, "moe_route_forward", [&] {
    check_moe_route(N, E, top);
    with_type(dtype, [&](auto type) {
      if (N == 0) return;
      LP_CHECK_POINTERS(x, p, expert, weight);
      route(static_cast<const decltype(type) *>(x), p, expert, weight, N, E, top);
      if (statistics) count(ctx, counted, p, expert, statistics, N, E, top);
    });
  });
}

lp_status lp_moe_route_backward(lp_ctx *ctx, const float *dweight, const float *p,
                                const int32_t *expert, const float *weight, const int32_t *counted,
                                const float *balance, void *dx, float balance_scale, int32_t N,
                                int32_t E, int32_t top, lp_dtype dtype) {
  return guard(ctx, "moe_route_backward", [&] {
    check_moe_route(N, E, top);
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (N == 0) return;
      LP_CHECK_POINTERS(dweight, p, expert, weight, dx);
      T *out = static_cast<T *>(dx);
#pragma omp parallel for schedule(static) if ((size_t)N * E > kSerial)
      for (int32_t n = 0; n < N; n++) {
        const size_t first = (size_t)n * top, row = (size_t)n * E;
        const bool counts = counted == nullptr || counted[n] != 0;
        float sums[kMostExperts];
        route_backward(dweight + first, p + row, expert + first, weight + first,
                           counts ? balance : nullptr, balance_scale, sums, E, top);
        store_row(sums, out + row, (size_t)E);
      }
    });
  });
}

lp_status lp_moe_sort(lp_ctx *ctx, const int32_t *expert, int32_t *offset, int32_t *slot, int32_t N,
                      int32_t E, int32_t top) {
  return guard(ctx, "moe_sort", [&] {
    check_moe_route(N, E, top);
    if (N == 0) return;
    LP_CHECK_POINTERS(expert, offset, slot);
    sort(expert, offset, slot, N * top, E);
  });
}

lp_status lp_moe_gather(lp_ctx *ctx, const void *x, const int32_t *slot, void *y, int32_t N,
                        int32_t D, int32_t top, lp_dtype dtype) {
  return guard(ctx, "moe_gather", [&] {
    check_moe_rows(N, D, top);
    const size_t bytes = (size_t)D * bytes_of(dtype);
    if (N == 0 || D == 0) return;
    LP_CHECK_POINTERS(x, slot, y);
#pragma omp parallel for schedule(static) if ((size_t)N * top * D > kSerial)
    for (int32_t n = 0; n < N; n++)
      for (int32_t j = 0; j < top; j++)
        memcpy(static_cast<char *>(y) + (size_t)slot[(size_t)n * top + j] * bytes,
               static_cast<const char *>(x) + (size_t)n * bytes, bytes);
  });
}

lp_status lp_moe_combine_forward(lp_ctx *ctx, const void *x, const int32_t *slot,
                                 const float *weight, void *y, int32_t N, int32_t D, int32_t top,
                                 int32_t accumulate, lp_dtype dtype) {
  return guard(ctx, "moe_combine_forward", [&] {
    check_moe_rows(N, D, top);
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (N == 0 || D == 0) return;
      LP_CHECK_POINTERS(x, slot, y);
      combine(static_cast<const T *>(x), slot, weight, static_cast<T *>(y), N, D, top,
              accumulate != 0);
    });
  });
}

lp_status lp_moe_combine_backward(lp_ctx *ctx, const void *dy, const void *x, const int32_t *slot,
                                  const float *weight, void *dx, float *dweight, int32_t N,
                                  int32_t D, int32_t top, lp_dtype dtype) {
  return guard(ctx, "moe_combine_backward", [&] {
    check_moe_rows(N, D, top);
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (N == 0) return;
      LP_CHECK_POINTERS(dy, x, slot, weight, dx, dweight);
      combine_backward(static_cast<const T *>(dy), static_cast<const T *>(x), slot, weight,
                       static_cast<T *>(dx), dweight, N, D, top);
    });
  });
}

lp_status lp_moe_gemm(lp_ctx *ctx, const void *A, const void *B, void *C, const int32_t *offset,
                      int32_t R, int32_t cols, int32_t inner, int32_t E, int32_t trans_b,
                      lp_dtype dtype) {
  return guard_measured(ctx, "moe_gemm", [&] {
    check_moe_product(R, cols, inner, E);
    LP_CHECK(trans_b == 0 || trans_b == 1, "trans_b must be 0 or 1, found %d", trans_b);
    const size_t bytes = bytes_of(dtype);
    if (R == 0 || cols == 0) return;
    LP_CHECK(inner >= 1, "inner must be >= 1, found %d", inner);
    LP_CHECK_POINTERS(A, B, C, offset);
    const auto product = [&](int32_t rows) {
      return Product{rows, cols, inner, inner, trans_b ? inner : cols, cols, 0, trans_b, 1,
                     dtype, dtype, 1, 0, 0, 0, 0, 0};
    };
    if (ctx->held.only_measures) return multiply(ctx, product(R), A, B, C); // all rows to one expert
    check_offset(offset, R, E);
    for (int32_t e = 0; e < E; e++) {
      const size_t first = (size_t)offset[e];
      const int32_t rows = offset[e + 1] - offset[e];
      if (rows == 0) continue;
      multiply(ctx, product(rows), at(A, first * inner, bytes),
               at(B, (size_t)e * cols * inner, bytes),
               const_cast<void *>(at(C, first * cols, bytes)));
    }
  });
}

lp_status lp_moe_gemm_weight(lp_ctx *ctx, const void *A, const void *B, float *C,
                             const int32_t *offset, int32_t R, int32_t rows, int32_t cols,
                             int32_t E, lp_dtype dtype) {
  return guard_measured(ctx, "moe_gemm_weight", [&] {
    check_moe_product(R, rows, cols, E);
    const size_t bytes = bytes_of(dtype);
    if (R == 0 || rows == 0 || cols == 0) return;
    LP_CHECK_POINTERS(A, B, C, offset);
    const auto product = [&](int32_t count) {
      return Product{rows, cols, count, rows, cols, cols, 1, 0, 1, dtype, LP_F32, 1, 1, 0, 0, 0, 0};
    };
    if (ctx->held.only_measures) return multiply(ctx, product(R), A, B, C); // all rows to one expert
    check_offset(offset, R, E);
    for (int32_t e = 0; e < E; e++) {
      const size_t first = (size_t)offset[e];
      const int32_t count = offset[e + 1] - offset[e];
      if (count == 0) continue;
      multiply(ctx, product(count), at(A, first * rows, bytes), at(B, first * cols, bytes),
               C + (size_t)e * rows * cols);
    }
  });
}
