// Rows of any storage type, one register of f32 at a time.
//
//   for_lanes(n, [&](int i, auto lanes) {        // i = 0, kWidth, ..; the last one may be part
//     lanes.store(y + i, f(lanes.load(x + i)));
//   });
#ifndef LLMPIPE_CPU_LANES_H
#define LLMPIPE_CPU_LANES_H

#include <algorithm>

#include "cpu/dtype.h"
#include "cpu/simd.h"

namespace lp {

typedef uint16_t vh __attribute__((vector_size(2 * kWidth)));
typedef int8_t vb __attribute__((vector_size(kWidth)));

LP_HD vf widen(const float *x) { return load(x); }
LP_HD vf widen(const bf16 *x) {
#if defined(__AVX512F__) // GCC makes several instructions of these conversions
  const vu bits = (vu)_mm512_maskz_cvtepu16_epi32(0xffff, _mm256_loadu_si256((const __m256i *)x));
#else
  vh halves;
  memcpy(&halves, x, sizeof halves);
  const vu bits = __builtin_convertvector(halves, vu);
#endif
  return (vf)(bits << 16);
}
LP_HD vf widen(const f16 *x) {
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256((const __m256i *)x));
#elif defined(__F16C__)
  return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)x));
#else
  vf wide;
  for (int i = 0; i < kWidth; i++) wide[i] = to_float(x[i]);
  return wide;
#endif
}

LP_HD vf widen(const int8_t *x) {
  vb bytes;
  memcpy(&bytes, x, sizeof bytes);
  return __builtin_convertvector(bytes, vf);
}

LP_HD void narrow(int8_t *to, vf x) { // whole numbers of 8 bits
  const vb bytes = __builtin_convertvector(__builtin_convertvector(x, vi), vb);
  memcpy(to, &bytes, sizeof bytes);
}
LP_HD void narrow(float *to, vf x) { store(to, x); }
LP_HD void narrow(bf16 *to, vf x) { // as from_float<bf16>()
  const vu u = (vu)x;
  const vu rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const vu bits = x == x ? rounded : vu{} + 0x7fc0u;
#if defined(__AVX512F__)
  _mm256_storeu_si256((__m256i *)to, _mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)bits));
#else
  const vh halves = __builtin_convertvector(bits, vh);
  memcpy(to, &halves, sizeof halves);
#endif
}
LP_HD void narrow(f16 *to, vf x) {
#if defined(__AVX512F__)
  const __m256i halves = _mm512_maskz_cvtps_ph(0xffff, (__m512)x, _MM_FROUND_TO_NEAREST_INT);
  _mm256_storeu_si256((__m256i *)to, halves);
#elif defined(__F16C__)
  _mm_storeu_si128((__m128i *)to, _mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT));
#else
  for (int i = 0; i < kWidth; i++) to[i] = from_float<f16>(x[i]);
#endif
}

// x as the storage type holds it.
template <class T> LP_HD vf rounded(vf x) {
  T memory[kWidth];
  narrow(memory, x);
  return widen(memory);
}
template <> LP_HD vf rounded<float>(vf x) { return x; }

// A whole register of elements.
struct Whole {
  template <class T> LP_HD vf load(const T *x) const { return widen(x); }
  template <class T> LP_HD void store(T *to, vf x) const { narrow(to, x); }
  // x, and 0 beyond the end.
  LP_HD vf keep(vf x) const { return x; }
};

// The first `count` elements of a register; load() fills it up with zeros.
struct Part {
  int count;
  template <class T> LP_HD vf load(const T *x) const {
    T memory[kWidth] = {};
    std::copy(x, x + count, memory);
    return widen(memory);
  }
  template <class T> LP_HD void store(T *to, vf x) const {
    T memory[kWidth];
    narrow(memory, x);
    std::copy(memory, memory + count, to);
  }
  LP_HD vf keep(vf x) const {
    for (int i = count; i < kWidth; i++) x[i] = 0;
    return x;
  }
};

template <class Size, class Run> LP_HD void for_lanes(Size n, Run run) {
  Size i = 0;
  for (; i + kWidth <= n; i += kWidth) run(i, Whole{});
  if (i < n) run(i, Part{(int)(n - i)});
}

// As exp_clamped(float).
LP_HD vf exp_clamped(vf x) { return exp(x > 87.0f ? splat(87.0f) : x); }

} // namespace lp
#endif
