// Matrix products in f32, for what the brgemm kernels of oneDNN do not serve.
//
// C is cut into tiles, and the sum of a tile into parts, by the sizes of the product alone; one
// thread does a tile from beginning to end. So the result does not depend on the number of threads.
// Tiles are even, and not too few: the last one would keep the other threads waiting.
// Operands of 16 bits are widened part by part, while they are in cache. So are copied those that
// sgemm would read down columns: widths of models are powers of two, and such strides share few sets
// of the cache.
#include <dnnl.h>

#include <algorithm>
#include <atomic>

#include "cpu/dtype.h"
#include "cpu/gemm.h"
#include "cpu/transpose.h"

namespace lp {

namespace {
constexpr int kTile = 384;  // rows and columns: panels are copied once per 384 products
constexpr int kLeastTile = 128, kLeastTiles = 8; // where tiles are few, not all are so large
constexpr int kInner = 1024; // a panel of 384 by 1024 f32 is 1.5 MB: about a second-level cache

int pieces(int n, int size) { return (n + size - 1) / size; }

// The size of `count` pieces of n, in whole registers of sgemm; what is left for the last is less.
int even(int n, int count) { return pieces(pieces(n, count), 16) * 16; }

// How each matrix C is cut.
struct Grid {
  int rows, cols, down, across; // of a tile, and tiles
};

Grid cut(const Product &p) {
  int down = pieces(p.rows, kTile), across = pieces(p.cols, kTile);
  while ((long)p.batch * down * across < kLeastTiles) {
    const int rows = p.rows / down, cols = p.cols / across;
    if (std::max(rows, cols) <= kLeastTile) break;
    ++(rows > cols ? down : across);
  }
  const int rows = even(p.rows, down), cols = even(p.cols, across);
  return {rows, cols, pieces(p.rows, rows), pieces(p.cols, cols)};
}

// One tile of C.
struct Tile {
  int matrix, row, col, rows, cols;
};

// Panels of one thread.
struct Panels {
  float *a, *b, *c;
  static constexpr size_t kFloats = (size_t)kTile * kInner * 2 + (size_t)kTile * kTile;
  explicit Panels(float *memory)
      : a(memory), b(a + (size_t)kTile * kInner), c(b + (size_t)kTile * kInner) {}
};

// A part of an operand as sgemm wants it.
struct Operand {
  const float *data;
  int stride;
};

// Rows r.. of height `rows`, columns c.. of width `cols`, of the matrix at `base`, side by side.
template <class T>
Operand copied(const T *base, int stride, int r, int c, int rows, int cols, float *memory) {
  const T *from = base + (size_t)r * stride + c;
  for (int i = 0; i < rows; i++)
    load_row(from + (size_t)i * stride, memory + (size_t)i * cols, (size_t)cols);
  return {memory, cols};
}

// The same where sgemm reads along rows: f32 stays where it is.
template <class T>
Operand along(const T *base, int stride, int r, int c, int rows, int cols, float *memory) {
  if constexpr (sizeof(T) == sizeof(float)) {
    (void)rows, (void)cols, (void)memory;
    return {base + (size_t)r * stride + c, stride};
  } else {
    return copied(base, stride, r, c, rows, cols, memory);
  }
}

// The transpose of rows r.. and columns c.. as [cols, rows].
template <class T>
Operand turned(const T *base, int stride, int r, int c, int rows, int cols, float *memory) {
  constexpr int kPart = 16; // rows that are widened at a time
  float wide[kPart * kTile];
  for (int i = 0; i < rows; i += kPart) {
    const int height = std::min(kPart, rows - i);
    const Operand part = along(base, stride, r + i, c, height, cols, wide);
    transpose(part.data, (size_t)part.stride, memory + i, (size_t)rows, height, cols);
  }
  return {memory, rows};
}

template <class In, class Out>
bool multiply_tile(const Product &p, const Tile &t, const In *A, const In *B, Out *C,
                   const Out *bias, Panels panels) {
  constexpr bool direct = sizeof(Out) == sizeof(float);
  Out *to = C + (size_t)t.row * p.ldc + t.col;
  float *sums;
  int stride;
  if constexpr (direct) sums = to, stride = p.ldc;
  else sums = panels.c, stride = t.cols;
  for (int k = 0; k < p.inner; k += kInner) {
    const int n = std::min(kInner, p.inner - k);
    const Operand a = p.trans_a ? turned(A, p.lda, k, t.row, n, t.rows, panels.a)
                                : along(A, p.lda, t.row, k, t.rows, n, panels.a);
    const Operand b = p.trans_b ? along(B, p.ldb, t.col, k, t.cols, n, panels.b)
                                : copied(B, p.ldb, k, t.col, n, t.cols, panels.b);
    const float beta = k > 0 ? 1 : direct ? p.beta : 0;
    if (dnnl_sgemm('N', p.trans_b ? 'T' : 'N', t.rows, t.cols, n, p.alpha, a.data, a.stride, b.data,
                   b.stride, beta, sums, stride) != dnnl_success)
      return false;
  }
  if (direct && bias == nullptr) return true;
  for (int i = 0; i < t.rows; i++) {
    Out *row = to + (size_t)i * p.ldc;
    float *sum = sums + (size_t)i * stride;
    if (bias != nullptr)
      for (int j = 0; j < t.cols; j++) sum[j] += to_float(bias[t.col + j]);
    if constexpr (!direct) {
      if (p.beta != 0)
        for (int j = 0; j < t.cols; j++) sum[j] += p.beta * to_float(row[j]);
      store_row(sum, row, (size_t)t.cols);
    }
  }
  return true;
}
} // namespace

void multiply_tiles(lp_ctx *ctx, const Product &p, const void *A, const void *B, void *C,
                    const void *bias) {
  const Grid grid = cut(p);
  const long each = (long)grid.down * grid.across, tiles = p.batch * each;
  float *memory = static_cast<float *>(
      ctx->gemm_workspace.get((size_t)ctx->threads * Panels::kFloats * sizeof(float)));
  std::atomic<bool> done{true};
  const auto run = [&](auto in, auto out) {
    using In = decltype(in);
    using Out = decltype(out);
    // In a parallel region, however small: there oneDNN uses the calling thread alone
#pragma omp parallel for schedule(dynamic)
    for (long i = 0; i < tiles; i++) {
      const int matrix = (int)(i / each), tile = (int)(i % each);
      const int row = tile / grid.across * grid.rows, col = tile % grid.across * grid.cols;
      const Tile t{matrix, row, col, std::min(grid.rows, p.rows - row),
                   std::min(grid.cols, p.cols - col)};
      Panels panels(memory + (size_t)omp_get_thread_num() * Panels::kFloats);
      if (!multiply_tile(p, t, static_cast<const In *>(A) + p.batch_a * matrix,
                         static_cast<const In *>(B) + p.batch_b * matrix,
                         static_cast<Out *>(C) + p.batch_c * matrix,
                         static_cast<const Out *>(bias), panels))
        done = false;
    }
  };
  with_type(p.in_dtype, [&](auto in) {
    if (p.out_dtype == LP_F32) run(in, float{});
    else run(in, in);
  });
  if (!done) fail(LP_EDEVICE, "oneDNN could not multiply in f32");
}

} // namespace lp
