// Rows of length 1: the elementwise parts. How rows are walked and summed is each backend's own.
//   y = x r    r = 1 / max(sqrt(sum_D(x^2)), eps)
#ifndef LLMPIPE_COMMON_ROW_NORMALIZE_H
#define LLMPIPE_COMMON_ROW_NORMALIZE_H

#include "common/math.h"

namespace lp {

LP_HD float reciprocal_norm(float sum_squares, float eps) {
  const float norm = sqrtf(sum_squares);
  return 1.0f / (norm > eps ? norm : eps);
}

// sum_gx = sum_D(g * x). A row shorter than eps is divided by a constant.
LP_HD float row_normalize_share(float sum_gx, float r, float eps) {
  return r < 1.0f / eps ? sum_gx * r * r : 0.0f;
}
LP_HD float row_normalize_dx(float g, float x, float r, float share) { return r * (g - x * share); }

} // namespace lp
#endif
