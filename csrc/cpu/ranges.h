// Walking flat arrays in parallel.
#ifndef LLMPIPE_CPU_RANGES_H
#define LLMPIPE_CPU_RANGES_H

#include <algorithm>

#include "cpu/context.h"

namespace lp {

// Calls run(begin, end) for consecutive ranges of 0..n-1, one per thread, on borders of 64
// elements: each thread walks the same part of equally long arrays in every op.
template <class Run> void for_ranges(size_t n, Run run) {
  constexpr size_t kBorder = 64;
  const size_t blocks = (n + kBorder - 1) / kBorder;
#pragma omp parallel if (n > kSerial)
  {
    const size_t threads = (size_t)omp_get_num_threads(), thread = (size_t)omp_get_thread_num();
    const size_t begin = blocks * thread / threads * kBorder;
    const size_t end = std::min(n, blocks * (thread + 1) / threads * kBorder);
    if (begin < end) run(begin, end);
  }
}

} // namespace lp
#endif
