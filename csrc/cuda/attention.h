// What the attention kernels share: the shape of the problem, and which of them can do it.
#ifndef LLMPIPE_CUDA_ATTENTION_H
#define LLMPIPE_CUDA_ATTENTION_H

#include "common/attention.h"
#include "common/dropout.h"
#include "cuda/context.h"

namespace lp {

struct Attention {
  const int32_t *begin, *end; // [B, Tq]
  const float *slope;         // [H] or null
  int B, Tq, Tk, H, G, K;
  int q_stride, kv_stride, o_stride;
  size_t kv_batch;
  float scale;
  Dropout dropout; // of the probabilities
  int heads_of_group; // H / G

  LP_HD size_t row(int b, int t) const { return (size_t)b * Tq + t; } // of q, o, begin, end
  LP_HD int head(int b, int h) const { return b * H + h; } // through all sequences
  LP_HD size_t lse_row(int b, int h, int t) const { return (size_t)head(b, h) * Tq + t; }
  LP_HD size_t q_at(int b, int t, int h) const { return row(b, t) * q_stride + (size_t)h * K; }
  LP_HD size_t o_at(int b, int t, int h) const { return row(b, t) * o_stride + (size_t)h * K; }
  LP_HD size_t kv_at(int b, int j, int g) const {
    return (size_t)b * kv_batch + (size_t)j * kv_stride + (size_t)g * K;
  }
};

struct AttentionGradients { // strides of dq, and of dk and dv
  int q_stride, kv_stride;
  size_t kv_batch;

  LP_HD size_t kv_at(int b, int j, int g, int K) const {
    return (size_t)b * kv_batch + (size_t)j * kv_stride + (size_t)g * K;
  }
};

template <class T> struct AttentionInputs {
  const T *q, *k, *v, *o, *d_o;
  const float *lse;
};
template <class T> struct AttentionOutputs {
  T *dq, *dk, *dv;
};

// ---- In tiles, on tensor cores: cuda/attention_forward.cu, cuda/attention_backward.cu

// What happens to scores and probabilities besides: nothing; biases, or a scale that is not
// positive; or dropout too.
enum class Extras { none, biases, dropout };

// Whether there are kernels of width K.
constexpr bool has_tile_width(int K) { return K == 64 || K == 80 || K == 96 || K == 128; }
template <class Run> void with_tile_width(int K, Run &&run) {
  switch (K) {
  case 64: return run(std::integral_constant<int, 64>());
  case 80: return run(std::integral_constant<int, 80>());
  case 96: return run(std::integral_constant<int, 96>());
  case 128: return run(std::integral_constant<int, 128>());
  }
}
template <class T>
void attention_tiles_forward(lp_ctx *ctx, const Attention &shape, const T *q, const T *k,
                             const T *v, T *o, float *lse);
template <class T>
void attention_tiles_backward(lp_ctx *ctx, const Attention &shape,
                              const AttentionGradients &strides, const AttentionInputs<T> &in,
                              const AttentionOutputs<T> &out);

// ---- One warp per row, any K, type and alignment: cuda/attention_rows.cu
template <class T>
void attention_rows_forward(lp_ctx *ctx, const Attention &shape, const T *q, const T *k,
                            const T *v, T *o, float *lse);
template <class T>
void attention_rows_backward(lp_ctx *ctx, const Attention &shape,
                             const AttentionGradients &strides, const AttentionInputs<T> &in,
                             const AttentionOutputs<T> &out);
// The forward for few queries of many keys without dropout: the keys are split too.
constexpr int kFewQueries = 4;
template <class T>
void attention_rows_decode(lp_ctx *ctx, const Attention &shape, const T *q, const T *k, const T *v,
                           T *o, float *lse);

// ---- Device side

// Keys that query t sees, within the sequence whatever memory holds.
struct alignas(8) KeyRange {
  int begin, end;
  GPU_DEV bool has(int j) const { return j >= begin && j < end; }
};
GPU_DEV KeyRange keys_of(const Attention &a, int b, int t) {
  const size_t i = a.row(b, t);
  return {max(a.begin[i], 0), min(a.end[i], a.Tk)};
}

// Reports the limits of query t that make no sense.
GPU_DEV void check_limits(const Attention &a, int b, int t, DeviceFault *fault) {
  const size_t i = a.row(b, t);
  const int limits[2] = {a.begin[i], a.end[i]};
  for (int k = 0; k < 2; k++) {
    const int earlier = t == 0 ? 0 : (k == 0 ? a.begin : a.end)[i - 1];
    if (limits[k] < earlier || limits[k] > a.Tk)
      report(fault, FaultKind::attention_range, (int)i, limits[k], a.Tk);
  }
}

// The first of [0, n) for which holds(), which stays true once it is; n if there is none. All lanes
// of a warp take part.
template <class Holds> GPU_DEV int first_that(int n, Holds holds) {
  const int lane = (int)threadIdx.x & 31;
  int from = 0, to = n;
  while (from < to) {
    const int step = (to - from + 31) / 32, at = from + lane * step;
    const unsigned yes = __ballot_sync(0xffffffffu, at >= to || holds(at));
    const int before = yes == 0 ? 32 : __ffs((int)yes) - 1; // lanes at which it does not hold
    if (before == 0) return from;
    to = min(to, from + before * step);
    from += (before - 1) * step + 1;
  }
  return from;
}

} // namespace lp
#endif
