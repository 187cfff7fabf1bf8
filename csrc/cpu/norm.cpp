// RMSNorm and LayerNorm. Formulas: common/norm.h
//
// A thread walks whole rows; a row fits in its first-level cache, so it is read from memory once.
// Gradients of w and b are summed per block of rows (RowBlocks), then over the blocks in order.
#include "common/norm.h"

#include "cpu/context.h"
#include "cpu/dtype.h"
#include "cpu/row_sums.h"

namespace lp {

namespace {
void check_sizes(int32_t N, int32_t D, float eps) {
  LP_CHECK(N >= 0, "N must be >= 0, found %d", N);
  LP_CHECK(D >= 0, "D must be >= 0, found %d", D);
  LP_CHECK(eps > 0, "eps must be > 0, found %g", (double)eps);
}

template <class T> float rms_forward_row(const T *x, const T *w, T *y, int D, float eps) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int d = 0; d < D; d++) sum += to_float(x[d]) * to_float(x[d]);
  const float r = reciprocal_root(sum / (float)D, eps);
#pragma omp simd // y is x or overlaps nothing
  for (int d = 0; d < D; d++)
    y[d] = from_float<T>(to_float(from_float<T>(to_float(x[d]) * r)) * to_float(w[d]));
  return r;
}

template <class T>
void rms_backward_row(const T *dy, const T *x, const T *w, float r, T *dx, float *dw, int D,
                      bool accumulate) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int d = 0; d < D; d++) sum += to_float(dy[d]) * to_float(w[d]) * to_float(x[d]);
  const float mean_gx = sum / (float)D;
#pragma omp simd
  for (int d = 0; d < D; d++) dw[d] += to_float(dy[d]) * (to_float(x[d]) * r);
#pragma omp simd // dx is dy or overlaps nothing
  for (int d = 0; d < D; d++) {
    const float v = rms_dx(to_float(dy[d]) * to_float(w[d]), to_float(x[d]), r, mean_gx);
    dx[d] = from_float<T>(accumulate ? to_float(dx[d]) + v : v);
  }
}

template <class T>
void layer_forward_row(const T *x, const T *w, const T *b, T *y, float *mean_out, float *r_out,
                       int D, float eps) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int d = 0; d < D; d++) sum += to_float(x[d]);
  const float mean = sum / (float)D;
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int d = 0; d < D; d++) squares += (to_float(x[d]) - mean) * (to_float(x[d]) - mean);
  const float r = reciprocal_root(squares / (float)D, eps);
#pragma omp simd // y is x or overlaps nothing
  for (int d = 0; d < D; d++)
    y[d] = from_float<T>((to_float(x[d]) - mean) * r * to_float(w[d]) + to_float(b[d]));
  *mean_out = mean;
  *r_out = r;
}

template <class T>
void layer_backward_row(const T *dy, const T *x, const T *w, float mean, float r, T *dx, float *dw,
                        float *db, int D, bool accumulate) {
  float sum_g = 0, sum_gx = 0;
#pragma omp simd reduction(+ : sum_g, sum_gx)
  for (int d = 0; d < D; d++) {
    const float g = to_float(dy[d]) * to_float(w[d]);
    sum_g += g;
    sum_gx += g * ((to_float(x[d]) - mean) * r);
  }
  const float mean_g = sum_g / (float)D, mean_gx = sum_gx / (float)D;
#pragma omp simd
  for (int d = 0; d < D; d++) {
    dw[d] += to_float(dy[d]) * ((to_float(x[d]) - mean) * r);
    db[d] += to_float(dy[d]);
  }
#pragma omp simd // dx is dy or overlaps nothing
  for (int d = 0; d < D; d++) {
    const float xh = (to_float(x[d]) - mean) * r;
    const float v = layer_dx(to_float(dy[d]) * to_float(w[d]), xh, r, mean_g, mean_gx);
    dx[d] = from_float<T>(accumulate ? to_float(dx[d]) + v : v);
  }
}

} // namespace

} // namespace lp

using namespace lp;

lp_status lp_rms_norm_forward(lp_ctx *ctx, const void *x, const void *w, void *y, float *r,
                              int32_t N, int32_t D, float eps, lp_dtype dtype) {
  return guard(ctx, "rms_norm_forward", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      check_sizes(N, D, eps);
      if (N == 0 || D == 0) return;
      LP_CHECK_POINTERS(x, w, y, r);
#pragma omp parallel for schedule(static) if ((size_t)N * D > kSerial)
      for (int32_t n = 0; n < N; n++) {
        const size_t at = (size_t)n * D;
        r[n] = rms_forward_row(static_cast<const T *>(x) + at, static_cast<const T *>(w),
                               static_cast<T *>(y) + at, D, eps);
      }
    });
  });
}

lp_status lp_rms_norm_backward(lp_ctx *ctx, const void *dy, const void *x, const void *w,
                               const float *r, void *dx, float *dw, int32_t N, int32_t D,
                               int32_t accumulate, lp_dtype dtype) {
  return guard(ctx, "rms_norm_backward", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      check_sizes(N, D, 1);
      if (N == 0 || D == 0) return;
      LP_CHECK_POINTERS(dy, x, w, r, dx);
      sum_over_rows<1>(ctx, N, D, {dw}, [&](int n, float *sums) {
        const size_t at = (size_t)n * D;
        rms_backward_row(static_cast<const T *>(dy) + at, static_cast<const T *>(x) + at,
                         static_cast<const T *>(w), r[n], static_cast<T *>(dx) + at, sums, D,
                         accumulate != 0);
      });
    });
  });
}

lp_status lp_layer_norm_forward(lp_ctx *ctx, const void *x, const void *w, const void *b, void *y,
                                float *mean, float *r, int32_t N, int32_t D, float eps,
                                lp_dtype dtype) {
  return guard(ctx, "layer_norm_forward", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      check_sizes(N, D, eps);
      if (N == 0 || D == 0) return;
      LP_CHECK_POINTERS(x, w, b, y, mean, r);
#pragma omp parallel for schedule(static) if ((size_t)N * D > kSerial)
      for (int32_t n = 0; n < N; n++) {
        const size_t at = (size_t)n * D;
        layer_forward_row(static_cast<const T *>(x) + at, static_cast<const T *>(w),
                          static_cast<const T *>(b), static_cast<T *>(y) + at, mean + n, r + n, D,
                          eps);
      }
    });
  });
}

lp_status lp_layer_norm_backward(lp_ctx *ctx, const void *dy, const void *x, const void *w,
                                 const float *mean, const float *r, void *dx, float *dw, float *db,
                                 int32_t N, int32_t D, int32_t accumulate, lp_dtype dtype) {
  return guard(ctx, "layer_norm_backward", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      check_sizes(N, D, 1);
      if (N == 0 || D == 0) return;
      LP_CHECK_POINTERS(dy, x, w, mean, r, dx);
      sum_over_rows<2>(ctx, N, D, {dw, db}, [&](int n, float *sums) {
        const size_t at = (size_t)n * D;
        layer_backward_row(static_cast<const T *>(dy) + at, static_cast<const T *>(x) + at,
                           static_cast<const T *>(w), mean[n], r[n], static_cast<T *>(dx) + at,
                           sums, sums + D, D, accumulate != 0);
      });
    });
  });
}
