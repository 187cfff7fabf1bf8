// Softmax attention, arXiv:2205.14135, with the linear biases of arXiv:2108.12409. F is float, or a
// vector of them.
#ifndef LLMPIPE_COMMON_ATTENTION_H
#define LLMPIPE_COMMON_ATTENTION_H

#include "common/host_device.h"

namespace lp {

constexpr float kLog2E = 1.44269504088896341f; // scores are kept in units of ln 2: p = 2^(s - m)
constexpr float kLn2 = 0.693147180559945309f;

// s[j] = scale * <q[t], k[j]> + slope * (j - t)
template <class F> LP_HD F attention_score(F dot, float scale, float slope, F distance) {
  return dot * scale + distance * slope;
}

// log sum_j exp(s[j]), from the largest score and sum_j 2^(s[j] - largest), scores in units of ln 2
template <class F> LP_HD F attention_lse(F largest, F log_sum) { return largest * kLn2 + log_sum; }

// d loss / d s[j] = p[j] (dp[j] - <do, o>),  dp[j] = <do, v[j]>
template <class F> LP_HD F attention_ds(F p, F dp, F do_o) { return p * (dp - do_o); }

} // namespace lp
#endif
