// The gradient of a bias: the sum over the rows. (lp_linear_forward adds it.)
#include "common/checks.h"
#include "cpu/context.h"
#include "cpu/lanes.h"
#include "cpu/row_sums.h"

using namespace lp;

lp_status lp_bias_backward(lp_ctx *ctx, const void *dy, float *db, int32_t N, int32_t F,
                           lp_dtype dtype) {
  return guard_measured(ctx, "bias_backward", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      check_bias(N, F);
      if (N == 0 || F == 0) return;
      LP_CHECK_POINTERS(dy, db);
      sum_over_rows<1>(ctx, N, F, {db}, [&](int n, float *sums) {
        const T *row = static_cast<const T *>(dy) + (size_t)n * F;
        for_lanes(F, [&](int f, auto lanes) {
          lanes.store(sums + f, lanes.load(sums + f) + lanes.load(row + f));
        });
      });
    });
  });
}
