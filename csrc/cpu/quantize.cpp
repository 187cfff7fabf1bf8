// int8 blocks. Formulas: common/quantize.h
#include "common/quantize.h"

#include "common/checks.h"
#include "cpu/context.h"
#include "cpu/lanes.h"

namespace lp {

namespace {
template <class T> float quantize_block(const T *x, int8_t *q, int n) {
  vu largest = {};
  for_lanes(n, [&](int i, auto lanes) {
    const vu bits = (vu)lanes.load(x + i) & kMagnitudeBits;
    largest = bits > largest ? bits : largest;
  });
  uint32_t most = 0;
  for (int i = 0; i < kWidth; i++) most = std::max<uint32_t>(most, largest[i]);
  const float scale = int8_scale(most);
  if (!has_int8_codes(scale)) std::fill(q, q + n, (int8_t)0);
  else
    for_lanes(n, [&](int i, auto lanes) {
      lanes.store(q + i, int8_code(lanes.load(x + i), scale));
    });
  return scale;
}

// Calls run(i, first, count) for each block i, of elements first .. first + count - 1.
template <class Run> void for_blocks(size_t n, int block, Run run) {
  const size_t blocks = (n + block - 1) / block;
#pragma omp parallel for schedule(static) if (n > kSerial)
  for (size_t i = 0; i < blocks; i++) {
    const size_t first = i * block;
    run(i, first, (int)std::min<size_t>(n - first, block));
  }
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
      for_blocks(n, block, [&](size_t i, size_t first, int count) {
        scale[i] = quantize_block(static_cast<const T *>(x) + first, q + first, count);
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
      for_blocks(n, block, [&](size_t i, size_t first, int count) {
        T *to = static_cast<T *>(x) + first;
        for_lanes(count, [&](int j, auto lanes) {
          lanes.store(to + j, lanes.load(q + first + j) * scale[i]);
        });
      });
    });
  });
}
