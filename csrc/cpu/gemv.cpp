// Products of a few rows by a weight matrix [cols, inner], as when one token at a time is generated.
//
// Each weight is used once per row, so memory is the limit: every thread streams its part of the
// weights once, in order, several weight rows at a time, while the rows of A stay in its first cache.
#include <algorithm>

#include "cpu/dtype.h"
#include "cpu/gemm.h"

namespace lp {

namespace {
constexpr int kMostRows = 4;
constexpr int kChunk = 2048;  // elements of a row of A: 4 rows of f32 fill a first-level cache
constexpr int kStreams = 4;   // weight rows read side by side: as many sums hide their latency

// sums[c] += <w[c, :], a> for `streams` weight rows.
template <int streams, class T>
void dot(const T *w, size_t ldb, const float *a, int n, float *sums) {
  float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
  for (int k = 0; k < n; k++) {
    s0 += to_float(w[k]) * a[k];
    if (streams > 1) s1 += to_float(w[ldb + k]) * a[k];
    if (streams > 2) s2 += to_float(w[2 * ldb + k]) * a[k];
    if (streams > 3) s3 += to_float(w[3 * ldb + k]) * a[k];
  }
  const float sum[4] = {s0, s1, s2, s3};
  for (int c = 0; c < streams; c++) sums[c] += sum[c];
}

template <class T>
void dot_columns(int count, const T *w, size_t ldb, const float *a, int n, float *sums) {
  if (count == kStreams) return dot<kStreams>(w, ldb, a, n, sums);
  for (int c = 0; c < count; c++) dot<1>(w + (size_t)c * ldb, ldb, a, n, sums + c);
}

template <class In, class Out>
void multiply_rows(const Product &p, const In *A, const In *B, Out *C) {
  const int groups = (p.cols + kStreams - 1) / kStreams;
#pragma omp parallel if ((size_t)p.cols * p.inner > kSerial)
  {
    float a[kMostRows][kChunk];
    float sums[kMostRows][kStreams];
    const bool whole = p.inner <= kChunk; // then A is widened once per thread
    auto widen = [&](int k, int n) {
      for (int r = 0; r < p.rows; r++) load_row(A + (size_t)r * p.lda + k, a[r], (size_t)n);
    };
    if (whole) widen(0, p.inner);
#pragma omp for schedule(static)
    for (int group = 0; group < groups; group++) {
      const int first = group * kStreams, count = std::min(kStreams, p.cols - first);
      std::fill(&sums[0][0], &sums[0][0] + kMostRows * kStreams, 0.0f);
      for (int k = 0; k < p.inner; k += kChunk) {
        const int n = std::min(kChunk, p.inner - k);
        if (!whole) widen(k, n);
        for (int r = 0; r < p.rows; r++)
          dot_columns(count, B + (size_t)first * p.ldb + k, (size_t)p.ldb, a[r], n, sums[r]);
      }
      for (int r = 0; r < p.rows; r++) {
        Out *c = C + (size_t)r * p.ldc + first;
        for (int i = 0; i < count; i++) {
          const float value = p.alpha * sums[r][i];
          c[i] = from_float<Out>(p.beta == 0 ? value : value + p.beta * to_float(c[i]));
        }
      }
    }
  }
}
} // namespace

bool multiply_few_rows(const Product &p, const void *A, const void *B, void *C) {
  if (p.batch != 1 || p.rows > kMostRows || p.trans_a || !p.trans_b) return false;
  with_type(p.in_dtype, [&](auto in) {
    using In = decltype(in);
    const In *a = static_cast<const In *>(A), *b = static_cast<const In *>(B);
    if (p.out_dtype == LP_F32) multiply_rows(p, a, b, static_cast<float *>(C));
    else multiply_rows(p, a, b, static_cast<In *>(C));
  });
  return true;
}

} // namespace lp
