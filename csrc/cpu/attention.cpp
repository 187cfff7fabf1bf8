// Attention: checks, and the choice of a kernel.
#include "cpu/attention.h"

#include "common/checks.h"
#include "cpu/attention_backward.h"
#include "cpu/attention_forward.h"

namespace lp {

void check(const Attention &a) {
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
}

bool is_reference(int32_t algorithm) {
  LP_CHECK(algorithm == LP_ATTENTION_FLASH || algorithm == LP_ATTENTION_REFERENCE,
           "algorithm must be flash (0) or reference (1), found %d", algorithm);
  return algorithm == LP_ATTENTION_REFERENCE;
}

void check_gradients(const Attention &a, const AttentionGradients &strides) {
  LP_CHECK(strides.q_stride >= a.H * a.K, "dq_stride must be >= H*K = %d, found %d", a.H * a.K,
           strides.q_stride);
  LP_CHECK(strides.kv_stride >= a.G * a.K, "dkv_stride must be >= G*K = %d, found %d", a.G * a.K,
           strides.kv_stride);
}

namespace {
template <class T>
void forward(lp_ctx *ctx, const Attention &shape, const T *q, const T *k, const T *v, T *o,
             float *lse) {
  if constexpr (std::is_same_v<T, bf16>)
    if (attention_forward_bf16(ctx, shape, q, k, v, o, lse)) return;
  AttentionForward<F32, T>(shape, q, k, v, o, lse).run(ctx);
}

template <class T>
void backward(lp_ctx *ctx, const Attention &shape, const AttentionGradients &strides, const T *d_o,
              const T *q, const T *k, const T *v, const T *o, const float *lse, T *dq, T *dk,
              T *dv) {
  if constexpr (std::is_same_v<T, bf16>)
    if (attention_backward_bf16(ctx, shape, strides, d_o, q, k, v, o, lse, dq, dk, dv)) return;
  AttentionBackward<F32, T>(shape, strides, d_o, q, k, v, o, lse, dq, dk, dv).run(ctx);
}
} // namespace

void check_limits(const Attention &a) {
  for (int b = 0; b < a.B; b++)
    for (int t = 0; t < a.Tq; t++) {
      const size_t i = a.row(b, t);
      const int begin = a.begin[i], end = a.end[i];
      LP_CHECK(begin >= 0 && begin <= a.Tk && end >= 0 && end <= a.Tk,
               "begin and end must be in 0..Tk = %d, found %d and %d at [%d, %d]", a.Tk, begin, end,
               b, t);
      LP_CHECK(t == 0 || (begin >= a.begin[i - 1] && end >= a.end[i - 1]),
               "begin and end must not shrink along a sequence, found %d..%d after %d..%d at "
               "[%d, %d]",
               begin, end, a.begin[i - 1], a.end[i - 1], b, t);
    }
}

} // namespace lp

using namespace lp;

lp_status lp_attention_forward(lp_ctx *ctx, const void *q, const void *k, const void *v,
                               const int32_t *begin, const int32_t *end, const float *slope,
                               void *o, float *lse, int32_t B, int32_t Tq, int32_t Tk, int32_t H,
                               int32_t G, int32_t K, int32_t q_stride, int32_t kv_stride,
                               size_t kv_batch, int32_t o_stride, float scale, float dropout,
                               uint64_t seed, int32_t algorithm, lp_dtype dtype) {
  return guard_measured(ctx, "attention_forward", [&] {
    const Attention shape{begin, end, slope, B, Tq, Tk, H, G, K, q_stride, kv_stride, o_stride,
                          kv_batch, scale, {dropout, seed}};
    check(shape);
    check_dropout(dropout);
    const bool reference = is_reference(algorithm);
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (B == 0 || Tq == 0 || Tk == 0 || H == 0 || K == 0) return;
      LP_CHECK_POINTERS(q, k, v, begin, end, o);
      if (!ctx->held.only_measures) check_limits(shape);
      if (reference)
        return attention_forward_reference(ctx, shape, q, k, v, o, lse, dtype);
      if (Tq <= kFewQueries && !shape.dropout.drops())
        return attention_decode(ctx, shape, q, k, v, o, lse, dtype);
      forward(ctx, shape, static_cast<const T *>(q), static_cast<const T *>(k),
              static_cast<const T *>(v), static_cast<T *>(o), lse);
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
    const Attention shape{begin, end, slope, B, Tq, Tk, H, G, K, q_stride, kv_stride, o_stride,
                          kv_batch, scale, {dropout, seed}};
    const AttentionGradients strides{dq_stride, dkv_stride, dkv_batch};
    check(shape);
    check_dropout(dropout);
    check_gradients(shape, strides);
    const bool reference = is_reference(algorithm);
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (B == 0 || Tq == 0 || Tk == 0 || H == 0 || K == 0) return;
      LP_CHECK_POINTERS(d_o, q, k, v, o, lse, begin, end, dq, dk, dv);
      if (!ctx->held.only_measures) check_limits(shape);
      if (reference)
        return attention_backward_reference(ctx, shape, strides, d_o, q, k, v, o, lse, dq, dk, dv,
                                            dtype);
      backward(ctx, shape, strides, static_cast<const T *>(d_o), static_cast<const T *>(q),
               static_cast<const T *>(k), static_cast<const T *>(v), static_cast<const T *>(o), lse,
               static_cast<T *>(dq), static_cast<T *>(dk), static_cast<T *>(dv));
    });
  });
}
