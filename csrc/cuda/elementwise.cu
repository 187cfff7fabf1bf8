// Elementwise ops: fill, cast, add, scale, random numbers. All are bound by memory.
#include "common/random.h"
#include "cuda/elements.h"
#include "cuda/reduce.h"

namespace lp {

namespace {
template <class T> struct Fill {
  static constexpr int W = kPack<T>;
  T *x;
  float value;
  template <class Pack> GPU_DEV void operator()(size_t i, Pack pack) const {
    float v[W];
#pragma unroll
    for (int j = 0; j < W; j++) v[j] = value;
    pack.store(x + i, v);
  }
};

// No pack of dst may reach elements of src that another thread has yet to read.
template <class To, class From> struct Cast {
  static constexpr int W = kPack<To, From>;
  To *dst;
  const From *src;
  template <class Pack> GPU_DEV void operator()(size_t i, Pack pack) const {
    float v[W];
    pack.load(src + i, v);
    pack.store(dst + i, v);
  }
};

template <class T> struct Add {
  static constexpr int W = kPack<T>;
  const T *a, *b;
  T *y;
  template <class Pack> GPU_DEV void operator()(size_t i, Pack pack) const {
    float u[W], v[W];
    pack.load(a + i, u);
    pack.load(b + i, v);
#pragma unroll
    for (int j = 0; j < W; j++) u[j] += v[j];
    pack.store(y + i, u);
  }
};

template <class T> struct Scale {
  static constexpr int W = kPack<T>;
  T *x;
  float s;
  template <class Pack> GPU_DEV void operator()(size_t i, Pack pack) const {
    float v[W];
    pack.load(x + i, v);
#pragma unroll
    for (int j = 0; j < W; j++) v[j] *= s;
    pack.store(x + i, v);
  }
};

// The array lies `skipped` = first % 4 elements into a run of whole blocks of the stream.
template <class T> struct RandomNormal {
  static constexpr int W = 4;
  T *x;
  uint64_t seed, block; // the block of the first element
  int skipped;
  float mean, std;
  template <class Pack> GPU_DEV void operator()(size_t i, Pack pack) const {
    float v[W];
    normal_block(seed, block + i / W, v);
#pragma unroll
    for (int j = 0; j < W; j++) v[j] = mean + std * v[j];
    if (i > 0 || skipped == 0) return pack.store(x + (i - skipped), v);
#pragma unroll
    for (int j = 1; j < W; j++)
      if (j >= skipped && j < pack.count) x[j - skipped] = from_float<T>(v[j]);
  }
};

// Sum of squares: within a thread, over a block of kSumPacks packs per thread, over the blocks.
constexpr int kSumPacks = 8;

template <bool aligned, class T>
__global__ void __launch_bounds__(kElementThreads)
    block_sum_squares_kernel(const T *x, double *sums, size_t n) {
  GPU_SMEM(double, shared, [1][kMostWarps]);
  constexpr int W = kPack<T>;
  const size_t first = (size_t)blockIdx.x * kSumPacks * kElementThreads + threadIdx.x;
  double sum[1] = {0};
  for (int k = 0; k < kSumPacks; k++) {
    const size_t i = (first + (size_t)k * kElementThreads) * W;
    if (i >= n) break;
    at_pack<aligned, W>(i, n, [&](size_t at, auto pack) {
      float v[W];
      pack.load(x + at, v);
#pragma unroll
      for (int j = 0; j < W; j++) sum[0] += (double)v[j] * v[j];
    });
  }
  block_sum(sum, shared);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum[0];
}

__global__ void __launch_bounds__(kElementThreads)
    sum_kernel(const double *sums, size_t count, double *out) {
  GPU_SMEM(double, shared, [1][kMostWarps]);
  double sum[1] = {0};
  for (size_t i = threadIdx.x; i < count; i += kElementThreads) sum[0] += sums[i];
  block_sum(sum, shared);
  if (threadIdx.x == 0) *out = sum[0];
}
} // namespace

} // namespace lp

using namespace lp;

lp_status lp_fill(lp_ctx *ctx, void *x, float value, size_t n, lp_dtype dtype) {
  return guard(ctx, "fill", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (n == 0) return;
      LP_CHECK_POINTERS(x);
      T *to = static_cast<T *>(x);
      for_elements(ctx, "fill", n, is_aligned<kPack<T>>(0, to), Fill<T>{to, value});
    });
  });
}

lp_status lp_cast(lp_ctx *ctx, void *dst, const void *src, size_t n, lp_dtype dst_dtype,
                  lp_dtype src_dtype) {
  return guard(ctx, "cast", [&] {
    with_type(dst_dtype, [&](auto to_type) {
      with_type(src_dtype, [&](auto from_type) {
        using To = decltype(to_type);
        using From = decltype(from_type);
        if (n == 0) return;
        LP_CHECK_POINTERS(dst, src);
        To *to = static_cast<To *>(dst);
        const From *from = static_cast<const From *>(src);
        for_elements(ctx, "cast", n, is_aligned<kPack<To, From>>(0, to, from),
                     Cast<To, From>{to, from});
      });
    });
  });
}

lp_status lp_add(lp_ctx *ctx, const void *a, const void *b, void *y, size_t n, lp_dtype dtype) {
  return guard(ctx, "add", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (n == 0) return;
      LP_CHECK_POINTERS(a, b, y);
      const Add<T> op{static_cast<const T *>(a), static_cast<const T *>(b), static_cast<T *>(y)};
      for_elements(ctx, "add", n, is_aligned<op.W>(0, op.a, op.b, op.y), op);
    });
  });
}

lp_status lp_scale(lp_ctx *ctx, void *x, float s, size_t n, lp_dtype dtype) {
  return guard(ctx, "scale", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (n == 0) return;
      LP_CHECK_POINTERS(x);
      T *to = static_cast<T *>(x);
      for_elements(ctx, "scale", n, is_aligned<kPack<T>>(0, to), Scale<T>{to, s});
    });
  });
}

lp_status lp_random_normal(lp_ctx *ctx, void *x, size_t n, uint64_t seed, uint64_t first,
                           float mean, float std, lp_dtype dtype) {
  return guard(ctx, "random_normal", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (n == 0) return;
      LP_CHECK_POINTERS(x);
      T *to = static_cast<T *>(x);
      const int skipped = (int)(first % 4);
      for_elements(ctx, "random_normal", n + skipped,
                   skipped == 0 && is_aligned<RandomNormal<T>::W>(0, to),
                   RandomNormal<T>{to, seed, first / 4, skipped, mean, std});
    });
  });
}

lp_status lp_sum_squares(lp_ctx *ctx, const void *x, double *out, size_t n, lp_dtype dtype) {
  return guard_measured(ctx, "sum_squares", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      LP_CHECK_POINTERS(out);
      if (n > 0) LP_CHECK_POINTERS(x);
      constexpr size_t per_block = (size_t)kSumPacks * kElementThreads * kPack<T>;
      const size_t blocks = (n + per_block - 1) / per_block;
      double *sums = ctx->workspace<double>(blocks);
      const T *from = static_cast<const T *>(x);
      if (n > 0)
        with_bool(is_aligned<kPack<T>>(0, from), [&](auto aligned) {
          launch(ctx, "sum_squares", block_sum_squares_kernel<decltype(aligned)::value, T>,
                     (unsigned)blocks, kElementThreads, 0, from, sums, n);
        });
      launch(ctx, "sum_squares", sum_kernel, 1, kElementThreads, 0, sums, blocks, out);
    });
  });
}
