// Activation functions and their derivatives.
#ifndef LLMPIPE_COMMON_ACTIVATION_H
#define LLMPIPE_COMMON_ACTIVATION_H

#include "common/math.h"

namespace lp {

LP_HD float sigmoid(float x) { return 1.0f / (1.0f + exp(-x)); }

// silu(x) = x sigmoid(x)
LP_HD float silu(float x) { return x * sigmoid(x); }

// silu'(x) = s (1 + x (1 - s)),  s = sigmoid(x)
LP_HD float silu_derivative(float x, float s) { return s * (1.0f + x * (1.0f - s)); }

// x/2 (1 + tanh(u)) = x sigmoid(2u),  u = sqrt(2/pi) (x + 0.044715 x^3)
LP_HD float gelu_argument(float x) {
  return x * (1.5957691216057308f + 0.07135481282553474f * (x * x)); // 2u
}
LP_HD float gelu(float x) { return x * sigmoid(gelu_argument(x)); }

// s + x s (1 - s) (2u)'
LP_HD float gelu_derivative(float x) {
  const float s = sigmoid(gelu_argument(x));
  return s + x * s * (1.0f - s) * (1.5957691216057308f + 0.21406443847660422f * (x * x));
}

} // namespace lp
#endif
