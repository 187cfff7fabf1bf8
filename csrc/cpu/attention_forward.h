// The forward pass over one block of queries, and its distribution over threads.
//
//   for each tile of keys:   s = scale k q^T    m' = max(m, s)    p = 2^(s - m')
//                            l = l 2^(m - m') + sum p     o^T = o^T 2^(m - m') + v^T p
//   at the end:              o = o / l           lse = m + log l
//
// With dropout, what it drops of p is 0 in the product with v, and o is divided by 1 - dropout.
//
// K and V of a few heads at a time are packed by all threads, then all blocks of queries of these
// heads are worked off. A block depends on nothing but its queries and keys: the same bits for any
// number of threads.
#ifndef LLMPIPE_CPU_ATTENTION_FORWARD_H
#define LLMPIPE_CPU_ATTENTION_FORWARD_H

#include "cpu/attention.h"

namespace lp {

template <class Arithmetic, class T> class AttentionForward {
public:
  AttentionForward(const Attention &shape, const T *q, const T *k, const T *v, T *o, float *lse)
      : a(shape), q(q), k(k), v(v), o(o), lse(lse), width(packed_width<Arithmetic>(a.K)),
        padded_keys(round_up(a.Tk, kRowStep)), blocks((a.Tq + kLanes - 1) / kLanes) {}

  void run(lp_ctx *ctx) {
    const int units = a.B * a.G;
    const int together = std::min(units, 2 * ctx->threads);
    const size_t packed_size = (size_t)padded_keys * width / kElements; // words
    const size_t scratch_size = Scratch::words(width);
    Word *packed = ctx->workspace<Word>((size_t)together * 2 * packed_size +
                                        (size_t)ctx->threads * scratch_size);
    Word *scratches = packed + (size_t)together * 2 * packed_size;
    const int blocks_of_unit = a.heads_of_group() * blocks;
    constexpr int kPackRows = 2 * kKeys;
    const int packs = (padded_keys + kPackRows - 1) / kPackRows;
#pragma omp parallel num_threads(ctx->threads)
    {
      const Scratch scratch(scratches + (size_t)omp_get_thread_num() * scratch_size, width);
      for (int first = 0; first < units; first += together) {
        const int now = std::min(together, units - first);
#pragma omp for schedule(static)
        for (int i = 0; i < now * packs; i++) {
          Word *to = packed + (size_t)(i / packs) * 2 * packed_size;
          pack_keys(to, to + packed_size, first + i / packs, i % packs * kPackRows, kPackRows);
        }
#pragma omp for schedule(dynamic)
        for (int i = 0; i < now * blocks_of_unit; i++) {
          const Word *from = packed + (size_t)(i / blocks_of_unit) * 2 * packed_size;
          const int unit = first + i / blocks_of_unit, of_unit = i % blocks_of_unit;
          const int h = unit % a.G * a.heads_of_group() + of_unit / blocks;
          const int block = blocks - 1 - of_unit % blocks; // the last ones see the most keys
          run_block(scratch, from, from + packed_size, unit / a.G, h, block * kLanes);
        }
      }
    }
  }

private:
  using Word = typename Arithmetic::Word;
  static constexpr int kElements = Arithmetic::kElements;

  // Memory of one thread, all of it in the second-level cache.
  struct Scratch {
    Word *q;         // [kLanes, width] along, before it is transposed
    Word *q_t;       // [width, kLanes]
    float *s;        // [kKeys, kLanes]
    Word *p;         // [kKeys, kLanes] across; s itself for f32
    float *o_t;      // [width, kLanes]
    float *m, *l, *scale; // [kLanes]
    int32_t *kept;        // [kKeys, kLanes] by dropout: all bits or none
    static size_t words(int width) { return (size_t)kLanes * (3 * width + 3 * kKeys + 3); }
    Scratch(Word *at, int width) {
      q = at;
      q_t = q + kLanes * width;
      o_t = reinterpret_cast<float *>(q_t + kLanes * width);
      s = o_t + kLanes * width;
      p = reinterpret_cast<Word *>(kElements == 1 ? s : s + kLanes * kKeys);
      m = s + 2 * kLanes * kKeys;
      l = m + kLanes;
      scale = l + kLanes;
      kept = reinterpret_cast<int32_t *>(scale + kLanes);
    }
  };

  void pack_keys(Word *k_to, Word *v_to, int unit, int j, int rows) const {
    const int b = unit / a.G, g = unit % a.G;
    const Rows seen{a.first_key(b) - j, a.last_key(b) - j};
    const int padded = std::min(rows, padded_keys - j);
    const size_t at = (size_t)b * a.kv_batch + (size_t)j * a.kv_stride + (size_t)g * a.K;
    const size_t to = (size_t)j * width / kElements;
    pack(Packed<Word>{k_to + to, nullptr}, k + at, a.kv_stride, seen, padded, a.K, width);
    pack(Packed<Word>{nullptr, v_to + to}, v + at, a.kv_stride, seen, padded, a.K, width);
  }

  void run_block(const Scratch &scratch, const Word *k_packed, const Word *v_packed, int b, int h,
                 int t) const {
    const QueryBlock block(a, b, t);
    const int words = width / kElements, inner = (a.K + kElements - 1) / kElements;
    pack(Packed<Word>{scratch.q, nullptr}, q + a.row(b, t) * a.q_stride + (size_t)h * a.K,
         a.q_stride, Rows{0, block.count}, block.vectors * kWidth, a.K, width);
    transpose_words(scratch.q, scratch.q_t, words, block.vectors);
    std::fill(scratch.o_t, scratch.o_t + width * kLanes, 0.0f);
    std::fill(scratch.m, scratch.m + kLanes, -INFINITY);
    std::fill(scratch.l, scratch.l + kLanes, 0.0f);
    for (int j = block.first_key(); j < block.last_key(); j += kKeys) {
      Span spans[kLanes / kWidth];
      for (int i = 0; i < block.vectors; i++) spans[i] = block.span(i, j);
      if (a.dropout.drops()) block.draw(a.dropout, a.head(b, h), j, scratch.kept);
      for_runs(spans, block.vectors, [&](int i, int vectors, Span span) {
        multiply_tile<Arithmetic, Earlier::Dropped>(
            k_packed + (size_t)(j + span.begin) * words, words, 1, scratch.q_t + i * kWidth, kLanes,
            scratch.s + span.begin * kLanes + i * kWidth, kLanes, span.end - span.begin, vectors,
            inner);
      });
      for (int i = 0; i < block.vectors; i++)
        if (spans[i].begin < spans[i].end) {
          const float slope = a.slope ? a.slope[h] * kLog2E : 0;
          with_flags(a.slope, spans[i].masked, a.dropout.drops(),
                     [&](auto biased, auto masked, auto drops) {
                       softmax<biased, masked, drops>(scratch, block, i, j, spans[i], slope);
                     });
        }
      for_runs(spans, block.vectors, [&](int i, int vectors, Span span) {
        multiply_tile<Arithmetic, Earlier::Scaled>(
            v_packed + (size_t)(j + span.begin) / kElements * width, 1, width,
            scratch.p + span.begin / kElements * kLanes + i * kWidth, kLanes,
            scratch.o_t + i * kWidth, kLanes, round_up(a.K, kRowStep), vectors,
            (span.end - span.begin) / kElements, scratch.scale + i * kWidth);
      });
    }
    finish(scratch, block, b, h);
  }

  // One vector of queries over one tile: s becomes p; m, l and the scale of the earlier o follow.
  template <bool biased, bool masked, bool drops>
  void softmax(const Scratch &scratch, const QueryBlock &block, int i, int j, Span span,
               float slope) const {
    const float scale = a.scale * kLog2E;
    float *s = scratch.s + i * kWidth;
    float *m = scratch.m + i * kWidth, *l = scratch.l + i * kWidth;
    const vf earlier = load(m);
    const vf distance = block.distance(i, j);
    vf largest = earlier;
    for (int r = span.begin; r < span.end; r++) {
      vf x = load(s + r * kLanes);
      x = biased ? attention_score(x, scale, slope, distance + (float)r) : x * scale;
      if (masked) x = block.mask(x, i, j + r, -INFINITY);
      store(s + r * kLanes, x);
      largest = max(x, largest);
    }
    const vf origin = largest == -INFINITY ? vf{} : largest; // nothing seen yet: all p are 0
    vf sum = {};
    Word *p = scratch.p + i * kWidth;
    const int32_t *kept = scratch.kept + i * kWidth;
    for (int r = span.begin; r < span.end; r += 2) {
      vf p0 = exp2(load(s + r * kLanes) - origin);
      vf p1 = exp2(load(s + (r + 1) * kLanes) - origin);
      sum += p0 + p1;
      if (drops) {
        p0 = load<vi>(kept + r * kLanes) ? p0 : vf{};
        p1 = load<vi>(kept + (r + 1) * kLanes) ? p1 : vf{};
      }
      Arithmetic::put_across(p + r / kElements * kLanes, kLanes, p0, p1);
    }
    const vf shrink = exp2(earlier - origin);
    store(scratch.scale + i * kWidth, shrink);
    store(l, load(l) * shrink + sum);
    store(m, largest);
  }

  void finish(const Scratch &scratch, const QueryBlock &block, int b, int h) const {
    for (int i = 0; i < block.vectors * kWidth; i += kWidth) {
      const vf l = load(scratch.l + i);
      store(scratch.scale + i, l == 0.0f ? vf{} : a.dropout.scale / l);
    }
    if (lse)
      for (int i = 0; i < block.count; i++)
        lse[((size_t)b * a.H + h) * a.Tq + block.t + i] =
            scratch.l[i] == 0 ? -INFINITY : attention_lse(scratch.m[i], log(scratch.l[i]));
    store_transposed(scratch.o_t, scratch.scale,
                     o + a.row(b, block.t) * a.o_stride + (size_t)h * a.K, a.o_stride, a.K,
                     block.count);
  }

  const Attention a;
  const T *const q, *const k, *const v;
  T *const o;
  float *const lse;
  const int width, padded_keys, blocks;
};

} // namespace lp
#endif
