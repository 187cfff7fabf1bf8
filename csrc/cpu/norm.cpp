// RMSNorm and LayerNorm. Formulas: common/norm.h
//
// A thread walks whole rows; a row fits in its first-level cache, so it is read from memory once.
// Gradients of w and b are summed per block of rows (RowBlocks), then over the blocks in order.
#include "common/norm.h"

#include "common/checks.h"
#include "cpu/context.h"
#include "cpu/lanes.h"
#include "cpu/row_sums.h"

namespace lp {

namespace {
// What a forward normalises: the row x, or sum = x + residual as the storage type holds it.
template <class T> struct Source {
  const T *x, *residual;
  T *sum;
  const T *row() const { return residual == nullptr ? x : sum; }
  template <class Lanes> vf take(int d, Lanes lanes) const {
    const vf v = lanes.load(x + d);
    if (residual == nullptr) return v;
    const vf s = rounded<T>(v + lanes.load(residual + d));
    lanes.store(sum + d, s);
    return s;
  }
};

// Calls row(n, source) for each row n.
template <class T, class Row>
void for_sources(const void *x, const void *residual, void *sum, int N, int D, Row row) {
#pragma omp parallel for schedule(static) if ((size_t)N * D > kSerial)
  for (int n = 0; n < N; n++) {
    const size_t at = (size_t)n * D;
    Source<T> source{static_cast<const T *>(x) + at, nullptr, nullptr};
    if (residual != nullptr) {
      source.residual = static_cast<const T *>(residual) + at;
      source.sum = static_cast<T *>(sum) + at;
    }
    row(n, source);
  }
}

template <class T> float rms_forward_row(Source<T> source, const T *w, T *y, int D, float eps) {
  vf squares = {};
  for_lanes(D, [&](int d, auto lanes) {
    const vf v = source.take(d, lanes);
    squares += v * v;
  });
  const T *x = source.row();
  const float r = reciprocal_root(sum(squares) / (float)D, eps);
  for_lanes(D, [&](int d, auto lanes) {
    lanes.store(y + d, rounded<T>(lanes.load(x + d) * r) * lanes.load(w + d));
  });
  return r;
}

template <class T>
void rms_backward_row(const T *dy, const T *x, const T *w, float r, const T *before, T *dx,
                      float *dw, int D) {
  vf sum_gx = {};
  for_lanes(D, [&](int d, auto lanes) {
    const vf g = lanes.load(dy + d), v = lanes.load(x + d);
    sum_gx += g * lanes.load(w + d) * v;
    lanes.store(dw + d, lanes.load(dw + d) + g * (v * r));
  });
  const float mean_gx = sum(sum_gx) / (float)D;
  for_lanes(D, [&](int d, auto lanes) {
    const vf earlier = before != nullptr ? lanes.load(before + d) : vf{};
    const vf g = lanes.load(dy + d) * lanes.load(w + d);
    lanes.store(dx + d, earlier + rms_dx(g, lanes.load(x + d), r, mean_gx));
  });
}

template <class T>
void layer_forward_row(Source<T> source, const T *w, const T *b, T *y, float *mean_out,
                       float *r_out, int D, float eps) {
  vf values = {}, squares = {};
  for_lanes(D, [&](int d, auto lanes) { values += source.take(d, lanes); });
  const T *x = source.row();
  const float mean = sum(values) / (float)D;
  for_lanes(D, [&](int d, auto lanes) {
    const vf centred = lanes.keep(lanes.load(x + d) - mean);
    squares += centred * centred;
  });
  const float r = reciprocal_root(sum(squares) / (float)D, eps);
  for_lanes(D, [&](int d, auto lanes) {
    const vf xh = (lanes.load(x + d) - mean) * r;
    lanes.store(y + d, xh * lanes.load(w + d) + lanes.load(b + d));
  });
  *mean_out = mean;
  *r_out = r;
}

template <class T>
void layer_backward_row(const T *dy, const T *x, const T *w, float mean, float r, const T *before,
                        T *dx, float *dw, float *db, int D) {
  vf sum_g = {}, sum_gx = {};
  for_lanes(D, [&](int d, auto lanes) {
    const vf dy_d = lanes.load(dy + d), g = dy_d * lanes.load(w + d);
    const vf xh = (lanes.load(x + d) - mean) * r;
    sum_g += g;
    sum_gx += g * xh;
    lanes.store(dw + d, lanes.load(dw + d) + dy_d * xh);
    lanes.store(db + d, lanes.load(db + d) + dy_d);
  });
  const float mean_g = sum(sum_g) / (float)D, mean_gx = sum(sum_gx) / (float)D;
  for_lanes(D, [&](int d, auto lanes) {
    const vf earlier = before != nullptr ? lanes.load(before + d) : vf{};
    const vf g = lanes.load(dy + d) * lanes.load(w + d);
    const vf xh = (lanes.load(x + d) - mean) * r;
    lanes.store(dx + d, earlier + layer_dx(g, xh, r, mean_g, mean_gx));
  });
}
} // namespace

} // namespace lp

