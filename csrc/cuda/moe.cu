// Mixture of experts: routing, rows by expert, and back. Formulas: common/moe.h
#include "common/moe.h"

#include "common/checks.h"
#include "cuda/copy_rows.h"
#include "cuda/packs.h"
#include "cuda/reduce.h"
#include "cuda/row_sums.h"
#include "cuda/rows.h"
#include "cuda/sort.h"

namespace lp {

namespace {
constexpr int kThreads = 128;

// Routing has a thread per token, and experts are few: the rows of a block's tokens come to shared
// memory and leave it side by side, and a thread walks its own there. An odd row length keeps
// threads in different banks.
struct RouteShape {
  int E, top, line, tokens; // floats of a line, tokens of a block
  RouteShape(int E, int top, int floats) : E(E), top(top), line(floats | 1) {
    tokens = std::max(1, std::min(kThreads, (int)(48 << 10) / (line * 4)));
  }
  size_t bytes() const { return (size_t)line * tokens * 4; }
  unsigned blocks(int N) const { return (unsigned)((N + tokens - 1) / tokens); }
};

// Calls run(row, i) for element i of [N, width], all those of a block's tokens, row counting from
// the first of them.
template <class Run> GPU_DEV void for_tokens(int first, int count, int width, Run run) {
  for (int i = threadIdx.x; i < count * width; i += kThreads)
    run(i / width, i % width, (size_t)first * width + i);
}

// A line of shared memory: p [E], weight [top], expert [top].
template <class T>
__global__ void __launch_bounds__(kThreads)
    route_forward_kernel(const T *x, float *p, int32_t *expert, float *weight, int N,
                         RouteShape shape) {
  GPU_DYN_SMEM(float, lines);
  const int E = shape.E, top = shape.top, line = shape.line;
  const int first = blockIdx.x * shape.tokens, count = min(shape.tokens, N - first);
  for_tokens(first, count, E,
             [&](int row, int e, size_t i) { lines[row * line + e] = to_float(x[i]); });
  __syncthreads();
  if ((int)threadIdx.x < count) {
    float *const own = lines + threadIdx.x * line;
    int32_t *const chosen = reinterpret_cast<int32_t *>(own + E + top);
    route_softmax(E, [&](int e) { return own[e]; }, own);
    route_choose(E, top, own, chosen, own + E);
  }
  __syncthreads();
  for_tokens(first, count, E, [&](int row, int e, size_t i) { p[i] = lines[row * line + e]; });
  for_tokens(first, count, top, [&](int row, int j, size_t i) {
    const float *const own = lines + row * line + E;
    weight[i] = own[j];
    expert[i] = reinterpret_cast<const int32_t *>(own + top)[j];
  });
}

// A line of shared memory: p, then dx [E].
template <class T>
__global__ void __launch_bounds__(kThreads)
    route_backward_kernel(const float *dweight, const float *p, const int32_t *expert,
                          const float *weight, const int32_t *counted, const float *balance, T *dx,
                          float balance_scale, int N, RouteShape shape) {
  GPU_DYN_SMEM(float, lines);
  const int E = shape.E, top = shape.top, line = shape.line;
  const int first = blockIdx.x * shape.tokens, count = min(shape.tokens, N - first);
  for_tokens(first, count, E, [&](int row, int e, size_t i) { lines[row * line + e] = p[i]; });
  __syncthreads();
  if ((int)threadIdx.x < count) {
    const int n = first + threadIdx.x;
    const size_t chosen = (size_t)n * top;
    float *const own = lines + threadIdx.x * line;
    const bool counts = counted == nullptr || counted[n] != 0;
    route_backward(dweight + chosen, own, expert + chosen, weight + chosen,
                   counts ? balance : nullptr, balance_scale, own, E, top);
  }
  __syncthreads();
  for_tokens(first, count, E,
             [&](int row, int e, size_t i) { dx[i] = from_float<T>(lines[row * line + e]); });
}

// partial [blocks, 2, E]: pairs of an expert and sums of its p, over the rows of each block.
__global__ void __launch_bounds__(256)
    route_statistics_kernel(const int32_t *counted, const float *p, const int32_t *expert,
                            float *partial, int N, int E, int top, int rows) {
  const int begin = blockIdx.x * rows, end = min(N, begin + rows);
  float *const out = partial + (size_t)blockIdx.x * 2 * E;
  for (int e = threadIdx.x; e < E; e += blockDim.x) {
    float pairs = 0, sum = 0;
    for (int n = begin; n < end; n++) {
      if (counted != nullptr && counted[n] == 0) continue;
      for (int j = 0; j < top; j++) pairs += expert[(size_t)n * top + j] == e ? 1.0f : 0.0f;
      sum += p[(size_t)n * E + e];
    }
    out[e] = pairs;
    out[E + e] = sum;
  }
}

// Of sorted keys: offset[e] is the first i with key[i] >= e, and slot the inverse of `order`.
__global__ void __launch_bounds__(256)
    slots_kernel(const int32_t *key, const int32_t *order, int32_t *offset, int32_t *slot, int R,
                 int E) {
  const int i = blockIdx.x * 256 + threadIdx.x;
  if (i > R) return;
  const int before = i == 0 ? -1 : key[i - 1], at = i == R ? E : key[i];
  for (int e = before + 1; e <= at; e++) offset[e] = i;
  if (i < R) slot[order[i]] = i;
}

struct GatherToSlots {
  const void *x;
  void *y;
  const int32_t *slot;
  size_t bytes; // of a row
  int top;
  GPU_DEV bool find(int pair, const char **from, char **to) const {
    *from = static_cast<const char *>(x) + pair / top * bytes;
    *to = static_cast<char *>(y) + slot[pair] * bytes;
    return true;
  }
  size_t border() const { return address_bits(x) | address_bits(y) | bytes; }
};

template <class T> struct Combine {
  static constexpr int W = kPack<T>;
  const T *x;
  const int32_t *slot;
  const float *weight; // may be null
  T *y;
  size_t D;
  int top;
  bool accumulate;
  template <class Pack> GPU_DEV void operator()(int n, int d, Pack pack) const {
    const size_t first = (size_t)n * top;
    T *const to = y + n * D + d;
    float sum[W] = {};
    if (accumulate) pack.load(to, sum);
    for (int j = 0; j < top; j++) {
      const float w = weight == nullptr ? 1.0f : weight[first + j];
      float row[W];
      pack.load(x + slot[first + j] * D + d, row);
#pragma unroll
      for (int i = 0; i < W; i++) sum[i] += w * row[i];
    }
    pack.store(to, sum);
  }
};

// A block takes a token, whose dy it reads again for each of its experts from the first-level
// cache.
template <bool aligned, class T>
__global__ void __launch_bounds__(256)
    combine_backward_kernel(const T *dy, const T *x, const int32_t *slot, const float *weight,
                            T *dx, float *dweight, int D, int top) {
  constexpr int W = kPack<T>;
  GPU_SMEM(float, shared, [2][1][kMostWarps]);
  const T *const from = dy + (size_t)blockIdx.x * D;
  for (int j = 0; j < top; j++) {
    const size_t pair = (size_t)blockIdx.x * top + j, row = (size_t)slot[pair] * D;
    const float w = weight[pair];
    float dot[1] = {0};
    for_packs<aligned, W>(D, threadIdx.x, blockDim.x, [&](int d, auto pack) {
      float g[W], v[W];
      pack.load(from + d, g);
      pack.load(x + row + d, v);
#pragma unroll
      for (int i = 0; i < W; i++) {
        dot[0] += g[i] * v[i];
        g[i] *= w;
      }
      pack.store(dx + row + d, g);
    });
    block_sum(dot, shared[j % 2]);
    if (threadIdx.x == 0) dweight[pair] = dot[0];
  }
}
} // namespace

} // namespace lp

