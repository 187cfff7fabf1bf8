// Attention straight from its formulas, one query at a time: the slow truth that the tiled kernels
// are compared with. A row of scores is all it holds.
#include "cpu/attention.h"

namespace lp {

namespace {
template <class T> float dot(const T *a, const T *b, int K) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int c = 0; c < K; c++) sum += to_float(a[c]) * to_float(b[c]);
  return sum;
}

template <class T> void add(float *sum, float factor, const T *x, int K) {
  for (int c = 0; c < K; c++) sum[c] += factor * to_float(x[c]);
}

// Query t of head h of sequence b.
struct Query {
  const Attention &a;
  int b, h, t, begin, end;

  Query(const Attention &a, int b, int h, int t)
      : a(a), b(b), h(h), t(t), begin(a.begin[a.row(b, t)]), end(a.end[a.row(b, t)]) {}

  size_t at(int stride) const { return a.row(b, t) * stride + (size_t)h * a.K; }
  size_t lse_at() const { return (size_t)a.head(b, h) * a.Tq + t; }
  template <class T> const T *key(const T *x, int j) const {
    return x + (size_t)b * a.kv_batch + (size_t)j * a.kv_stride +
           (size_t)(h / a.heads_of_group()) * a.K;
  }
  template <class T> float score(const T *q, const T *k, int j) const {
    const float slope = a.slope ? a.slope[h] : 0;
    return attention_score(dot(q + at(a.q_stride), key(k, j), a.K), a.scale, slope,
                           (float)(j - t));
  }
  // Factor of probability j: 0 or 1 / (1 - dropout).
  float kept(int j) const {
    const Philox bits = a.dropout.bits_of_pair(a.head(b, h), t, j);
    return a.dropout.keeps(bits, Dropout::index_of_pair(t, j)) ? a.dropout.scale : 0;
  }
};

// s [Tk] and sum [K] are memory of the caller.
template <class T>
void forward(const Query &query, const T *q, const T *k, const T *v, T *o, float *lse, float *s,
             float *sum) {
  const Attention &a = query.a;
  float m = -INFINITY, l = 0;
  for (int j = query.begin; j < query.end; j++) {
    s[j] = query.score(q, k, j);
    m = std::max(m, s[j]);
  }
  for (int j = query.begin; j < query.end; j++) l += exp(s[j] - m);
  std::fill(sum, sum + a.K, 0.0f);
  for (int j = query.begin; j < query.end; j++)
    add(sum, exp(s[j] - m) / l * query.kept(j), query.key(v, j), a.K);
  store_row(sum, o + query.at(a.o_stride), (size_t)a.K);
  if (lse) lse[query.lse_at()] = l == 0 ? -INFINITY : m + log(l);
}

// Adds to dk and dv [Tk, K] of the key/value head; dq [K] is memory of the caller.
template <class T>
void backward(const Query &query, const AttentionGradients &strides, const T *d_o, const T *q,
              const T *k, const T *v, const T *o, const float *lse, T *dq_out, float *dk,
              float *dv, float *dq) {
  const Attention &a = query.a;
  const T *dy = d_o + query.at(a.o_stride), *x = q + query.at(a.q_stride);
  const float do_o = dot(dy, o + query.at(a.o_stride), a.K);
  std::fill(dq, dq + a.K, 0.0f);
  for (int j = query.begin; j < query.end; j++) {
    const float p = exp(query.score(q, k, j) - lse[query.lse_at()]), kept = query.kept(j);
    const float ds = attention_ds(p, kept * dot(dy, query.key(v, j), a.K), do_o) * a.scale;
    add(dv + (size_t)j * a.K, p * kept, dy, a.K);
    add(dk + (size_t)j * a.K, ds, x, a.K);
    add(dq, ds, query.key(k, j), a.K);
  }
  store_row(dq, dq_out + query.at(strides.q_stride), (size_t)a.K);
}
} // namespace

void attention_forward_reference(lp_ctx *ctx, const Attention &a, const void *q, const void *k,
                                 const void *v, void *o, float *lse, lp_dtype dtype) {
  with_type(dtype, [&](auto type) {
    using T = decltype(type);
    const size_t row = (size_t)a.Tk + (size_t)a.K;
    float *rows = ctx->workspace<float>((size_t)ctx->threads * row);
#pragma omp parallel for schedule(dynamic, 16) num_threads(ctx->threads)
    for (int i = 0; i < a.B * a.H * a.Tq; i++) {
      float *s = rows + (size_t)omp_get_thread_num() * row;
      const Query query(a, i / a.Tq / a.H, i / a.Tq % a.H, i % a.Tq);
      forward(query, static_cast<const T *>(q), static_cast<const T *>(k),
              static_cast<const T *>(v), static_cast<T *>(o), lse, s, s + a.Tk);
    }
  });
}

void attention_backward_reference(lp_ctx *ctx, const Attention &a,
                                  const AttentionGradients &strides, const void *d_o,
                                  const void *q, const void *k, const void *v, const void *o,
                                  const float *lse, void *dq, void *dk, void *dv, lp_dtype dtype) {
  with_type(dtype, [&](auto type) {
    using T = decltype(type);
    const size_t matrix = (size_t)a.Tk * a.K, size = 2 * matrix + (size_t)a.K;
    float *sums = ctx->workspace<float>((size_t)ctx->threads * size);
#pragma omp parallel for schedule(dynamic) num_threads(ctx->threads)
    for (int i = 0; i < a.B * a.G; i++) { // a key/value head and its gradients: one thread
      const int b = i / a.G, g = i % a.G;
      float *dk_sum = sums + (size_t)omp_get_thread_num() * size, *dv_sum = dk_sum + matrix;
      std::fill(dk_sum, dk_sum + 2 * matrix, 0.0f);
      for (int h = g * a.heads_of_group(); h < (g + 1) * a.heads_of_group(); h++)
        for (int t = 0; t < a.Tq; t++)
          backward(Query(a, b, h, t), strides, static_cast<const T *>(d_o),
                   static_cast<const T *>(q), static_cast<const T *>(k), static_cast<const T *>(v),
                   static_cast<const T *>(o), lse, static_cast<T *>(dq), dk_sum, dv_sum,
                   dv_sum + matrix);
      for (int j = 0; j < a.Tk; j++) {
        const size_t to = (size_t)b * strides.kv_batch + (size_t)j * strides.kv_stride +
                          (size_t)g * a.K;
        store_row(dk_sum + (size_t)j * a.K, static_cast<T *>(dk) + to, (size_t)a.K);
        store_row(dv_sum + (size_t)j * a.K, static_cast<T *>(dv) + to, (size_t)a.K);
      }
    }
  });
}

} // namespace lp
