// Products by expert: how many rows an expert has stands on the device, and no call waits for it.
//
// The forward has a block per tile of C; as many are launched as there can be, and each finds its
// expert from the offsets. The weight gradient has a block per tile of each expert's matrix, which
// walks that expert's rows. f32 goes through plain multiplications, element types of 16 bits
// through tensor cores, where the device has the instructions.
#include "common/checks.h"
#include "cuda/context.h"
#include "cuda/plain_product.h"
#include "cuda/reduce.h"
#include "cuda/tile_product.h"

namespace lp {

namespace {
// Rows begin .. end - 1 of C, of one expert; none when expert < 0.
struct RowTile {
  int expert, begin, end;
};

// The tile-th run of at most `rows` rows, counting through all experts. Every warp finds it alone.
GPU_DEV RowTile find_tile(const int32_t *offset, int E, int rows, int tile) {
  const int lane = threadIdx.x % 32;
  for (int first = 0, sum = 0; first < E; first += 32) {
    const int e = first + lane;
    const int begin = e < E ? offset[e] : 0, end = e < E ? offset[e + 1] : 0;
    const int tiles = (end - begin + rows - 1) / rows;
    const int upto = warp_sum_upto(tiles);
    const unsigned beyond = __ballot_sync(kAllLanes, sum + upto > tile);
    if (beyond != 0) {
      const int owner = __ffs(beyond) - 1;
      const int at = begin + (tile - (sum + upto - tiles)) * rows;
      return {first + owner, __shfl_sync(kAllLanes, at, owner),
              __shfl_sync(kAllLanes, min(end, at + rows), owner)};
    }
    sum += __shfl_sync(kAllLanes, upto, 31);
  }
  return {-1, 0, 0};
}

// Writes a warp's tile, rounded, as rows of whole sectors, by way of shared memory.
template <bool aligned, class T>
GPU_DEV void store_rounded(const WarpTile &tile, T *C, int rows, int cols, int row, int col,
                           T *shared) {
  constexpr int kLine = WarpTile::cols + 8; // so that lines lie in different banks
  const int lane = threadIdx.x % 32;
  T *const own = shared + threadIdx.x / 32 * 16 * kLine;
#pragma unroll
  for (int i = 0; i < WarpTile::rows / 16; i++) {
#pragma unroll
    for (int j = 0; j < WarpTile::cols / 8; j++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const float pair[2] = {tile.c[i][j][2 * half], tile.c[i][j][2 * half + 1]};
        store(own + (lane / 4 + half * 8) * kLine + j * 8 + lane % 4 * 2, pair);
      }
    __syncwarp();
#pragma unroll
    for (int part = 0; part < 2; part++) {
      const int line = part * 8 + lane / 4, chunk = lane % 4 * 8;
      const int r = row + WarpTile::row() + i * 16 + line, c = col + WarpTile::col() + chunk;
      if (r >= rows || c >= cols) continue;
      float v[8];
      load(own + line * kLine + chunk, v);
      at_pack<aligned, 8>(c, cols, [&](int at, auto pack) {
        pack.store(C + (size_t)r * cols + at, v);
      });
    }
    __syncwarp(); // all have read what the next part overwrites
  }
}

template <bool b_along, bool aligned, class T>
__global__ void __launch_bounds__(kTileThreads, aligned ? 2 : 1)
    moe_gemm_kernel(const T *A, const T *B, T *C, const int32_t *offset, int cols, int inner, int E,
                    int col_tiles) {
  GPU_DYN_SMEM(T, shared);
  const RowTile rows = find_tile(offset, E, kTile, blockIdx.x / col_tiles);
  if (rows.expert < 0) return;
  const int col = blockIdx.x % col_tiles * kTile, count = rows.end - rows.begin;
  const Operand<T> a{A + (size_t)rows.begin * inner, (size_t)inner, count, inner};
  const T *const b_at = B + (size_t)rows.expert * cols * inner;
  const Operand<T> b = b_along ? Operand<T>{b_at, (size_t)inner, cols, inner}
                               : Operand<T>{b_at, (size_t)cols, inner, cols};
  WarpTile tile;
  multiply_tile<true, b_along, aligned>(tile, a, b, 0, col, inner, shared);
  __syncthreads(); // the last stages are read: their memory serves the stores
  store_rounded<aligned>(tile, C + (size_t)rows.begin * cols, count, cols, 0, col, shared);
}

template <bool aligned, class T>
__global__ void __launch_bounds__(kTileThreads, aligned ? 2 : 1)
    moe_gemm_weight_kernel(const T *A, const T *B, float *C, const int32_t *offset, int rows,
                           int cols, int col_tiles) {
  GPU_DYN_SMEM(T, shared);
  const int expert = blockIdx.y, begin = offset[expert], count = offset[expert + 1] - begin;
  if (count == 0) return;
  const int row = blockIdx.x / col_tiles * kTile, col = blockIdx.x % col_tiles * kTile;
  const Operand<T> a{A + (size_t)begin * rows, (size_t)rows, count, rows};
  const Operand<T> b{B + (size_t)begin * cols, (size_t)cols, count, cols};
  WarpTile tile;
  multiply_tile<false, false, aligned>(tile, a, b, row, col, count, shared);
  const int lane = threadIdx.x % 32;
  float *const out = C + (size_t)expert * rows * cols;
#pragma unroll
  for (int i = 0; i < WarpTile::rows / 16; i++)
#pragma unroll
    for (int j = 0; j < WarpTile::cols / 8; j++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int r = row + WarpTile::row() + i * 16 + half * 8 + lane / 4;
        const int c = col + WarpTile::col() + j * 8 + lane % 4 * 2;
        if (r >= rows || c >= cols) continue;
        at_pack<aligned, 2>(c, cols, [&](int at, auto pack) {
          float sum[2];
          pack.load(out + (size_t)r * cols + at, sum);
          sum[0] += tile.c[i][j][2 * half];
          sum[1] += tile.c[i][j][2 * half + 1];
          pack.store(out + (size_t)r * cols + at, sum);
        });
      }
}

// The same with plain multiplications.
template <bool b_along, class T>
__global__ void __launch_bounds__(kPlainThreads)
    plain_moe_gemm_kernel(const T *A, const T *B, T *C, const int32_t *offset, int cols, int inner,
                          int E, int col_tiles) {
  const RowTile rows = find_tile(offset, E, kPlainTile, blockIdx.x / col_tiles);
  if (rows.expert < 0) return;
  const int col = blockIdx.x % col_tiles * kPlainTile;
  const T *const b = B + (size_t)rows.expert * cols * inner;
  PlainTile tile;
  multiply_plain<true, b_along>(
      tile, rows.end - rows.begin, cols, 0, col, inner,
      [&](int m, int k) { return to_float(A[(size_t)(rows.begin + m) * inner + k]); },
      [&](int k, int n) {
        return to_float(b_along ? b[(size_t)n * inner + k] : b[(size_t)k * cols + n]);
      });
  tile.for_elements(rows.end - rows.begin, cols, 0, col, [&](int m, int n, float sum) {
    C[(size_t)(rows.begin + m) * cols + n] = from_float<T>(sum);
  });
}

template <class T>
__global__ void __launch_bounds__(kPlainThreads)
    plain_moe_gemm_weight_kernel(const T *A, const T *B, float *C, const int32_t *offset, int rows,
                                 int cols, int col_tiles) {
  const int expert = blockIdx.y, begin = offset[expert], count = offset[expert + 1] - begin;
  if (count == 0) return;
  const int row = blockIdx.x / col_tiles * kPlainTile, col = blockIdx.x % col_tiles * kPlainTile;
  PlainTile tile;
  multiply_plain<false, false>(
      tile, rows, cols, row, col, count,
      [&](int m, int k) { return to_float(A[(size_t)(begin + k) * rows + m]); },
      [&](int k, int n) { return to_float(B[(size_t)(begin + k) * cols + n]); });
  tile.for_elements(rows, cols, row, col, [&](int m, int n, float sum) {
    C[((size_t)expert * rows + m) * cols + n] += sum;
  });
}

template <class T> bool uses_tiles(const lp_ctx *ctx) { return sizeof(T) == 2 && ctx->has_tiles(); }

int tiles_of(int n, int tile) { return (n + tile - 1) / tile; }

// As many tiles as R rows of E experts can have.
unsigned most_tiles(int R, int E, int tile) { return (unsigned)(R / tile + std::min(R, E)); }
} // namespace

} // namespace lp

