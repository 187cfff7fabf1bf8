// Products of tiles that stay in the caches: what attention is made of.
//
//   C[r][c] = sum_i A[r, i] * B[i][c]        r: broadcast,  c: lanes of vectors,  i: inner
//
// A is read element by element at any two strides, so it never needs a transposed copy. A block of
// rows x vectors of C stays in registers over the whole inner loop: 16 with AVX-512 (of 32), 12
// below (of 16), enough to hide the latency of the multiply-add, with fewer loads than
// multiply-adds.
#ifndef LLMPIPE_CPU_TILE_PRODUCT_H
#define LLMPIPE_CPU_TILE_PRODUCT_H

#include <stddef.h>

#include "cpu/simd.h"

namespace lp {

constexpr int kVectors = kWidth == 16 ? 4 : 3; // vectors of C side by side in registers
constexpr int kRowStep = 8;                    // rows of C are a multiple of it

// What becomes of the earlier C, after which the product is added.
enum class Earlier { Dropped, Kept, Scaled };

// Arithmetic of f32 elements. Another one may put several elements of the inner dimension in one
// word.
struct F32 {
  typedef float Word; // what one step of the inner loop reads of A, and of each lane of B
  static constexpr int kElements = 1; // of a word
  static LP_HD void multiply_add(vf &sum, const float *a, vf b) { sum += *a * b; }
  // Makes words of x0 and x1, vectors of two successive rows: `across` for products that sum over
  // rows, `along` for those that sum over lanes. The stride is that of rows of words.
  static LP_HD void put_across(float *to, ptrdiff_t stride, vf x0, vf x1) {
    store(to, x0);
    store(to + stride, x1);
  }
  static LP_HD void put_along(float *to, ptrdiff_t stride, vf x0, vf x1) {
    put_across(to, stride, x0, x1);
  }
};

template <class Arithmetic, Earlier earlier, int rows, int vectors>
LP_HD void multiply_block(const typename Arithmetic::Word *A, ptrdiff_t row_stride,
                          ptrdiff_t inner_stride, const typename Arithmetic::Word *B, ptrdiff_t ldb,
                          float *C, ptrdiff_t ldc, int inner, const float *scale) {
  vf sum[rows][vectors] = {};
  for (int i = 0; i < inner; i++) {
    vf b[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) b[v] = load(B + v * kWidth);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; v++)
        Arithmetic::multiply_add(sum[r][v], A + r * row_stride, b[v]);
    A += inner_stride;
    B += ldb;
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
      float *c = C + r * ldc + v * kWidth;
      if (earlier == Earlier::Kept) sum[r][v] += load(c);
      if (earlier == Earlier::Scaled) sum[r][v] += load(c) * load(scale + v * kWidth);
      store(c, sum[r][v]);
    }
}

// C [rows, vectors * kWidth] = product of A [rows, inner] and B [inner, vectors * kWidth].
//   rows    a multiple of kRowStep; element (r, i) of A is at r * row_stride + i * inner_stride
//   scale   [vectors * kWidth], by lane, for Earlier::Scaled
template <class Arithmetic, Earlier earlier>
inline void multiply_tile(const typename Arithmetic::Word *A, ptrdiff_t row_stride,
                          ptrdiff_t inner_stride, const typename Arithmetic::Word *B, ptrdiff_t ldb,
                          float *C, ptrdiff_t ldc, int rows, int vectors, int inner,
                          const float *scale = nullptr) {
  for (int v = 0; v < vectors; v += kVectors) {
    const int now = vectors - v < kVectors ? vectors - v : kVectors;
    const auto *b = B + v * kWidth;
    float *c = C + v * kWidth;
    const float *s = earlier == Earlier::Scaled ? scale + v * kWidth : nullptr;
    const int step = now == 1 ? 8 : 4;
    for (int r = 0; r < rows; r += step) {
      const auto *a = A + r * row_stride;
      float *to = c + r * ldc;
#define BLOCK(rows, vectors)                                                                       \
  multiply_block<Arithmetic, earlier, rows, vectors>(a, row_stride, inner_stride, b, ldb, to, ldc, \
                                                     inner, s)
      if (now == 4) BLOCK(4, 4);
      else if (now == 3) BLOCK(4, 3);
      else if (now == 2) BLOCK(4, 2);
      else BLOCK(8, 1);
#undef BLOCK
    }
  }
}

} // namespace lp
#endif
