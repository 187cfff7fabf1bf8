// The order of the additions is that of the ranks; tiles and threads only cut the elements.
#include "cpu/comm_reduce.h"

#include <algorithm>

#include "cpu/context.h"
#include "cpu/dtype.h"

namespace lp {

namespace {

constexpr size_t kTile = 1024; // f32 sums that stay in the first-level cache

struct Sum {
  template <class T> static T apply(T a, T b) { return a + b; }
};
struct Max {
  template <class T> static T apply(T a, T b) { return b > a || b != b ? b : a; }
};

// In the type itself: f32 and f64.
template <class Apply, class T>
void reduce_direct(const std::vector<const void *> &parts, T *y, size_t begin, size_t end) {
  T sum[kTile];
  const size_t n = end - begin;
  std::copy_n(static_cast<const T *>(parts[0]) + begin, n, sum);
  for (size_t rank = 1; rank < parts.size(); rank++) {
    const T *x = static_cast<const T *>(parts[rank]) + begin;
    for (size_t i = 0; i < n; i++) sum[i] = Apply::apply(sum[i], x[i]);
  }
  std::copy_n(sum, n, y + begin);
}

// In f32: bf16 and f16.
template <class Apply, class T>
void reduce_widened(const std::vector<const void *> &parts, T *y, size_t begin, size_t end) {
  float sum[kTile], x[kTile];
  const size_t n = end - begin;
  load_row(static_cast<const T *>(parts[0]) + begin, sum, n);
  for (size_t rank = 1; rank < parts.size(); rank++) {
    load_row(static_cast<const T *>(parts[rank]) + begin, x, n);
    for (size_t i = 0; i < n; i++) sum[i] = Apply::apply(sum[i], x[i]);
  }
  store_row(sum, y + begin, n);
}

template <class Run> void each_tile(size_t n, Run run) {
  const int64_t tiles = int64_t((n + kTile - 1) / kTile);
#pragma omp parallel for if (n > 8 * kSerial)
  for (int64_t tile = 0; tile < tiles; tile++) {
    run(size_t(tile) * kTile, std::min(n, size_t(tile + 1) * kTile));
  }
}

template <class Apply>
void reduce(const std::vector<const void *> &parts, void *y, size_t n, lp_dtype dtype) {
  each_tile(n, [&](size_t begin, size_t end) {
    switch (dtype) {
    case LP_F32: return reduce_direct<Apply>(parts, static_cast<float *>(y), begin, end);
    case LP_F64: return reduce_direct<Apply>(parts, static_cast<double *>(y), begin, end);
    case LP_BF16: return reduce_widened<Apply>(parts, static_cast<bf16 *>(y), begin, end);
    default: return reduce_widened<Apply>(parts, static_cast<f16 *>(y), begin, end);
    }
  });
}

} // namespace

void check_reducible(int32_t op, lp_dtype dtype) {
  LP_CHECK(op == 0 || op == 1, "op must be 0 (sum) or 1 (max), found %d", op);
  LP_CHECK(dtype == LP_F32 || dtype == LP_F64 || dtype == LP_BF16 || dtype == LP_F16,
           "dtype must be f32, f64, bf16 or f16, found %d", dtype);
}

void reduce_in_order(const std::vector<const void *> &parts, void *y, size_t n, Op op,
                     lp_dtype dtype) {
  if (op == Op::kSum) reduce<Sum>(parts, y, n, dtype);
  else reduce<Max>(parts, y, n, dtype);
}

} // namespace lp
