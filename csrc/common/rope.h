// Rotary position embedding, arXiv:2104.09864.
#ifndef LLMPIPE_COMMON_ROPE_H
#define LLMPIPE_COMMON_ROPE_H

#include "common/host_device.h"

namespace lp {

// The angle as transformers computes it: both factors and the product in f32.
LP_HD float rope_angle(int position, float inv_freq) { return (float)position * inv_freq; }

// (a, b) turned by the angle whose cosine and sine these are; by the inverse with -sine.
template <class F> LP_HD F rope_first(F a, F b, F cosine, F sine) { return a * cosine - b * sine; }
template <class F> LP_HD F rope_second(F a, F b, F cosine, F sine) {
  return b * cosine + a * sine;
}

} // namespace lp
#endif
