// Vectors of f32 as wide as the registers of the variant that is compiled.
//
// GCC compiles +, *, comparisons and ?: on these types to single instructions, and a
// product that is added to fused ones where the processor has them.
#ifndef LLMPIPE_CPU_SIMD_H
#define LLMPIPE_CPU_SIMD_H

#include <stdint.h>

#include "common/host_device.h"

namespace lp {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX2__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif

typedef float vf __attribute__((vector_size(4 * kWidth)));
typedef int32_t vi __attribute__((vector_size(4 * kWidth)));
typedef uint32_t vu __attribute__((vector_size(4 * kWidth)));

// Vector V at an address that need not be aligned.
template <class V> struct Unaligned {
  typedef V type __attribute__((aligned(4), may_alias));
};
template <class V = vf> LP_HD V load(const void *p) {
  return *static_cast<const typename Unaligned<V>::type *>(p);
}
template <class V> LP_HD void store(void *p, V x) {
  *static_cast<typename Unaligned<V>::type *>(p) = x;
}

LP_HD vf splat(float x) { return x - vf{}; } // not vf{} + x, which would lose the sign of -0
LP_HD vi splat(int32_t x) { return x - vi{}; }

// The larger one; b where a is nan.
LP_HD vf max(vf a, vf b) { return a > b ? a : b; }

// Of all elements, in a fixed order.
LP_HD float sum(vf x) {
  float part[kWidth];
  store(part, x);
  for (int half = kWidth / 2; half; half /= 2)
    for (int i = 0; i < half; i++) part[i] += part[i + half];
  return part[0];
}
LP_HD float max(vf x) {
  float part[kWidth];
  store(part, x);
  for (int half = kWidth / 2; half; half /= 2)
    for (int i = 0; i < half; i++) part[i] = part[i] > part[i + half] ? part[i] : part[i + half];
  return part[0];
}

// 2^x for x < 127.5; 0 below -126.5, denormals have no place here; nan for nan. Within 1.2 ulp.
LP_HD vf exp2(vf x) {
  const float magic = 12582912.0f; // 1.5 * 2^23: added, it leaves the nearest integer in low bits
  x = max(splat(-127.0f), x);
  const vf shifted = x + magic;
  const vf r = x - (shifted - magic); // [-1/2, 1/2]
  // Minimax of (2^r - 1) / r, relative error 2e-9
  vf p = 1.535336196e-4f + vf{};
  p = p * r + 1.339887502e-3f;
  p = p * r + 9.618436918e-3f;
  p = p * r + 5.550332367e-2f;
  p = p * r + 2.402264774e-1f;
  p = p * r + 6.931471825e-1f;
  p = p * r + 1.0f;
  return p * (vf)(((vu)shifted << 23) + (127u << 23)); // the low bits of magic are 0
}

// e^x for x < 88; 0 below -87.7.
LP_HD vf exp(vf x) { return exp2(x * 1.44269504088896341f); }

// x[i][j] = x[j][i] for a square of vectors: each pass interleaves the two halves.
LP_HD void transpose(vf (&x)[kWidth]) {
  vi low, high; // (a0, b0, a1, b1, ..) of the lower and of the upper halves
  for (int i = 0; i < kWidth; i++) {
    low[i] = i / 2 + (i % 2) * kWidth;
    high[i] = low[i] + kWidth / 2;
  }
#pragma GCC unroll 4
  for (int pass = 1; pass < kWidth; pass *= 2) {
    vf y[kWidth];
#pragma GCC unroll 8
    for (int i = 0; i < kWidth / 2; i++) {
      y[2 * i] = __builtin_shuffle(x[i], x[i + kWidth / 2], low);
      y[2 * i + 1] = __builtin_shuffle(x[i], x[i + kWidth / 2], high);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; i++) x[i] = y[i];
  }
}

} // namespace lp
#endif
