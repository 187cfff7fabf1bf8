// Dropout of flat arrays. Formulas: common/dropout.h
#include "common/dropout.h"

#include "common/checks.h"
#include "cuda/elements.h"

namespace lp {

namespace {
template <class T> struct DropElements {
  static constexpr int W = kPack<T>;
  const T *x;
  T *y;
  Dropout drop;
  template <class Pack> GPU_DEV void operator()(size_t i, Pack pack) const {
    float v[W];
    pack.load(x + i, v);
    static_assert(kDropoutElements % W == 0, "of one block");
    const Philox bits = drop.bits(i / kDropoutElements);
    const int first = W == kDropoutElements ? 0 : (int)(i % kDropoutElements);
#pragma unroll
    for (int j = 0; j < W; j++) v[j] = drop.keeps(bits, first + j) ? v[j] * drop.scale : 0.0f;
    pack.store(y + i, v);
  }
};
} // namespace

} // namespace lp

using namespace lp;

lp_status lp_dropout(lp_ctx *ctx, const void *x, void *y, size_t n, float p, uint64_t seed,
                     lp_dtype dtype) {
  return guard(ctx, "dropout", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      check_dropout(p);
      if (n == 0) return;
      LP_CHECK_POINTERS(x, y);
      const DropElements<T> op{static_cast<const T *>(x), static_cast<T *>(y), Dropout(p, seed)};
      for_elements(ctx, "dropout", n, is_aligned<op.W>(0, op.x, op.y), op);
    });
  });
}