using namespace lp;

lp_status lp_rms_norm_forward(lp_ctx *ctx, const void *x, const void *residual, const void *w,
                              void *sum, void *y, float *r, int32_t N, int32_t D, float eps,
                              lp_dtype dtype) {
  return guard(ctx, "rms_norm_forward", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      check_norm(N, D, eps);
      if (N == 0 || D == 0) return;
      LP_CHECK_POINTERS(x, w, y, r);
      if (residual != nullptr) LP_CHECK_POINTERS(sum);
      for_sources<T>(x, residual, sum, N, D, [&](int n, Source<T> source) {
        r[n] = rms_forward_row(source, static_cast<const T *>(w),
                               static_cast<T *>(y) + (size_t)n * D, D, eps);
      });
    });
  });
}

lp_status lp_rms_norm_backward(lp_ctx *ctx, const void *dy, const void *x, const void *w,
                               const float *r, const void *dx_before, void *dx, float *dw,
                               int32_t N, int32_t D, lp_dtype dtype) {
  return guard_measured(ctx, "rms_norm_backward", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      check_norm(N, D, 1);
      if (N == 0 || D == 0) return;
      LP_CHECK_POINTERS(dy, x, w, r, dx);
      const T *before = static_cast<const T *>(dx_before);
      sum_over_rows<1>(ctx, N, D, {dw}, [&](int n, float *sums) {
        const size_t at = (size_t)n * D;
        rms_backward_row(static_cast<const T *>(dy) + at, static_cast<const T *>(x) + at,
                         static_cast<const T *>(w), r[n],
                         before != nullptr ? before + at : nullptr, static_cast<T *>(dx) + at,
                         sums, D);
      });
    });
  });
}

lp_status lp_layer_norm_forward(lp_ctx *ctx, const void *x, const void *residual, const void *w,
                                const void *b, void *sum, void *y, float *mean, float *r,
                                int32_t N, int32_t D, float eps, lp_dtype dtype) {
  return guard(ctx, "layer_norm_forward", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      check_norm(N, D, eps);
      if (N == 0 || D == 0) return;
      LP_CHECK_POINTERS(x, w, b, y, mean, r);
      if (residual != nullptr) LP_CHECK_POINTERS(sum);
      for_sources<T>(x, residual, sum, N, D, [&](int n, Source<T> source) {
        layer_forward_row(source, static_cast<const T *>(w), static_cast<const T *>(b),
                          static_cast<T *>(y) + (size_t)n * D, mean + n, r + n, D, eps);
      });
    });
  });
}

lp_status lp_layer_norm_backward(lp_ctx *ctx, const void *dy, const void *x, const void *w,
                                 const float *mean, const float *r, const void *dx_before,
                                 void *dx, float *dw, float *db, int32_t N, int32_t D,
                                 lp_dtype dtype) {
  return guard_measured(ctx, "layer_norm_backward", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      check_norm(N, D, 1);
      if (N == 0 || D == 0) return;
      LP_CHECK_POINTERS(dy, x, w, mean, r, dx);
      const T *before = static_cast<const T *>(dx_before);
      sum_over_rows<2>(ctx, N, D, {dw, db}, [&](int n, float *sums) {
        const size_t at = (size_t)n * D;
        layer_backward_row(static_cast<const T *>(dy) + at, static_cast<const T *>(x) + at,
                           static_cast<const T *>(w), mean[n], r[n],
                           before != nullptr ? before + at : nullptr, static_cast<T *>(dx) + at,
                           sums, sums + D, D);
      });
    });
  });
}
