// Products of a few rows by a weight matrix [cols, inner], as when one token at a time is generated.
//
// Each weight is used once per row, so memory is the limit: every thread streams its part of the
// weights once, in order, and the rows of A stay in its first-level cache.
#include "cpu/dtype.h"
#include "cpu/gemm.h"

namespace lp {

namespace {
constexpr int kMostRows = 4;
constexpr int kChunk = 1024; // elements of a row of A that are widened to f32 at a time
static_assert(kChunk % 16 == 0, "chunks hold whole vectors");

// Dot products of one weight row with `rows` rows of A, added to sums.
template <int rows, class T>
void dot(const T *w, const float *a, int stride, int n, float *sums) {
  float sum[kMostRows] = {0, 0, 0, 0};
  float &s0 = sum[0], &s1 = sum[1], &s2 = sum[2], &s3 = sum[3];
#pragma omp simd reduction(+ : s0, s1, s2, s3)
  for (int k = 0; k < n; k++) {
    const float v = to_float(w[k]);
    s0 += v * a[k];
    if (rows > 1) s1 += v * a[stride + k];
    if (rows > 2) s2 += v * a[2 * stride + k];
    if (rows > 3) s3 += v * a[3 * stride + k];
  }
  for (int i = 0; i < rows; i++) sums[i] += sum[i];
}
} // namespace

bool multiply_few_rows(const Product &, const void *, const void *, void *) { return false; }

} // namespace lp
