// Dropout (JMLR 15 (2014), 1929): an element is 0 with probability p, else divided by 1 - p. What
// is kept is a function of a seed and a place, so the backward and a recomputed forward agree.
//
// A block of Philox4x32-7 decides on eight elements, 16 bits each; p is rounded to that many.
#ifndef LLMPIPE_COMMON_DROPOUT_H
#define LLMPIPE_COMMON_DROPOUT_H

#include "common/random.h"

namespace lp {

constexpr int kDropoutElements = 8; // of a block

// Element i of a block is dropped where its bits are below 65536 p.
struct Dropout {
  PhiloxKeys<7> keys;
  uint32_t threshold; // in the upper 16 bits
  float scale;        // of what is kept

  LP_HD Dropout(float p, uint64_t seed) : keys(seed) {
    const uint32_t dropped = (uint32_t)fminf(fmaxf(p * 65536.0f + 0.5f, 0.0f), 65535.0f);
    threshold = dropped << 16;
    scale = 65536.0f / (float)(65536 - dropped);
  }

  LP_HD bool drops() const { return threshold > 0; }

  // Elements 8 block .. 8 block + 7 of a flat array.
  LP_HD Philox bits(uint64_t block) const { return philox(keys, block); }

  // Probabilities of attention of query t and key j of a head, heads numbered through all sequences.
  // A block is of four queries and two keys, kApart from each other: those that one lane holds of
  // tiles of tensor cores, whether their rows are queries or keys.
  static constexpr int kApart = 8, kQueries = 4, kKeys = 2;
  LP_HD Philox bits_of_pair(int head, int t, int j) const {
    const uint32_t first_t = (uint32_t)t & ~(kApart * (kQueries - 1u));
    const uint32_t first_j = (uint32_t)j & ~(kApart * (kKeys - 1u));
    return philox(keys, (uint64_t)first_t << 32 | first_j, (uint32_t)head);
  }
  LP_HD static int index_of_pair(int t, int j) {
    return t / kApart % kQueries * kKeys + j / kApart % kKeys;
  }

  LP_HD bool keeps(const Philox &bits, int i) const {
    const uint32_t word = bits.at(i / 2);
    return (i % 2 ? word : word << 16) >= threshold;
  }
};

} // namespace lp
#endif
