// int8 blocks. Formulas: common/quantize.h
//
// A warp takes a block: 256 elements of 16 bits are one access of 16 bytes per lane. Longer blocks
// are read again from the first-level cache.
#include "common/quantize.h"

#include "common/checks.h"
#include "cuda/context.h"
#include "cuda/packs.h"
#include "cuda/reduce.h"

namespace lp {

namespace {
constexpr int kWarps = 8;

// Calls run(i, first, count) in the warp of each block i, of elements first .. first + count - 1.
template <class Run> GPU_DEV void for_block_of_warp(size_t n, int block, Run run) {
  const size_t i = (size_t)blockIdx.x * kWarps + threadIdx.x / 32, first = i * block;
  if (first < n) run(i, first, (int)(n - first < (size_t)block ? n - first : (size_t)block));
}

template <bool aligned, class T>
__global__ void __launch_bounds__(32 * kWarps)
    quantize_kernel(const T *x, int8_t *q, float *scale_out, size_t n, int block) {
  constexpr int W = kPack<T, int8_t>;
  const int lane = threadIdx.x % 32;
  for_block_of_warp(n, block, [&](size_t i, size_t first, int count) {
    uint32_t largest = 0;
    for_packs<aligned, W>(count, lane, 32, [&](int d, auto pack) {
      float v[W];
      pack.load(x + first + d, v);
#pragma unroll
      for (int j = 0; j < W; j++) largest = max(largest, magnitude(v[j]));
    });
    const float scale = int8_scale(warp_max(largest));
    if (lane == 0) scale_out[i] = scale;
    for_packs<aligned, W>(count, lane, 32, [&](int d, auto pack) {
      float v[W];
      pack.load(x + first + d, v);
#pragma unroll
      for (int j = 0; j < W; j++) v[j] = has_int8_codes(scale) ? int8_code(v[j], scale) : 0.0f;
      pack.store(q + first + d, v);
    });
  });
}

template <bool aligned, class T>
__global__ void __launch_bounds__(32 * kWarps)
    dequantize_kernel(const int8_t *q, const float *scale, T *x, size_t n, int block) {
  constexpr int W = kPack<T, int8_t>;
  for_block_of_warp(n, block, [&](size_t i, size_t first, int count) {
    const float factor = scale[i];
    for_packs<aligned, W>(count, threadIdx.x % 32, 32, [&](int d, auto pack) {
      float v[W];
      pack.load(q + first + d, v);
#pragma unroll
      for (int j = 0; j < W; j++) v[j] *= factor;
      pack.store(x + first + d, v);
    });
  });
}

unsigned grid_of(size_t n, int block) {
  const size_t blocks = (n + block - 1) / block;
  return (unsigned)((blocks + kWarps - 1) / kWarps);
}
} // namespace

} // namespace lp

using namespace lp;

lp_status lp_quantize_int8(lp_ctx *ctx, const void *x, int8_t *q, float *scale, size_t n,
                           int32_t block, lp_dtype dtype) {
  return guard(ctx, "quantize_int8", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      check_int8_block(block);
      if (n == 0) return;
      LP_CHECK_POINTERS(x, q, scale);
      const T *from = static_cast<const T *>(x);
      with_bool(is_aligned<kPack<T, int8_t>>(block, from, q), [&](auto aligned) {
        launch(ctx, "quantize_int8", quantize_kernel<decltype(aligned)::value, T>,
                   grid_of(n, block), 32 * kWarps, 0, from, q, scale, n, block);
      });
    });
  });
}

lp_status lp_dequantize_int8(lp_ctx *ctx, const int8_t *q, const float *scale, void *x, size_t n,
                             int32_t block, lp_dtype dtype) {
  return guard(ctx, "dequantize_int8", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      check_int8_block(block);
      if (n == 0) return;
      LP_CHECK_POINTERS(q, scale, x);
      T *to = static_cast<T *>(x);
      with_bool(is_aligned<kPack<T, int8_t>>(block, q, to), [&](auto aligned) {
        launch(ctx, "dequantize_int8", dequantize_kernel<decltype(aligned)::value, T>,
                   grid_of(n, block), 32 * kWarps, 0, q, scale, to, n, block);
      });
    });
  });
}
