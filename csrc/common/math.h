// Elementary functions that compilers vectorise: straight-line code without tables, branches or
// library calls. Device code has fast ones of its own, so the polynomials are for the host.
// Worst errors found against f64, with and without FMA: exp and log 8.2e-8 relative, denormal results
// of exp 0.8 of the smallest number, sin_cos_turns 9.1e-8 absolute.
#ifndef LLMPIPE_COMMON_MATH_H
#define LLMPIPE_COMMON_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "common/host_device.h"

namespace lp {

LP_HD uint32_t bits_of(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

LP_HD float from_bits(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

// e^x; inf above 88.72, denormal below -87.3, 0 below -103.97; nan for nan.
LP_HD float exp(float x) {
#ifdef __CUDA_ARCH__
  return expf(x);
#else
  const float magic = 12582912.0f; // 1.5 * 2^23: a sum with it is rounded to an integer
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x; // as comparisons with nan are false, nan passes both
  const float shifted = x * 1.44269504088896341f + magic;
  const float n = shifted - magic;
  float r = x - n * 0.693359375f; // ln 2 = 0.693359375 - 2.12194440e-4, the first product exact
  r = r + n * 2.12194440e-4f;
  // Cephes expf: minimax on [-ln 2 / 2, ln 2 / 2]
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // 2^n in two factors, as n = 128 and n < -126 have no normal float of their own
  const int32_t whole = (int32_t)(bits_of(shifted) - bits_of(magic));
  const int32_t half = whole >> 1;
  const float first = from_bits((uint32_t)(half + 127) << 23);
  const float second = from_bits((uint32_t)(whole - half + 127) << 23);
  return p * first * second;
#endif
}

// e^x within [-87, 87], and the value at the nearer end outside: always a normal number.
LP_HD float exp_clamped(float x) { return exp(x < -87.0f ? -87.0f : x > 87.0f ? 87.0f : x); }

// ln x for normal x > 0; -inf for 0 and denormals, nan below 0, inf for inf.
LP_HD float log(float x) {
#ifdef __CUDA_ARCH__
  return logf(x);
#else
  // x = m 2^e with m in [sqrt(1/2), sqrt(2))
  const uint32_t u = bits_of(x);
  const int32_t e = (int32_t)(u - 0x3f3504f3u) >> 23;
  const float m = from_bits(u - ((uint32_t)e << 23)) - 1.0f;
  const float n = (float)e;
  // Cephes logf: minimax on [sqrt(1/2) - 1, sqrt(2) - 1]
  const float z = m * m;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  float y = p * m * z - n * 2.12194440e-4f - 0.5f * z;
  y = m + y + n * 0.693359375f;
  y = x == INFINITY ? INFINITY : y;
  y = x < 1.17549435e-38f ? -INFINITY : y;
  return x < 0.0f || x != x ? NAN : y;
#endif
}

// sin and cos of 2 pi turns, turns in [0, 1].
LP_HD void sin_cos_turns(float turns, float *sin_out, float *cos_out) {
  const float magic = 12582912.0f;
  const float shifted = turns * 4.0f + magic;
  const uint32_t quadrant = bits_of(shifted);
  const float x = (turns - (shifted - magic) * 0.25f) * 6.28318530717958648f; // [-pi/4, pi/4]
  const float z = x * x;
  // Cephes sinf and cosf
  float s = -1.9515295891e-4f;
  s = s * z + 8.3321608736e-3f;
  s = s * z - 1.6666654611e-1f;
  s = s * z * x + x;
  float c = 2.443315711809948e-5f;
  c = c * z - 1.388731625493765e-3f;
  c = c * z + 4.166664568298827e-2f;
  c = c * z * z - 0.5f * z + 1.0f;
  const bool swap = quadrant & 1;
  const float sin_value = swap ? c : s;
  const float cos_value = swap ? s : c;
  *sin_out = quadrant & 2 ? -sin_value : sin_value;
  *cos_out = (quadrant + 1) & 2 ? -cos_value : cos_value;
}

} // namespace lp
#endif