using namespace lp;

lp_status lp_moe_gemm(lp_ctx *ctx, const void *A, const void *B, void *C, const int32_t *offset,
                      int32_t R, int32_t cols, int32_t inner, int32_t E, int32_t trans_b,
                      lp_dtype dtype) {
  return guard(ctx, "moe_gemm", [&] {
    check_moe_product(R, cols, inner, E);
    LP_CHECK(trans_b == 0 || trans_b == 1, "trans_b must be 0 or 1, found %d", trans_b);
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (R == 0 || cols == 0) return;
      LP_CHECK(inner >= 1, "inner must be >= 1, found %d", inner);
      LP_CHECK_POINTERS(A, B, C, offset);
      const T *a = static_cast<const T *>(A), *b = static_cast<const T *>(B);
      T *c = static_cast<T *>(C);
      with_bool(trans_b == 1, [&](auto b_along) {
        if (!uses_tiles<T>(ctx)) {
          const int col_tiles = tiles_of(cols, kPlainTile);
          launch(ctx, "moe_gemm", plain_moe_gemm_kernel<decltype(b_along)::value, T>,
                 most_tiles(R, E, kPlainTile) * col_tiles, kPlainThreads, 0, a, b, c, offset, cols,
                 inner, E, col_tiles);
        } else if constexpr (sizeof(T) == 2) {
          const int col_tiles = tiles_of(cols, kTile);
          with_bool(is_aligned<8>(inner, a, b, c) && cols % 8 == 0, [&](auto aligned) {
            launch(ctx, "moe_gemm",
                   moe_gemm_kernel<decltype(b_along)::value, decltype(aligned)::value, T>,
                   most_tiles(R, E, kTile) * col_tiles, kTileThreads, kTileShared, a, b, c, offset,
                   cols, inner, E, col_tiles);
          });
        }
      });
    });
  });
}

