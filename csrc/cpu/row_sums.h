// Sums over the rows of a matrix, as gradients of weights that all rows share need them.
#ifndef LLMPIPE_CPU_ROW_SUMS_H
#define LLMPIPE_CPU_ROW_SUMS_H

#include <algorithm>
#include <array>

#include "cpu/context.h"

namespace lp {

// Calls row(n, sums) for n in 0..N-1; it adds to `count` vectors of D floats, one after another in
// `sums`. What all rows have added is then added to out[0], .., out[count - 1], null ones excepted.
// Sums within each block of RowBlocks, then over the blocks: the same bits for any thread count.
template <int count, class Row>
void sum_over_rows(lp_ctx *ctx, int N, int D, std::array<float *, count> out, Row row) {
  const RowBlocks blocks(N);
  const size_t width = (size_t)count * D;
  float *partial = ctx->workspace<float>(width * (size_t)blocks.count);
#pragma omp parallel if ((size_t)N * D > kSerial)
  {
#pragma omp for schedule(static)
    for (int i = 0; i < blocks.count; i++) {
      float *sums = partial + width * (size_t)i;
      std::fill(sums, sums + width, 0.0f);
      const int end = std::min(N, (i + 1) * blocks.rows);
      for (int n = i * blocks.rows; n < end; n++) row(n, sums);
    }
    constexpr int kColumns = 256; // one cache line at least belongs to one thread
    for (int k = 0; k < count; k++) {
      if (out[k] == nullptr) continue;
#pragma omp for schedule(static) nowait
      for (int d = 0; d < D; d += kColumns) {
        const int end = std::min(D, d + kColumns);
        for (int i = 0; i < blocks.count; i++) {
          const float *sums = partial + width * (size_t)i + (size_t)k * D;
          for (int j = d; j < end; j++) out[k][j] += sums[j];
        }
      }
    }
  }
}

} // namespace lp
#endif