using namespace lp;

lp_status lp_moe_route_forward(lp_ctx *ctx, const void *x, const int32_t *counted, float *p,
                               int32_t *expert, float *weight, float *statistics, int32_t N,
                               int32_t E, int32_t top, lp_dtype dtype) {
  return guard(ctx, "moe_route_forward", [&] {
    check_moe_route(N, E, top);
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (N == 0) return;
      LP_CHECK_POINTERS(x, p, expert, weight);
      const RouteShape shape(E, top, E + 2 * top);
      launch(ctx, "moe_route_forward", route_forward_kernel<T>, shape.blocks(N), kThreads,
             shape.bytes(), static_cast<const T *>(x), p, expert, weight, N, shape);
      if (statistics == nullptr) return;
      const RowBlocks blocks(N, 16, 256);
      float *partial = ctx->workspace<float>((size_t)blocks.count * 2 * E);
      launch(ctx, "moe_route_forward", route_statistics_kernel, blocks.count, threads_for(E), 0,
             counted, p, expert, partial, N, E, top, blocks.rows);
      check(cudaMemsetAsync(statistics, 0, sizeof(float) * 2 * E, ctx->stream()),
            "cudaMemsetAsync");
      add_row_sums(ctx, "moe_route_forward", partial, blocks.count, E,
                   {statistics, statistics + E});
    });
  });
}

