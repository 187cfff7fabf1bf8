// Products that cuBLASLt has no kernel for: any types, strides and addresses, in f32 without tensor
// cores. A block makes a tile of one matrix; the matrices of a batch are the z of the grid.
#include "cuda/gemm.h"
#include "cuda/plain_product.h"

namespace lp {

namespace {
constexpr int kMostMatrices = 65535; // of a launch, by the limit of the grid

// What a kernel needs of a Product, strides as size_t.
struct Sizes {
  int rows, cols, inner, col_tiles;
  size_t lda, ldb, ldc, batch_a, batch_b, batch_c;
  float alpha, beta;
};

template <bool trans_a, bool trans_b, class In, class Out>
__global__ void __launch_bounds__(kPlainThreads)
    product_kernel(const In *A, const In *B, Out *C, const Out *bias, Sizes s) {
  const int row = blockIdx.x / s.col_tiles * kPlainTile,
            col = blockIdx.x % s.col_tiles * kPlainTile;
  const In *const a = A + blockIdx.z * s.batch_a, *const b = B + blockIdx.z * s.batch_b;
  Out *const c = C + blockIdx.z * s.batch_c;
  PlainTile tile;
  multiply_plain<!trans_a, trans_b>(
      tile, s.rows, s.cols, row, col, s.inner,
      [&](int m, int k) { return to_float(trans_a ? a[k * s.lda + m] : a[m * s.lda + k]); },
      [&](int k, int n) { return to_float(trans_b ? b[n * s.ldb + k] : b[k * s.ldb + n]); });
  tile.for_elements(s.rows, s.cols, row, col, [&](int m, int n, float sum) {
    Out *const to = c + m * s.ldc + n;
    *to = from_float<Out>(s.alpha * sum + (s.beta == 0 ? 0.0f : s.beta * to_float(*to)) +
                          (bias == nullptr ? 0.0f : to_float(bias[n])));
  });
}

template <class In, class Out>
void run(lp_ctx *ctx, const Product &p, const Sizes &sizes, const In *A, const In *B, Out *C,
         const Out *bias) {
  const auto kernel =
      p.trans_a
          ? (p.trans_b ? product_kernel<true, true, In, Out> : product_kernel<true, false, In, Out>)
          : (p.trans_b ? product_kernel<false, true, In, Out>
                       : product_kernel<false, false, In, Out>);
  const unsigned tiles = (unsigned)((p.rows + kPlainTile - 1) / kPlainTile * sizes.col_tiles);
  for (int first = 0; first < p.batch; first += kMostMatrices) {
    const int count = p.batch - first < kMostMatrices ? p.batch - first : kMostMatrices;
    launch(ctx, "gemm", kernel, dim3(tiles, 1, (unsigned)count), kPlainThreads, 0,
           A + (size_t)first * p.batch_a, B + (size_t)first * p.batch_b,
           C + (size_t)first * p.batch_c, bias, sizes);
  }
}
} // namespace

void multiply_by_kernel(lp_ctx *ctx, const Product &p, const void *A, const void *B, void *C,
                        const void *bias) {
  const Sizes sizes{p.rows,
                    p.cols,
                    p.inner,
                    (p.cols + kPlainTile - 1) / kPlainTile,
                    (size_t)p.lda,
                    (size_t)p.ldb,
                    (size_t)p.ldc,
                    (size_t)p.batch_a,
                    (size_t)p.batch_b,
                    (size_t)p.batch_c,
                    p.alpha,
                    p.beta};
  with_type(p.in_dtype, [&](auto type) {
    using In = decltype(type);
    const auto *a = static_cast<const In *>(A), *b = static_cast<const In *>(B);
    if (p.out_dtype == p.in_dtype)
      run(ctx, p, sizes, a, b, static_cast<In *>(C), static_cast<const In *>(bias));
    else
      run(ctx, p, sizes, a, b, static_cast<float *>(C), static_cast<const float *>(bias));
  });
}

} // namespace lp
