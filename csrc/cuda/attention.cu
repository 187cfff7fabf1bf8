// Attention: checks, and the choice of kernels.
#include "cuda/attention.h"

#include "common/checks.h"
#include "cuda/vector.h"

namespace lp {

namespace {
void check(const Attention &a, int32_t algorithm) {
  LP_CHECK(a.B >= 0 && a.Tq >= 0 && a.Tk >= 0, "B, Tq and Tk must be >= 0, found %d, %d, %d", a.B,
           a.Tq, a.Tk);
  LP_CHECK(a.K >= 0 && a.K <= 256, "K must be in 0..256, found %d", a.K);
  LP_CHECK(a.G >= 1 && a.H >= 0 && a.H % a.G == 0,
           "H must be a multiple of G, found H = %d, G = %d", a.H, a.G);
  LP_CHECK(a.q_stride >= a.H * a.K, "q_stride must be >= H*K = %d, found %d", a.H * a.K,
           a.q_stride);
  LP_CHECK(a.o_stride >= a.H * a.K, "o_stride must be >= H*K = %d, found %d", a.H * a.K,
           a.o_stride);
  LP_CHECK(a.kv_stride >= a.G * a.K, "kv_stride must be >= G*K = %d, found %d", a.G * a.K,
           a.kv_stride);
  LP_CHECK(algorithm == LP_ATTENTION_FLASH || algorithm == LP_ATTENTION_REFERENCE,
           "algorithm must be flash (0) or reference (1), found %d", algorithm);
}

void check(const Attention &a, const AttentionGradients &strides) {
  LP_CHECK(strides.q_stride >= a.H * a.K, "dq_stride must be >= H*K = %d, found %d", a.H * a.K,
           strides.q_stride);
  LP_CHECK(strides.kv_stride >= a.G * a.K, "dkv_stride must be >= G*K = %d, found %d", a.G * a.K,
           strides.kv_stride);
}

// Whether the kernels on tensor cores can do it: all rows begin at multiples of 16 bytes.
template <class T>
bool suits_tiles(const Attention &a, std::initializer_list<const void *> tensors,
                 std::initializer_list<size_t> other_strides) {
  if (sizeof(T) != 2 || !has_tile_width(a.K) || !is_aligned(tensors)) return false;
  size_t bits = (size_t)a.q_stride | (size_t)a.kv_stride | a.kv_batch | (size_t)a.o_stride;
  for (const size_t stride : other_strides) bits |= stride;
  return bits % kWidth<T> == 0;
}

template <class T>
void forward(lp_ctx *ctx, const Attention &a, const T *q, const T *k, const T *v, T *o, float *lse,
             int32_t algorithm) {
  if (algorithm == LP_ATTENTION_FLASH && a.Tq <= kFewQueries && !a.dropout.drops())
    return attention_rows_decode(ctx, a, q, k, v, o, lse);
  if constexpr (sizeof(T) == 2)
    if (algorithm == LP_ATTENTION_FLASH && ctx->has_tiles() &&
        suits_tiles<T>(a, {q, k, v, o}, {}))
      return attention_tiles_forward(ctx, a, q, k, v, o, lse);
  attention_rows_forward(ctx, a, q, k, v, o, lse);
}

template <class T>
void backward(lp_ctx *ctx, const Attention &a, const AttentionGradients &strides,
              const AttentionInputs<T> &in, const AttentionOutputs<T> &out, int32_t algorithm) {
  if constexpr (sizeof(T) == 2)
    if (algorithm == LP_ATTENTION_FLASH && ctx->has_tiles() &&
        suits_tiles<T>(a, {in.q, in.k, in.v, in.o, in.d_o, out.dq, out.dk, out.dv},
                       {(size_t)strides.q_stride, (size_t)strides.kv_stride, strides.kv_batch}))
      return attention_tiles_backward(ctx, a, strides, in, out);
  attention_rows_backward(ctx, a, strides, in, out);
}
} // namespace

} // namespace lp

using namespace lp;

lp_status lp_attention_forward(lp_ctx *ctx, const void *q, const void *k, const void *v,
                               const int32_t *begin, const int32_t *end, const float *slope,
                               void *o, float *lse, int32_t B, int32_t Tq, int32_t Tk, int32_t H,
                               int32_t G, int32_t K, int32_t q_stride, int32_t kv_stride,
                               size_t kv_batch, int32_t o_stride, float scale, float dropout,
                               uint64_t seed, int32_t algorithm, lp_dtype dtype) {
  return guard_measured(ctx, "attention_forward", [&] {
    const Attention a{begin,     end,      slope,    B,        Tq,
                      Tk,        H,        G,        K,        q_stride,
                      kv_stride, o_stride, kv_batch, scale,    {dropout, seed},
                      G > 0 ? H / G : 0};
    check(a, algorithm);
    check_dropout(dropout);
    check_type(ctx, dtype);
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (B == 0 || Tq == 0 || Tk == 0 || H == 0 || K == 0) return;
      LP_CHECK_POINTERS(q, k, v, begin, end, o);
      forward(ctx, a, static_cast<const T *>(q), static_cast<const T *>(k),
              static_cast<const T *>(v), static_cast<T *>(o), lse, algorithm);
    });
  });
}

lp_status lp_attention_backward(lp_ctx *ctx, const void *d_o, const void *q, const void *k,
                                const void *v, const void *o, const float *lse,
                                const int32_t *begin, const int32_t *end, const float *slope,
                                void *dq, void *dk, void *dv, int32_t B, int32_t Tq, int32_t Tk,
                                int32_t H, int32_t G, int32_t K, int32_t q_stride,
                                int32_t kv_stride, size_t kv_batch, int32_t o_stride,
                                int32_t dq_stride, int32_t dkv_stride, size_t dkv_batch,
                                float scale, float dropout, uint64_t seed, int32_t algorithm,
                                lp_dtype dtype) {
  return guard_measured(ctx, "attention_backward", [&] {
    const Attention a{begin,     end,      slope,    B,        Tq,
                      Tk,        H,        G,        K,        q_stride,
                      kv_stride, o_stride, kv_batch, scale,    {dropout, seed},
                      G > 0 ? H / G : 0};
    const AttentionGradients strides{dq_stride, dkv_stride, dkv_batch};
    check(a, algorithm);
    check_dropout(dropout);
    check_type(ctx, dtype);
    check(a, strides);
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (B == 0 || Tq == 0 || Tk == 0 || H == 0 || K == 0) return;
      LP_CHECK_POINTERS(d_o, q, k, v, o, lse, begin, end, dq, dk, dv);
      const AttentionInputs<T> in{static_cast<const T *>(q), static_cast<const T *>(k),
                                  static_cast<const T *>(v), static_cast<const T *>(o),
                                  static_cast<const T *>(d_o), lse};
      const AttentionOutputs<T> out{static_cast<T *>(dq), static_cast<T *>(dk),
                                    static_cast<T *>(dv)};
      backward(ctx, a, strides, in, out, algorithm);
    });
  });
}