lp_status lp_moe_route_backward(lp_ctx *ctx, const float *dweight, const float *p,
                                const int32_t *expert, const float *weight, const int32_t *counted,
                                const float *balance, void *dx, float balance_scale, int32_t N,
                                int32_t E, int32_t top, lp_dtype dtype) {
  return guard(ctx, "moe_route_backward", [&] {
    check_moe_route(N, E, top);
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (N == 0) return;
      LP_CHECK_POINTERS(dweight, p, expert, weight, dx);
      const RouteShape shape(E, top, E);
      launch(ctx, "moe_route_backward", route_backward_kernel<T>, shape.blocks(N), kThreads,
             shape.bytes(), dweight, p, expert, weight, counted, balance, static_cast<T *>(dx),
             balance_scale, N, shape);
    });
  });
}

lp_status lp_moe_sort(lp_ctx *ctx, const int32_t *expert, int32_t *offset, int32_t *slot, int32_t N,
                      int32_t E, int32_t top) {
  return guard_measured(ctx, "moe_sort", [&] {
    check_moe_route(N, E, top);
    if (N == 0) return;
    LP_CHECK_POINTERS(expert, offset, slot);
    const int R = N * top;
    int32_t *sorted = ctx->workspace<int32_t>(2 * (size_t)R + sort_workspace(R, E));
    int32_t *const order = sorted + R;
    sort(ctx, expert, R, E, sorted, order, order + R);
    launch(ctx, "moe_sort", slots_kernel, (unsigned)(((int64_t)R + 256) / 256), 256, 0, sorted,
           order, offset, slot, R, E);
  });
}

lp_status lp_moe_gather(lp_ctx *ctx, const void *x, const int32_t *slot, void *y, int32_t N,
                        int32_t D, int32_t top, lp_dtype dtype) {
  return guard(ctx, "moe_gather", [&] {
    check_moe_rows(N, D, top);
    const size_t bytes = (size_t)D * bytes_of(dtype);
    if (N == 0 || D == 0) return;
    LP_CHECK_POINTERS(x, slot, y);
    copy_rows(ctx, "moe_gather", N * top, bytes, GatherToSlots{x, y, slot, bytes, top});
  });
}

lp_status lp_moe_combine_forward(lp_ctx *ctx, const void *x, const int32_t *slot,
                                 const float *weight, void *y, int32_t N, int32_t D, int32_t top,
                                 int32_t accumulate, lp_dtype dtype) {
  return guard(ctx, "moe_combine_forward", [&] {
    check_moe_rows(N, D, top);
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (N == 0 || D == 0) return;
      LP_CHECK_POINTERS(x, slot, y);
      const Combine<T> op{static_cast<const T *>(x), slot, weight, static_cast<T *>(y), (size_t)D,
                          top, accumulate != 0};
      for_rows(ctx, "moe_combine_forward", N, D, is_aligned<op.W>(D, op.x, op.y), op);
    });
  });
}

lp_status lp_moe_combine_backward(lp_ctx *ctx, const void *dy, const void *x, const int32_t *slot,
                                  const float *weight, void *dx, float *dweight, int32_t N,
                                  int32_t D, int32_t top, lp_dtype dtype) {
  return guard(ctx, "moe_combine_backward", [&] {
    check_moe_rows(N, D, top);
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (N == 0) return;
      LP_CHECK_POINTERS(dy, x, slot, weight, dx, dweight);
      constexpr int W = kPack<T>;
      const T *grad = static_cast<const T *>(dy), *from = static_cast<const T *>(x);
      T *to = static_cast<T *>(dx);
      with_bool(is_aligned<W>(D, grad, from, to), [&](auto aligned) {
        launch(ctx, "moe_combine_backward", combine_backward_kernel<decltype(aligned)::value, T>, N,
               threads_for((D + W - 1) / W), 0, grad, from, slot, weight, to, dweight, D, top);
      });
    });
  });
}
