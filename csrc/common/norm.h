// Norms: the elementwise parts, F being float or a vector of them. How rows are walked and summed is
// each backend's own.
//   rms    y = x r w              r = 1 / sqrt(mean_D(x^2) + eps)           arXiv:1910.07467 eq. 4
//   layer  y = (x - mean) r w + b r = 1 / sqrt(mean_D((x - mean)^2) + eps)  arXiv:1607.06450
#ifndef LLMPIPE_COMMON_NORM_H
#define LLMPIPE_COMMON_NORM_H

#include "common/math.h"

namespace lp {

LP_HD float reciprocal_root(float mean_square, float eps) {
  return 1.0f / sqrtf(mean_square + eps);
}

// g = dy * w;  mean_gx = mean_D(g * x)
template <class F> LP_HD F rms_dx(F g, F x, float r, float mean_gx) {
  return r * (g - x * r * r * mean_gx);
}

// g = dy * w;  xh = (x - mean) r;  mean_g = mean_D(g);  mean_gx = mean_D(g * xh)
template <class F> LP_HD F layer_dx(F g, F xh, float r, float mean_g, float mean_gx) {
  return r * (g - mean_g - xh * mean_gx);
}

} // namespace lp
#endif
