// Activation functions and their derivatives. F is float, or a vector of them that has an
// exp_clamped() of its own.
#ifndef LLMPIPE_COMMON_ACTIVATION_H
#define LLMPIPE_COMMON_ACTIVATION_H

#include "common/math.h"

namespace lp {

// Not below 2e-38 nor above 1.
template <class F> LP_HD F sigmoid(F x) { return 1.0f / (1.0f + exp_clamped(-x)); }

// silu(x) = x sigmoid(x)
template <class F> LP_HD F silu(F x) { return x * sigmoid(x); }

// silu'(x) = s (1 + x (1 - s)),  s = sigmoid(x)
template <class F> LP_HD F silu_derivative(F x, F s) { return s * (1.0f + x * (1.0f - s)); }

// x/2 (1 + tanh(u)) = x sigmoid(2u),  u = sqrt(2/pi) (x + 0.044715 x^3)
template <class F> LP_HD F gelu_argument(F x) {
  return x * (1.5957691216057308f + 0.07135481282553474f * (x * x)); // 2u
}
template <class F> LP_HD F gelu(F x) { return x * sigmoid(gelu_argument(x)); }

// s + x s (1 - s) (2u)'
template <class F> LP_HD F gelu_derivative(F x) {
  const F s = sigmoid(gelu_argument(x));
  return s + x * s * (1.0f - s) * (1.5957691216057308f + 0.21406443847660422f * (x * x));
}

} // namespace lp
#endif
