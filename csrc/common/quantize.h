// Symmetric int8 blocks: q = round(x / scale), scale = max|x| / 127, as ZeRO++ compresses weights
// and gradients before it sends them (arXiv:2306.10209). F is float, or a vector of them.
#ifndef LLMPIPE_COMMON_QUANTIZE_H
#define LLMPIPE_COMMON_QUANTIZE_H

#include "common/math.h"

namespace lp {

constexpr uint32_t kMagnitudeBits = 0x7fffffffu; // all of a float but its sign

// The bits of magnitudes are ordered as these are, with infinity and nan above all numbers.
LP_HD uint32_t magnitude(float x) { return bits_of(x) & kMagnitudeBits; }

// nan where the block holds an infinity or a nan; 0 where it holds nothing above 2^-143.
LP_HD float int8_scale(uint32_t largest) {
  return largest >= 0x7f800000u ? NAN : from_bits(largest) / 127.0f;
}

// Where this does not hold, all codes are 0.
LP_HD bool has_int8_codes(float scale) { return scale > 0.0f; }

// x / scale to the nearest integer, ties to even, within [-127, 127].
template <class F> LP_HD F int8_code(F x, float scale) {
  const F magic = F{} + 12582912.0f; // 1.5 * 2^23: a sum with it is rounded to an integer
  const F most = F{} + 127.0f;       // reached, as a denormal scale is not exact
  F code = x / scale;
  code = code > most ? most : code;
  code = code < -most ? -most : code;
  return (code + magic) - magic;
}

} // namespace lp
#endif
