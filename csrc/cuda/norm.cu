// RMSNorm and LayerNorm. Formulas: common/norm.h
//
// A block takes a row, or rows one after another in the backward, which then keeps its sums of dw
// and db to itself: each thread those of its own columns, in shared memory. A row is read again
// from the first-level cache rather than kept in registers, so that any width has one kernel.
#include "common/norm.h"

#include "common/checks.h"
#include "cuda/packs.h"
#include "cuda/reduce.h"
#include "cuda/row_sums.h"

namespace lp {

namespace {
// What every device has, less the kernel's own; wider sums stay in the workspace.
constexpr size_t kMostShared = 63 << 10;

// What a forward normalises: x, or sum = x + residual as the storage type holds it. A thread reads
// of the sum what it wrote itself.
template <class T> struct Source {
  const T *x, *residual;
  T *sum;
  GPU_DEV const T *rows() const { return residual == nullptr ? x : sum; }
  template <class Pack, int W> GPU_DEV void take(size_t at, Pack pack, float (&v)[W]) const {
    pack.load(x + at, v);
    if (residual == nullptr) return;
    float add[W];
    pack.load(residual + at, add);
#pragma unroll
    for (int j = 0; j < W; j++) v[j] = to_float(from_float<T>(v[j] + add[j]));
    pack.store(sum + at, v);
  }
};

template <bool aligned, class T>
__global__ void __launch_bounds__(256, 4)
    rms_forward_kernel(Source<T> source, const T *w, T *y, float *r_out, int D, float eps) {
  constexpr int W = kPack<T>;
  GPU_SMEM(float, shared, [1][kMostWarps]);
  const size_t row = (size_t)blockIdx.x * D;
  float squares[1] = {0};
  for_packs<aligned, W>(D, threadIdx.x, blockDim.x, [&](int d, auto pack) {
    float v[W];
    source.take(row + d, pack, v);
#pragma unroll
    for (int j = 0; j < W; j++) squares[0] += v[j] * v[j];
  });
  block_sum(squares, shared);
  const float r = reciprocal_root(squares[0] / (float)D, eps);
  if (threadIdx.x == 0) r_out[blockIdx.x] = r;
  const T *x = source.rows();
  for_packs<aligned, W>(D, threadIdx.x, blockDim.x, [&](int d, auto pack) {
    float v[W], w_d[W];
    pack.load(x + row + d, v);
    pack.load(w + d, w_d);
#pragma unroll
    for (int j = 0; j < W; j++) v[j] = to_float(from_float<T>(v[j] * r)) * w_d[j];
    pack.store(y + row + d, v);
  });
}

template <bool aligned, class T>
__global__ void __launch_bounds__(256, 4)
    layer_forward_kernel(Source<T> source, const T *w, const T *b, T *y, float *mean_out,
                         float *r_out, int D, float eps) {
  constexpr int W = kPack<T>;
  GPU_SMEM(float, shared, [2][1][kMostWarps]);
  const size_t row = (size_t)blockIdx.x * D;
  float values[1] = {0}, squares[1] = {0};
  for_packs<aligned, W>(D, threadIdx.x, blockDim.x, [&](int d, auto pack) {
    float v[W];
    source.take(row + d, pack, v);
#pragma unroll
    for (int j = 0; j < W; j++) values[0] += v[j];
  });
  const T *x = source.rows();
  block_sum(values, shared[0]);
  const float mean = values[0] / (float)D;
  for_packs<aligned, W>(D, threadIdx.x, blockDim.x, [&](int d, auto pack) {
    float v[W];
    pack.load(x + row + d, v);
#pragma unroll
    for (int j = 0; j < W; j++)
      if (j < pack.count) squares[0] += (v[j] - mean) * (v[j] - mean);
  });
  block_sum(squares, shared[1]);
  const float r = reciprocal_root(squares[0] / (float)D, eps);
  if (threadIdx.x == 0) {
    mean_out[blockIdx.x] = mean;
    r_out[blockIdx.x] = r;
  }
  for_packs<aligned, W>(D, threadIdx.x, blockDim.x, [&](int d, auto pack) {
    float v[W], w_d[W], b_d[W];
    pack.load(x + row + d, v);
    pack.load(w + d, w_d);
    pack.load(b + d, b_d);
#pragma unroll
    for (int j = 0; j < W; j++) v[j] = (v[j] - mean) * r * w_d[j] + b_d[j];
    pack.store(y + row + d, v);
  });
}

// Sums of a thread's own columns. Those of one pack lie in quarters of 4 floats, `groups` packs
// apart, so that threads side by side use different banks.
template <int W> struct ColumnSums {
  float *at; // [W/4][groups][4]
  int groups;
  GPU_DEV float *quarter(int group, int j) const {
    return at + ((size_t)j / 4 * groups + group) * 4;
  }
  GPU_DEV void clear(int group) const {
    const float zeros[4] = {};
#pragma unroll
    for (int j = 0; j < W; j += 4) store(quarter(group, j), zeros);
  }
  GPU_DEV void get(int group, float (&x)[W]) const {
#pragma unroll
    for (int j = 0; j < W; j += 4) {
      float sums[4];
      load(quarter(group, j), sums);
#pragma unroll
      for (int i = 0; i < 4; i++) x[j + i] = sums[i];
    }
  }
  GPU_DEV void add(int group, const float (&x)[W]) const {
#pragma unroll
    for (int j = 0; j < W; j += 4) {
      float sums[4];
      load(quarter(group, j), sums);
#pragma unroll
      for (int i = 0; i < 4; i++) sums[i] += x[j + i];
      store(quarter(group, j), sums);
    }
  }
};

// What differs between the two norms, per row and element.
template <class T> struct RmsRow {
  static constexpr int kOut = 1;
  float r, mean_gx;
  GPU_DEV RmsRow(const float *, const float *r, int n) : r(r[n]) {}
  GPU_DEV void add(float dy, float x, float w, float (&row)[2], float (&column)[2]) const {
    row[0] += dy * w * x;
    column[0] = dy * (x * r);
  }
  GPU_DEV void finish(const float (&row)[2], int D) { mean_gx = row[0] / (float)D; }
  GPU_DEV float dx(float dy, float x, float w) const { return rms_dx(dy * w, x, r, mean_gx); }
};

template <class T> struct LayerRow {
  static constexpr int kOut = 2;
  float mean, r, mean_g, mean_gx;
  GPU_DEV LayerRow(const float *mean, const float *r, int n) : mean(mean[n]), r(r[n]) {}
  GPU_DEV void add(float dy, float x, float w, float (&row)[2], float (&column)[2]) const {
    const float xh = (x - mean) * r;
    row[0] += dy * w;
    row[1] += dy * w * xh;
    column[0] = dy * xh;
    column[1] = dy;
  }
  GPU_DEV void finish(const float (&row)[2], int D) {
    mean_g = row[0] / (float)D;
    mean_gx = row[1] / (float)D;
  }
  GPU_DEV float dx(float dy, float x, float w) const {
    return layer_dx(dy * w, (x - mean) * r, r, mean_g, mean_gx);
  }
};

// partial [blocks, kOut, D]: the sums over the rows of each block; sums: memory for them while they
// grow, [blocks, kOut, packs * W], or null for shared memory.
template <bool aligned, class T, class Row>
__global__ void __launch_bounds__(256, 3) // 64 registers would not hold all the addresses
    norm_backward_kernel(const T *dy, const T *x, const T *w, const float *mean, const float *r,
                         const T *before, T *dx, float *partial, float *sums, int N, int D,
                         int rows) {
  constexpr int W = kPack<T>, kOut = Row::kOut;
  GPU_DYN_SMEM(float, dynamic);
  GPU_SMEM(float, shared, [2][2][kMostWarps]);
  const int groups = (D + W - 1) / W;
  float *const memory =
      sums == nullptr ? dynamic : sums + (size_t)blockIdx.x * kOut * groups * W;
  ColumnSums<W> column_sums[kOut];
  for (int k = 0; k < kOut; k++) column_sums[k] = {memory + (size_t)k * groups * W, groups};
  for (int group = threadIdx.x; group < groups; group += blockDim.x)
    for (int k = 0; k < kOut; k++) column_sums[k].clear(group);

  const int begin = blockIdx.x * rows, end = min(N, begin + rows);
  for (int n = begin; n < end; n++) {
    const size_t at = (size_t)n * D;
    Row row(mean, r, n);
    float row_sums[2] = {0, 0};
    for_packs<aligned, W>(D, threadIdx.x, blockDim.x, [&](int d, auto pack) {
      float dy_d[W], x_d[W], w_d[W], columns[kOut][W];
      pack.load(dy + at + d, dy_d);
      pack.load(x + at + d, x_d);
      pack.load(w + d, w_d);
#pragma unroll
      for (int j = 0; j < W; j++) {
        float column[2];
        row.add(dy_d[j], x_d[j], w_d[j], row_sums, column);
        for (int k = 0; k < kOut; k++) columns[k][j] = column[k];
      }
      for (int k = 0; k < kOut; k++) column_sums[k].add(d / W, columns[k]);
    });
    block_sum(row_sums, shared[n % 2]);
    row.finish(row_sums, D);
    for_packs<aligned, W>(D, threadIdx.x, blockDim.x, [&](int d, auto pack) {
      float dy_d[W], x_d[W], w_d[W], dx_d[W];
      pack.load(dy + at + d, dy_d);
      pack.load(x + at + d, x_d);
      pack.load(w + d, w_d);
#pragma unroll
      for (int j = 0; j < W; j++) dx_d[j] = 0;
      if (before != nullptr) pack.load(before + at + d, dx_d);
#pragma unroll
      for (int j = 0; j < W; j++) dx_d[j] += row.dx(dy_d[j], x_d[j], w_d[j]);
      pack.store(dx + at + d, dx_d);
    });
  }

  for (int k = 0; k < kOut; k++) {
    float *out = partial + ((size_t)blockIdx.x * kOut + k) * D;
    for_packs<aligned, W>(D, threadIdx.x, blockDim.x, [&](int d, auto pack) {
      float v[W];
      column_sums[k].get(d / W, v);
      pack.store(out + d, v);
    });
  }
}

template <class T, template <class> class Row>
void norm_backward(lp_ctx *ctx, const char *name, const void *dy_in, const void *x_in,
                   const void *w_in, const float *mean, const float *r, const void *before_in,
                   void *dx_out, int N, int D, std::initializer_list<float *> out) {
  constexpr int W = kPack<T>, kOut = Row<T>::kOut;
  const T *dy = static_cast<const T *>(dy_in), *x = static_cast<const T *>(x_in);
  const T *w = static_cast<const T *>(w_in), *before = static_cast<const T *>(before_in);
  T *dx = static_cast<T *>(dx_out);
  const RowBlocks blocks = row_blocks(N);
  const int groups = (D + W - 1) / W;
  const size_t width = (size_t)kOut * D, held = (size_t)kOut * groups * W;
  const bool is_shared = held * sizeof(float) <= kMostShared;
  const size_t partials = (blocks.count * width + 63) / 64 * 64;
  float *partial = ctx->workspace<float>(partials + (is_shared ? 0 : blocks.count * held));
  with_bool(is_aligned<W>(D, dy, x, w, before, dx), [&](auto aligned) {
    launch(ctx, name, norm_backward_kernel<decltype(aligned)::value, T, Row<T>>, blocks.count,
               threads_for(groups), is_shared ? held * sizeof(float) : 0, dy, x, w, mean, r, before,
               dx, partial, is_shared ? nullptr : partial + partials, N, D, blocks.rows);
  });
  add_row_sums(ctx, name, partial, blocks.count, D, out);
}

template <class T> Source<T> source_of(const void *x, const void *residual, void *sum) {
  if (residual == nullptr) return {static_cast<const T *>(x), nullptr, nullptr};
  LP_CHECK_POINTERS(sum);
  return {static_cast<const T *>(x), static_cast<const T *>(residual), static_cast<T *>(sum)};
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
      constexpr int W = kPack<T>;
      const Source<T> from = source_of<T>(x, residual, sum);
      const T *weights = static_cast<const T *>(w);
      T *to = static_cast<T *>(y);
      const bool is_wide = is_aligned<W>(D, from.x, from.residual, from.sum, weights, to);
      with_bool(is_wide, [&](auto aligned) {
        launch(ctx, "rms_norm_forward", rms_forward_kernel<decltype(aligned)::value, T>, N,
                   threads_for((D + W - 1) / W), 0, from, weights, to, r, D, eps);
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
      norm_backward<T, RmsRow>(ctx, "rms_norm_backward", dy, x, w, nullptr, r, dx_before, dx, N,
                               D, {dw});
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
      constexpr int W = kPack<T>;
      const Source<T> from = source_of<T>(x, residual, sum);
      const T *weights = static_cast<const T *>(w), *biases = static_cast<const T *>(b);
      T *to = static_cast<T *>(y);
      const bool is_wide = is_aligned<W>(D, from.x, from.residual, from.sum, weights, biases, to);
      with_bool(is_wide, [&](auto aligned) {
        launch(ctx, "layer_norm_forward", layer_forward_kernel<decltype(aligned)::value, T>, N,
                   threads_for((D + W - 1) / W), 0, from, weights, biases, to, mean, r, D, eps);
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
      norm_backward<T, LayerRow>(ctx, "layer_norm_backward", dy, x, w, mean, r, dx_before, dx, N,
                                 D, {dw, db});
    });
  });
}