lp_status lp_moe_gemm_weight(lp_ctx *ctx, const void *A, const void *B, float *C,
                             const int32_t *offset, int32_t R, int32_t rows, int32_t cols,
                             int32_t E, lp_dtype dtype) {
  return guard(ctx, "moe_gemm_weight", [&] {
    check_moe_product(R, rows, cols, E);
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (R == 0 || rows == 0 || cols == 0) return;
      LP_CHECK_POINTERS(A, B, C, offset);
      const T *a = static_cast<const T *>(A), *b = static_cast<const T *>(B);
      if (!uses_tiles<T>(ctx)) {
        const int col_tiles = tiles_of(cols, kPlainTile);
        launch(ctx, "moe_gemm_weight", plain_moe_gemm_weight_kernel<T>,
               dim3((unsigned)tiles_of(rows, kPlainTile) * col_tiles, E), kPlainThreads, 0, a, b, C,
               offset, rows, cols, col_tiles);
      } else if constexpr (sizeof(T) == 2) {
        const int col_tiles = tiles_of(cols, kTile);
        with_bool(is_aligned<8>(rows, a, b) && cols % 8 == 0 && is_aligned<2>(0, C),
                  [&](auto aligned) {
                    launch(ctx, "moe_gemm_weight",
                           moe_gemm_weight_kernel<decltype(aligned)::value, T>,
                           dim3((unsigned)tiles_of(rows, kTile) * col_tiles, E), kTileThreads,
                           kTileShared, a, b, C, offset, rows, cols, col_tiles);
                  });
      }
    });
  });
}
