// The gradient of a bias: the sum over the rows. (lp_linear_forward adds it.)
#include "common/checks.h"
#include "cuda/row_sums.h"
#include "cuda/rows.h"

namespace lp {

namespace {
// A warp walks down one pack of columns per lane, the warps of a block taking rows in turn.
constexpr int kWarps = 8;

template <bool aligned, class T>
__global__ void __launch_bounds__(32 * kWarps)
    bias_backward_kernel(const T *dy, float *partial, int N, int F, int rows) {
  constexpr int W = kPack<T>;
  GPU_SMEM(float, shared, [kWarps][W][32]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int f = (blockIdx.x * 32 + lane) * W;
  const int end = min(N, (int)(blockIdx.y + 1) * rows);
  float sum[W] = {};
  if (f < F)
    at_pack<aligned, W>(f, F, [&](int at, auto pack) {
      for (int n = blockIdx.y * rows + warp; n < end; n += kWarps) {
        float v[W];
        pack.load(dy + (size_t)n * F + at, v);
#pragma unroll
        for (int j = 0; j < W; j++) sum[j] += v[j];
      }
    });
#pragma unroll
  for (int j = 0; j < W; j++) shared[warp][j][lane] = sum[j];
  __syncthreads();
  if (warp > 0) return;
#pragma unroll
  for (int j = 0; j < W; j++)
    for (int i = 1; i < kWarps; i++) sum[j] += shared[i][j][lane];
  if (f < F)
    at_pack<aligned, W>(f, F, [&](int at, auto pack) {
      pack.store(partial + (size_t)blockIdx.y * F + at, sum);
    });
}
} // namespace

} // namespace lp

using namespace lp;

lp_status lp_bias_backward(lp_ctx *ctx, const void *dy, float *db, int32_t N, int32_t F,
                           lp_dtype dtype) {
  return guard_measured(ctx, "bias_backward", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      check_bias(N, F);
      if (N == 0 || F == 0) return;
      LP_CHECK_POINTERS(dy, db);
      constexpr int W = kPack<T>;
      const T *from = static_cast<const T *>(dy);
      const RowBlocks blocks(N, 4 * kWarps, 128);
      float *partial = ctx->workspace<float>((size_t)blocks.count * F);
      const dim3 grid((unsigned)(((int64_t)F + 32 * W - 1) / (32 * W)), blocks.count);
      with_bool(is_aligned<W>(F, from, partial), [&](auto aligned) {
        launch(ctx, "bias_backward", bias_backward_kernel<decltype(aligned)::value, T>, grid,
                   32 * kWarps, 0, from, partial, N, F, blocks.rows);
      });
      add_row_sums(ctx, "bias_backward", partial, blocks.count, F, {db});
    });
  });
}
