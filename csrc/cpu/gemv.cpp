// Products of a few rows by a weight matrix [cols, inner], as when single tokens are generated.
//
// Each weight is used once per row, so memory is the limit: every thread streams its part of the
// weights once, in order, and multiplies each by all rows of A, which stay in its nearest cache.
#include <algorithm>

#include "cpu/gemm.h"
#include "cpu/lanes.h"

namespace lp {

namespace {
constexpr int kMostRows = 4;
constexpr int kChunk = 2048; // elements of a row of A: 4 rows of f32 fill a first-level cache
constexpr int kStreams = 4;  // weight rows read side by side: as many sums hide their latency
constexpr size_t kPrefetch = 16384; // bytes ahead: half a microsecond of what memory can give

// Rows of A as f32, filled up with zeros to whole vectors.
struct Rows {
  alignas(64) float value[kMostRows][kChunk];
  template <class T> void load(const T *A, size_t lda, int rows, int n) {
    for (int r = 0; r < rows; r++) {
      load_row(A + r * lda, value[r], (size_t)n);
      std::fill(value[r] + n, value[r] + (n + kWidth - 1) / kWidth * kWidth, 0.0f);
    }
  }
};

// sums[r][c] += <A[r, :], w[c, :]> over n elements, for `streams` weight rows.
template <int rows, int streams, class T>
void dot(const T *w, size_t ldb, const Rows &a, int n, float (*sums)[kStreams]) {
  vf sum_of[rows][streams] = {};
  const auto multiply = [&](const T *const (&from)[streams], int k) {
    for (int c = 0; c < streams; c++) {
      const vf wide = widen(from[c]);
      for (int r = 0; r < rows; r++) sum_of[r][c] += wide * load(a.value[r] + k);
    }
  };
  // The rows after these: the processor's own prefetch finds the beginning of each too late
  const size_t rows_bytes = streams * ldb * sizeof(T);
  const size_t ahead = (kPrefetch + rows_bytes - 1) / rows_bytes * streams * ldb;
  const T *from[streams];
  int k = 0;
  for (; k + kWidth <= n; k += kWidth) {
    for (int c = 0; c < streams; c++) {
      from[c] = w + c * ldb + k;
      if (k * sizeof(T) % 64 == 0) __builtin_prefetch(from[c] + ahead, 0, 2);
    }
    multiply(from, k);
  }
  if (k < n) {
    T tail[streams][kWidth] = {};
    for (int c = 0; c < streams; c++) {
      std::copy(w + c * ldb + k, w + c * ldb + n, tail[c]);
      from[c] = tail[c];
    }
    multiply(from, k);
  }
  for (int r = 0; r < rows; r++)
    for (int c = 0; c < streams; c++) sums[r][c] += sum(sum_of[r][c]);
}

// The same for any number of weight rows up to kStreams.
template <int rows, class T>
void dot_columns(int count, const T *w, size_t ldb, const Rows &a, int n,
                 float (*sums)[kStreams]) {
  if (count == kStreams) return dot<rows, kStreams>(w, ldb, a, n, sums);
  for (int c = 0; c < count; c++) {
    float one[kMostRows][kStreams] = {};
    dot<rows, 1>(w + c * ldb, ldb, a, n, one);
    for (int r = 0; r < rows; r++) sums[r][c] += one[r][0];
  }
}

template <int rows, class In, class Out>
void multiply_rows(const Product &p, const In *A, const In *B, Out *C, const Out *bias) {
  const size_t lda = (size_t)p.lda, ldb = (size_t)p.ldb;
  const int groups = (p.cols + kStreams - 1) / kStreams;
#pragma omp parallel if ((size_t)p.cols * p.inner > kSerial)
  {
    Rows a;
    const bool whole = p.inner <= kChunk; // then A is widened once per thread
    if (whole) a.load(A, lda, rows, p.inner);
#pragma omp for schedule(static)
    for (int group = 0; group < groups; group++) {
      const int first = group * kStreams, count = std::min(kStreams, p.cols - first);
      float sums[kMostRows][kStreams] = {};
      for (int k = 0; k < p.inner; k += kChunk) {
        const int n = std::min(kChunk, p.inner - k);
        if (!whole) a.load(A + k, lda, rows, n);
        dot_columns<rows>(count, B + first * ldb + k, ldb, a, n, sums);
      }
      for (int r = 0; r < rows; r++) {
        Out *c = C + (size_t)r * p.ldc + first;
        for (int i = 0; i < count; i++) {
          float value = p.alpha * sums[r][i];
          if (bias != nullptr) value += to_float(bias[first + i]);
          c[i] = from_float<Out>(p.beta == 0 ? value : value + p.beta * to_float(c[i]));
        }
      }
    }
  }
}

template <class In, class Out>
void multiply_any_rows(const Product &p, const In *A, const In *B, Out *C, const Out *bias) {
  switch (p.rows) {
  case 1: return multiply_rows<1>(p, A, B, C, bias);
  case 2: return multiply_rows<2>(p, A, B, C, bias);
  case 3: return multiply_rows<3>(p, A, B, C, bias);
  case 4: return multiply_rows<4>(p, A, B, C, bias);
  }
}
} // namespace

bool multiply_few_rows(const Product &p, const void *A, const void *B, void *C, const void *bias) {
  if (p.batch != 1 || p.rows > kMostRows || p.trans_a || !p.trans_b) return false;
  with_type(p.in_dtype, [&](auto in) {
    using In = decltype(in);
    const In *a = static_cast<const In *>(A), *b = static_cast<const In *>(B);
    const auto run = [&](auto out) {
      using Out = decltype(out);
      multiply_any_rows(p, a, b, static_cast<Out *>(C), static_cast<const Out *>(bias));
    };
    if (p.out_dtype == LP_F32) run(float{});
    else run(In{});
  });
  return true;
}

} // namespace lp
