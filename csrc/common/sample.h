// Choosing a token from logits x, of which m is the largest: weights exp((x - m) / temperature) in
// fixed point, so that their sums do not depend on the order. A token counts as kept by its key,
// which orders tokens by logit; of equal logits the lower id comes first.
#ifndef LLMPIPE_COMMON_SAMPLE_H
#define LLMPIPE_COMMON_SAMPLE_H

#include "common/math.h"

namespace lp {

constexpr uint64_t kLargestWeight = (uint64_t)1 << 40; // that of the largest logit
constexpr uint32_t kTopBit = 0x80000000u;

// Ordered as the logits are; -0 is 0, and nan -inf.
LP_HD uint32_t order_key(float x) {
  const uint32_t u = bits_of(x == x ? x + 0.0f : -INFINITY);
  return u & kTopBit ? ~u : u | kTopBit;
}
LP_HD float logit_of(uint32_t key) { return from_bits(key & kTopBit ? key ^ kTopBit : ~key); }

struct TokenWeight {
  float largest, temperature;
  // 0 below 2^-40 of the largest
  LP_HD uint64_t operator()(float x) const {
    if (x == largest) return kLargestWeight; // the difference of infinities is nan
    const float w = exp((x - largest) / temperature);
    return w > 0.0f ? (uint64_t)(w * (float)kLargestWeight) : 0;
  }
  LP_HD uint64_t of_key(uint32_t key) const { return (*this)(logit_of(key)); }
};

// Tokens with a larger key, and the first `ties` of those with this one; at first all.
struct KeptTokens {
  uint32_t key = 0;
  uint64_t ties = UINT64_MAX;
  // Sum of their weights, from that of the larger keys and the number of tokens with this one.
  LP_HD uint64_t sum(uint64_t above, uint64_t tied, uint64_t tie_weight) const {
    return above + (tied < ties ? tied : ties) * tie_weight;
  }
};

// The fewest tokens, largest first, whose sum, of weights or of ones, reaches `wanted` (above 0, and
// not above the sum of all). The key of the last is found digit by digit, from the highest.
struct TokenSearch {
  uint64_t wanted = 0;
  uint64_t above = 0; // sum over larger keys, as far as digits are known
  uint32_t key = 0;   // digits known so far
  // sums[d]: over tokens that have the known digits, and d as the next one, at bit `shift`.
  template <int digits> LP_HD void descend(const uint64_t (&sums)[digits], int shift) {
    int d = digits - 1;
    for (; d > 0 && above + sums[d] < wanted; d--) above += sums[d];
    key |= (uint32_t)d << shift;
  }
  // each: what a token with the key adds
  LP_HD KeptTokens kept(uint64_t each) const { return {key, (wanted - above + each - 1) / each}; }
};
// Of key, the bits above a digit at `shift` that has `bits` of them.
LP_HD uint32_t known_digits(uint32_t key, int shift, int bits) {
  return shift + bits == 32 ? 0 : key >> (shift + bits);
}

// Top-p: what the sum of weights must reach.
LP_HD uint64_t wanted_weight(float p, uint64_t total) {
  const double exact = (double)p * (double)total;
  uint64_t wanted = (uint64_t)exact;
  if ((double)wanted < exact) wanted++;
  return wanted < 1 ? 1 : wanted > total ? total : wanted;
}

// Finds the token at which the sum of the weights of kept tokens, in the order of ids, exceeds
// u * total.
struct TokenWalk {
  uint64_t left, ties, tie_weight;
  LP_HD TokenWalk(double u, uint64_t total, KeptTokens kept, uint64_t tie_weight)
      : left((uint64_t)(u * (double)total)), ties(kept.ties), tie_weight(tie_weight) {
    if (left >= total) left = total - 1;
  }
  // Whether it is among the next tokens: `above` is the sum of weights of those with larger keys,
  // `tied` of them have the key. Passes them if not.
  LP_HD bool ends_in(uint64_t above, uint64_t tied) {
    const uint64_t taken = tied < ties ? tied : ties, sum = above + taken * tie_weight;
    if (left < sum) return true;
    left -= sum;
    ties -= taken;
    return false;
  }
};

} // namespace lp
#endif
