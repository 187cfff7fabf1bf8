// Attention from its formulas, one warp per query (of dk and dv: per key): any K, type, alignment.
// It is what LP_ATTENTION_REFERENCE asks for, what f32 and uncommon widths get, and, with the keys
// split into parts, generation, which is bound by reading the cache once.
//
// A lane takes one of 32 keys for dot products, and every 32nd column of what is summed over keys;
// between the two, 32 numbers pass through shared memory. Nothing but the shape decides the order
// of sums.
#include "cuda/attention.h"
#include "cuda/reduce.h"
#include "cuda/vector.h"

namespace lp {

namespace {
constexpr int kWarps = 4, kThreads = 32 * kWarps;
constexpr int kMostColumns = 256 / 32; // of a lane
constexpr int kPart = 256;             // keys of a part
// Blocks of a multiprocessor that the compiler makes room for. By its own choice it keeps a few
// registers too little and spills on sm_80.
constexpr int kBlocks = 4, kBlocksBackward = 2;

GPU_DEV int lane_of_warp() { return (int)threadIdx.x & 31; }
GPU_DEV int warp_of_block() { return (int)threadIdx.x >> 5; }
GPU_DEV size_t warp_of_grid() { return (size_t)blockIdx.x * kWarps + (size_t)warp_of_block(); }
inline unsigned blocks_for(size_t warps) { return (unsigned)((warps + kWarps - 1) / kWarps); }

template <int W, class T> GPU_DEV float dot(const T *x, const T *y, int K) {
  float sum = 0;
  for (int c = 0; c < K; c += W) {
    float a[W], b[W];
    load(x + c, a);
    load(y + c, b);
#pragma unroll
    for (int i = 0; i < W; i++) sum += a[i] * b[i];
  }
  return sum;
}

// Columns lane, lane + 32, ... of a row of sums.
struct Columns {
  float sum[kMostColumns];
  GPU_DEV Columns() {
#pragma unroll
    for (int i = 0; i < kMostColumns; i++) sum[i] = 0;
  }
  GPU_DEV void scale(float factor) {
#pragma unroll
    for (int i = 0; i < kMostColumns; i++) sum[i] *= factor;
  }
  template <class T> GPU_DEV void add(float factor, const T *x, int K) {
#pragma unroll
    for (int i = 0; i < kMostColumns; i++) {
      const int c = lane_of_warp() + 32 * i;
      if (c < K) sum[i] += factor * to_float(x[c]);
    }
  }
  template <class T> GPU_DEV void store(T *x, float factor, int K) const {
#pragma unroll
    for (int i = 0; i < kMostColumns; i++) {
      const int c = lane_of_warp() + 32 * i;
      if (c < K) x[c] = from_float<T>(sum[i] * factor);
    }
  }
};

// Query t of head h of sequence b.
template <class T, int W> struct Query {
  const Attention &a;
  int b, h, t;

  GPU_DEV int group() const { return h / a.heads_of_group; }
  GPU_DEV float score(const T *q, const T *k, int j) const {
    const float slope = a.slope ? a.slope[h] : 0;
    return attention_score(dot<W>(q + a.q_at(b, t, h), k + a.kv_at(b, j, group()), a.K), a.scale,
                           slope, (float)(j - t));
  }
  // Factor of probability j: 0 or 1 / (1 - dropout).
  GPU_DEV float kept(int j) const {
    if (!a.dropout.drops()) return 1;
    const Philox bits = a.dropout.bits_of_pair(a.head(b, h), t, j);
    return a.dropout.keeps(bits, Dropout::index_of_pair(t, j)) ? a.dropout.scale : 0;
  }
};

// What a part of the keys contributes: out = sum_j e^(s[j] - largest) v[j], sum of the factors.
struct Softmax {
  Columns out;
  float largest = -INFINITY, sum = 0;
};

// Keys from .. to - 1; p is memory of the warp.
template <bool kDrops, class T, int W>
GPU_DEV void attend(Softmax &so_far, const Query<T, W> &query, const T *q, const T *k, const T *v,
                    int from, int to, float *p) {
  const Attention &a = query.a;
  float sum = 0; // of the lane's own keys
  for (int first = from; first < to; first += 32) {
    const int j = first + lane_of_warp();
    const float s = j < to ? query.score(q, k, j) : -INFINITY;
    const float earlier = so_far.largest;
    so_far.largest = fmaxf(earlier, warp_max(s));
    const float shrink = exp(earlier - so_far.largest), e = exp(s - so_far.largest);
    sum = sum * shrink + e;
    so_far.out.scale(shrink);
    __syncwarp(); // the last reads of p are done
    p[lane_of_warp()] = j >= to ? 0 : kDrops ? e * query.kept(j) : e;
    __syncwarp();
    for (int i = 0; i < min(32, to - first); i++)
      so_far.out.add(p[i], v + a.kv_at(query.b, first + i, query.group()), a.K);
  }
  so_far.sum = warp_sum(sum);
}

template <class T, int W>
__global__ void __launch_bounds__(kThreads, kBlocks)
    attention_rows(Attention a, const T *q, const T *k, const T *v, T *o, float *lse,
                   DeviceFault *fault) {
  GPU_SMEM(float, p, [kWarps][32]);
  const size_t row = warp_of_grid();
  if (row >= (size_t)a.B * a.H * a.Tq) return;
  const int t = (int)(row % (size_t)a.Tq), h = (int)(row / (size_t)a.Tq % (size_t)a.H);
  const Query<T, W> query{a, (int)(row / (size_t)a.Tq / (size_t)a.H), h, t};
  if (h == 0 && lane_of_warp() == 0) check_limits(a, query.b, t, fault);
  const KeyRange keys = keys_of(a, query.b, t);
  Softmax softmax;
  attend<true>(softmax, query, q, k, v, keys.begin, keys.end, p[warp_of_block()]);
  const bool sees = softmax.sum > 0;
  softmax.out.store(o + a.o_at(query.b, t, h), sees ? 1 / softmax.sum : 0, a.K);
  if (lse && lane_of_warp() == 0)
    lse[row] = sees ? softmax.largest + log(softmax.sum) : -INFINITY;
}

// ---- Parts of the keys, and their sum in order

// Row of a query and part of keys that a warp takes: neighbours are the heads of one group, which
// read the same keys.
struct PartOfRow {
  int b, h, t, part, parts;
  bool exists;
  size_t row; // of lse
  GPU_DEV PartOfRow(const Attention &a, size_t i)
      : parts((a.Tk + kPart - 1) / kPart), exists(i < (size_t)a.B * a.H * a.Tq * parts) {
    const int rows = a.heads_of_group * a.Tq;
    t = (int)(i % (size_t)a.Tq);
    const int of_group = (int)(i % (size_t)rows) / a.Tq;
    i /= (size_t)rows;
    part = (int)(i % (size_t)parts);
    i /= (size_t)parts;
    h = (int)(i % (size_t)a.G) * a.heads_of_group + of_group;
    b = (int)(i / (size_t)a.G);
    row = a.lse_row(b, h, t);
  }
};

// partial [rows, parts, K + 2] f32: out, largest, sum
template <class T, int W>
__global__ void __launch_bounds__(kThreads)
    attention_parts(Attention a, const T *q, const T *k, const T *v, float *partial,
                    DeviceFault *fault) {
  GPU_SMEM(float, p, [kWarps][32]);
  const PartOfRow at(a, warp_of_grid());
  if (!at.exists) return;
  const Query<T, W> query{a, at.b, at.h, at.t};
  if (at.h == 0 && at.part == 0 && lane_of_warp() == 0) check_limits(a, at.b, at.t, fault);
  const KeyRange keys = keys_of(a, at.b, at.t);
  Softmax softmax;
  attend<false>(softmax, query, q, k, v, max(keys.begin, at.part * kPart),
                min(keys.end, (at.part + 1) * kPart), p[warp_of_block()]);
  float *const to = partial + (at.row * at.parts + at.part) * (size_t)(a.K + 2);
  softmax.out.store(to, 1, a.K);
  if (lane_of_warp() == 0) {
    to[a.K] = softmax.largest;
    to[a.K + 1] = softmax.sum;
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    attention_sum(Attention a, const float *partial, T *o, float *lse) {
  const size_t row = warp_of_grid();
  if (row >= (size_t)a.B * a.H * a.Tq) return;
  const int parts = (a.Tk + kPart - 1) / kPart;
  const size_t size = (size_t)a.K + 2;
  const float *const of_row = partial + row * (size_t)parts * size;
  float largest = -INFINITY, sum = 0;
  for (int i = 0; i < parts; i++) largest = fmaxf(largest, of_row[(size_t)i * size + a.K]);
  Columns out;
  for (int i = 0; i < parts; i++) {
    const float *x = of_row + (size_t)i * size;
    if (x[a.K + 1] == 0) continue; // none of these keys is seen
    const float weight = exp(x[a.K] - largest);
    sum += weight * x[a.K + 1];
    out.add(weight, x, a.K);
  }
  const int t = (int)(row % (size_t)a.Tq), h = (int)(row / (size_t)a.Tq % (size_t)a.H);
  const int b = (int)(row / (size_t)a.Tq / (size_t)a.H);
  out.store(o + a.o_at(b, t, h), sum > 0 ? 1 / sum : 0, a.K);
  if (lse && lane_of_warp() == 0) lse[row] = sum > 0 ? largest + log(sum) : -INFINITY;
}

// ---- Backward: p = e^(s - lse), dp = <do, v> with dropout, ds = p (dp - <do, o>)

struct Gradient {
  float p, ds; // p with dropout
};
template <class T, int W>
GPU_DEV Gradient gradient(const Query<T, W> &query, const AttentionInputs<T> &in, int j,
                          float do_o) {
  const Attention &a = query.a;
  const float kept = query.kept(j);
  const float p = exp(query.score(in.q, in.k, j) - in.lse[a.lse_row(query.b, query.h, query.t)]);
  const float dp = dot<W>(in.d_o + a.o_at(query.b, query.t, query.h),
                          in.v + a.kv_at(query.b, j, query.group()), a.K);
  return {p * kept, attention_ds(p, dp * kept, do_o) * a.scale};
}

template <class T, int W>
GPU_DEV float find_do_o(const Query<T, W> &query, const AttentionInputs<T> &in) {
  const size_t at = query.a.o_at(query.b, query.t, query.h);
  return dot<W>(in.d_o + at, in.o + at, query.a.K);
}

template <class T, int W>
__global__ void __launch_bounds__(kThreads, kBlocksBackward)
    attention_rows_of_queries(Attention a, AttentionGradients strides, AttentionInputs<T> in,
                              AttentionOutputs<T> to) {
  GPU_SMEM(float, ds, [kWarps][32]);
  const size_t row = warp_of_grid();
  if (row >= (size_t)a.B * a.H * a.Tq) return;
  const int t = (int)(row % (size_t)a.Tq), h = (int)(row / (size_t)a.Tq % (size_t)a.H);
  const Query<T, W> query{a, (int)(row / (size_t)a.Tq / (size_t)a.H), h, t};
  const KeyRange keys = keys_of(a, query.b, t);
  float *const mine = ds[warp_of_block()];
  const float do_o = find_do_o(query, in);
  Columns dq;
  for (int first = keys.begin; first < keys.end; first += 32) {
    const int j = first + lane_of_warp();
    __syncwarp(); // the last reads of ds are done
    mine[lane_of_warp()] = j < keys.end ? gradient(query, in, j, do_o).ds : 0;
    __syncwarp();
    for (int i = 0; i < min(32, keys.end - first); i++)
      dq.add(mine[i], in.k + a.kv_at(query.b, first + i, query.group()), a.K);
  }
  dq.store(to.dq + a.row(query.b, t) * (size_t)strides.q_stride + (size_t)h * a.K, 1, a.K);
}

template <class T, int W>
__global__ void __launch_bounds__(kThreads, kBlocksBackward)
    attention_rows_of_keys(Attention a, AttentionGradients strides, AttentionInputs<T> in,
                           AttentionOutputs<T> to) {
  GPU_SMEM(Gradient, gradients, [kWarps][32]);
  const size_t row = warp_of_grid();
  if (row >= (size_t)a.B * a.G * a.Tk) return;
  const int j = (int)(row % (size_t)a.Tk), g = (int)(row / (size_t)a.Tk % (size_t)a.G);
  const int b = (int)(row / (size_t)a.Tk / (size_t)a.G);
  const int32_t *begin = a.begin + a.row(b, 0), *end = a.end + a.row(b, 0);
  const int from = first_that(a.Tq, [&](int t) { return end[t] > j; });
  const int until = first_that(a.Tq, [&](int t) { return begin[t] > j; });
  Gradient *const mine = gradients[warp_of_block()];
  Columns dk, dv;
  for (int h = g * a.heads_of_group; h < (g + 1) * a.heads_of_group; h++)
    for (int first = from; first < until; first += 32) {
      const Query<T, W> query{a, b, h, min(first + lane_of_warp(), until - 1)};
      __syncwarp(); // the last reads of the gradients are done
      mine[lane_of_warp()] = gradient(query, in, j, find_do_o(query, in));
      __syncwarp();
      for (int i = 0; i < min(32, until - first); i++) {
        dk.add(mine[i].ds, in.q + a.q_at(b, first + i, h), a.K);
        dv.add(mine[i].p, in.d_o + a.o_at(b, first + i, h), a.K);
      }
    }
  const size_t at = strides.kv_at(b, j, g, a.K);
  dk.store(to.dk + at, 1, a.K);
  dv.store(to.dv + at, 1, a.K);
}

// Whether rows of all of these begin at multiples of 16 bytes and end so.
template <class T>
bool has_wide_rows(const Attention &a, std::initializer_list<const void *> tensors) {
  return is_aligned(tensors) && a.K % kWidth<T> == 0 && a.q_stride % kWidth<T> == 0 &&
         a.kv_stride % kWidth<T> == 0 && a.kv_batch % kWidth<T> == 0 &&
         a.o_stride % kWidth<T> == 0;
}
} // namespace

template <class T>
void attention_rows_forward(lp_ctx *ctx, const Attention &a, const T *q, const T *k, const T *v,
                            T *o, float *lse) {
  with_width<kWidth<T>>(has_wide_rows<T>(a, {q, k}), [&](auto W) {
    launch(ctx, "attention_rows", attention_rows<T, W>, blocks_for((size_t)a.B * a.H * a.Tq),
           kThreads, 0, a, q, k, v, o, lse, ctx->fault);
  });
}

template <class T>
void attention_rows_decode(lp_ctx *ctx, const Attention &a, const T *q, const T *k, const T *v,
                           T *o, float *lse) {
  const size_t rows = (size_t)a.B * a.H * a.Tq, parts = (size_t)((a.Tk + kPart - 1) / kPart);
  float *partial = ctx->workspace<float>(rows * parts * ((size_t)a.K + 2));
  with_width<kWidth<T>>(has_wide_rows<T>(a, {q, k}), [&](auto W) {
    launch(ctx, "attention_parts", attention_parts<T, W>, blocks_for(rows * parts), kThreads, 0, a,
           q, k, v, partial, ctx->fault);
  });
  launch(ctx, "attention_sum", attention_sum<T>, blocks_for(rows), kThreads, 0, a, partial, o, lse);
}

template <class T>
void attention_rows_backward(lp_ctx *ctx, const Attention &a, const AttentionGradients &strides,
                             const AttentionInputs<T> &in, const AttentionOutputs<T> &out) {
  with_width<kWidth<T>>(has_wide_rows<T>(a, {in.q, in.k, in.v, in.o, in.d_o}), [&](auto W) {
    launch(ctx, "attention_rows_of_queries", attention_rows_of_queries<T, W>,
           blocks_for((size_t)a.B * a.H * a.Tq), kThreads, 0, a, strides, in, out);
    launch(ctx, "attention_rows_of_keys", attention_rows_of_keys<T, W>,
           blocks_for((size_t)a.B * a.G * a.Tk), kThreads, 0, a, strides, in, out);
  });
}

#define LP_INSTANTIATE(T)                                                                          \
  template void attention_rows_forward(lp_ctx *, const Attention &, const T *, const T *,          \
                                       const T *, T *, float *);                                   \
  template void attention_rows_decode(lp_ctx *, const Attention &, const T *, const T *,           \
                                      const T *, T *, float *);                                    \
  template void attention_rows_backward(lp_ctx *, const Attention &, const AttentionGradients &,   \
                                        const AttentionInputs<T> &, const AttentionOutputs<T> &);
LP_INSTANTIATE(float)
LP_INSTANTIATE(bf16)
LP_INSTANTIATE(f16)

} // namespace lp
