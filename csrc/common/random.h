// Philox4x32 (Salmon et al., SC'11) and Box-Muller: random numbers as a function of a counter.
#ifndef LLMPIPE_COMMON_RANDOM_H
#define LLMPIPE_COMMON_RANDOM_H

#include "common/math.h"

namespace lp {

struct Philox {
  uint32_t word[4];
  // word[i], without an array in memory where i is found at run time
  LP_HD uint32_t at(int i) const {
    const uint32_t even = i & 2 ? word[2] : word[0], odd = i & 2 ? word[3] : word[1];
    return i & 1 ? odd : even;
  }
};

// Keys of the rounds of stream `seed`. Ten rounds are the authors' choice, seven the fewest that
// pass their tests.
template <int kRounds> struct PhiloxKeys {
  uint32_t of[kRounds][2];
  LP_HD explicit PhiloxKeys(uint64_t seed) {
    for (int round = 0; round < kRounds; round++) {
      of[round][0] = (uint32_t)seed + (uint32_t)round * 0x9e3779b9u;
      of[round][1] = (uint32_t)(seed >> 32) + (uint32_t)round * 0xbb67ae85u;
    }
  }
};

// The 128 random bits of block (row, counter).
template <int kRounds>
LP_HD Philox philox(const PhiloxKeys<kRounds> &keys, uint64_t counter, uint64_t row = 0) {
  uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32);
  uint32_t c2 = (uint32_t)row, c3 = (uint32_t)(row >> 32);
#pragma GCC unroll 10 // so that a loop over blocks vectorises
  for (int round = 0; round < kRounds; round++) {
    const uint64_t p0 = (uint64_t)0xd2511f53u * c0;
    const uint64_t p1 = (uint64_t)0xcd9e8d57u * c2;
    c0 = (uint32_t)(p1 >> 32) ^ c1 ^ keys.of[round][0];
    c2 = (uint32_t)(p0 >> 32) ^ c3 ^ keys.of[round][1];
    c1 = (uint32_t)p1;
    c3 = (uint32_t)p0;
  }
  return {{c0, c1, c2, c3}};
}

// Uniform in (0, 1], 24 bits: never 0, so its logarithm is finite.
LP_HD float uniform(uint32_t word) { return (float)((word >> 8) + 1) * 0x1p-24f; }

// Four standard normal numbers: block `counter` holds those of elements 4 counter .. 4 counter + 3.
LP_HD void normal_block(uint64_t seed, uint64_t counter, float out[4]) {
  const Philox bits = philox(PhiloxKeys<10>(seed), counter);
  for (int i = 0; i < 4; i += 2) {
    const float radius = sqrtf(-2.0f * log(uniform(bits.word[i])));
    float sine, cosine;
    sin_cos_turns(uniform(bits.word[i + 1]), &sine, &cosine);
    out[i] = radius * cosine;
    out[i + 1] = radius * sine;
  }
}

} // namespace lp
#endif
