// Embedding: rows of a table, and sums into them.
//
// The sums are those of the CPU in every bit: rows are sorted by id, stably, and the block of the
// first one of an id adds them all to the row of dw in their order.
#include "common/checks.h"
#include "cuda/copy_rows.h"
#include "cuda/packs.h"
#include "cuda/reduce.h"
#include "cuda/sort.h"

namespace lp {

namespace {
struct Lookup {
  const void *w;
  void *y;
  const int32_t *id;
  size_t bytes; // of a row
  int V;
  DeviceFault *fault;
  GPU_DEV bool find(int n, const char **from, char **to) const {
    if (id[n] < 0 || id[n] >= V) {
      report(fault, FaultKind::embedding_id, n, id[n], V);
      return false;
    }
    *from = static_cast<const char *>(w) + id[n] * bytes;
    *to = static_cast<char *>(y) + n * bytes;
    return true;
  }
  size_t border() const { return address_bits(w) | address_bits(y) | bytes; }
};

// key[n] = id[n], or V where there is nothing to add.
__global__ void __launch_bounds__(256) keys_kernel(const int32_t *id, int32_t *key, int N, int V,
                                                   int padding_id, DeviceFault *fault) {
  const int n = blockIdx.x * 256 + threadIdx.x;
  if (n >= N) return;
  const bool is_known = id[n] >= 0 && id[n] < V;
  if (!is_known) report(fault, FaultKind::embedding_id, n, id[n], V);
  key[n] = is_known && id[n] != padding_id ? id[n] : V;
}

constexpr int kAhead = 4; // rows whose loads are under way together

template <bool aligned, class T>
__global__ void __launch_bounds__(256)
    add_rows_kernel(const int32_t *key, const int32_t *order, const T *dy, float *dw, int N, int D,
                    int V, int parts) {
  constexpr int W = kPack<T, float>;
  const int first = blockIdx.x / parts, part = blockIdx.x % parts;
  const int d = (part * blockDim.x + threadIdx.x) * W, id = key[first];
  if (id == V || (first > 0 && key[first - 1] == id) || d >= D) return;
  at_pack<aligned, W>(d, D, [&](int at, auto pack) {
    float sum[W];
    pack.load(dw + (size_t)id * D + at, sum);
    for (int i = first, count = kAhead; count == kAhead; i += kAhead) {
      float v[kAhead][W];
      count = 0;
#pragma unroll
      for (int k = 0; k < kAhead; k++) {
        if (i + k < N && key[i + k] == id) {
          pack.load(dy + (size_t)order[i + k] * D + at, v[k]);
          count = k + 1;
        }
      }
#pragma unroll
      for (int k = 0; k < kAhead; k++)
        if (k < count)
#pragma unroll
          for (int j = 0; j < W; j++) sum[j] += v[k][j];
    }
    pack.store(dw + (size_t)id * D + at, sum);
  });
}
} // namespace

} // namespace lp

using namespace lp;

lp_status lp_embedding_forward(lp_ctx *ctx, const int32_t *id, const void *w, void *y, int32_t N,
                               int32_t D, int32_t V, lp_dtype dtype) {
  return guard(ctx, "embedding_forward", [&] {
    check_embedding(N, D, V);
    const size_t bytes = (size_t)D * bytes_of(dtype);
    if (N == 0 || D == 0) return;
    LP_CHECK_POINTERS(id, w, y);
    copy_rows(ctx, "embedding_forward", N, bytes, Lookup{w, y, id, bytes, V, ctx->fault});
  });
}

lp_status lp_embedding_backward(lp_ctx *ctx, const int32_t *id, const void *dy, float *dw,
                                int32_t N, int32_t D, int32_t V, int32_t padding_id,
                                lp_dtype dtype) {
  return guard_measured(ctx, "embedding_backward", [&] {
    check_embedding(N, D, V);
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (N == 0 || D == 0) return;
      LP_CHECK_POINTERS(id, dy, dw);
      constexpr int W = kPack<T, float>;
      int32_t *key = ctx->workspace<int32_t>(3 * (size_t)N + sort_workspace(N, V + 1));
      int32_t *const sorted = key + N, *const order = sorted + N;
      launch(ctx, "embedding_backward", keys_kernel, (unsigned)(((int64_t)N + 255) / 256), 256, 0,
             id, key, N, V, padding_id, ctx->fault);
      sort(ctx, key, N, V + 1, sorted, order, order + N);
      const T *from = static_cast<const T *>(dy);
      const int packs = (D + W - 1) / W, threads = threads_for(packs);
      const int parts = (packs + threads - 1) / threads;
      with_bool(is_aligned<W>(D, from, dw), [&](auto aligned) {
        launch(ctx, "embedding_backward", add_rows_kernel<decltype(aligned)::value, T>,
               (unsigned)N * parts, threads, 0, sorted, order, from, dw, N, D, V, parts);
      });
    });
  });
}
