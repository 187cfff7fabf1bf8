// The backward pass. For each block of queries and each tile of keys, with scores recomputed:
//
//   p = exp(s - lse)     dp = v do^T     ds = p (dp - <do, o>)
//   dv += p do           dk += ds q      dq^T += k^T ds
//
// With dropout, p of dv and dp are 0 where it dropped, else divided by 1 - dropout.
//
// A unit is one key/value head of one sequence; its dk and dv are sums over all its query heads and
// blocks. So that few units keep many threads busy, these blocks are dealt to kMostParts sums at
// most, which are added up in order. How many depends on the shape alone: the same bits for any
// number of threads.
#ifndef LLMPIPE_CPU_ATTENTION_BACKWARD_H
#define LLMPIPE_CPU_ATTENTION_BACKWARD_H

#include "cpu/attention.h"

namespace lp {

template <class Arithmetic, class T> class AttentionBackward {
public:
  AttentionBackward(const Attention &shape, const AttentionGradients &strides, const T *d_o,
                    const T *q, const T *k, const T *v, const T *o, const float *lse, T *dq, T *dk,
                    T *dv)
      : a(shape), strides(strides), d_o(d_o), q(q), k(k), v(v), o(o), lse(lse), dq(dq), dk(dk),
        dv(dv), width(packed_width<Arithmetic>(a.K)), keys(round_up(a.Tk, kRowStep)),
        blocks((a.Tq + kLanes - 1) / kLanes) {}

  void run(lp_ctx *ctx) {
    const int units = a.B * a.G, blocks_of_unit = a.heads_of_group() * blocks;
    const int parts = std::min({blocks_of_unit, kMostParts, (kFewUnits + units - 1) / units});
    const int together = std::min(units, std::max(1, 2 * ctx->threads / parts));
    const size_t matrix = (size_t)keys * width; // f32
    const size_t unit_size = (2 + 2 * (size_t)parts) * matrix, scratch_size = Scratch::size(width);
    float *memory = ctx->workspace<float>((size_t)together * unit_size +
                                          (size_t)ctx->threads * scratch_size);
    float *scratches = memory + (size_t)together * unit_size;
    constexpr int kRows = 2 * kKeys; // what a thread packs or stores at once
    const int chunks = (keys + kRows - 1) / kRows;
#pragma omp parallel num_threads(ctx->threads)
    {
      const Scratch scratch(scratches + (size_t)omp_get_thread_num() * scratch_size, width);
      for (int first = 0; first < units; first += together) {
        const int now = std::min(together, units - first);
        const auto unit_of = [&](int i) { return Unit(memory + (size_t)i * unit_size, matrix); };
#pragma omp for schedule(static)
        for (int i = 0; i < now * chunks; i++)
          pack_keys(unit_of(i / chunks), first + i / chunks, i % chunks * kRows, kRows);
#pragma omp for schedule(dynamic)
        for (int i = 0; i < now * parts; i++) {
          const Unit unit = unit_of(i / parts);
          const int part = i % parts, index = first + i / parts;
          float *dk_sum = unit.sums + (size_t)part * 2 * matrix, *dv_sum = dk_sum + matrix;
          std::fill(dk_sum, dk_sum + 2 * matrix, 0.0f);
          for (int n = part; n < blocks_of_unit; n += parts) {
            const int h = index % a.G * a.heads_of_group() + n / blocks;
            run_block(scratch, unit, dk_sum, dv_sum, index / a.G, h, n % blocks * kLanes);
          }
        }
#pragma omp for schedule(static)
        for (int i = 0; i < now * chunks; i++)
          store_keys(unit_of(i / chunks), parts, first + i / chunks, i % chunks * kRows, kRows);
      }
    }
  }

private:
  using Word = typename Arithmetic::Word;
  static constexpr int kElements = Arithmetic::kElements;
  static constexpr int kFewUnits = 16, kMostParts = 8;

  // A key/value head of a sequence.
  struct Unit {
    Packed<Word> k, v; // v only along
    float *sums;       // dk and dv [keys, width] of each part
    Unit(float *at, size_t matrix) {
      k.along = reinterpret_cast<Word *>(at);
      k.across = kElements == 1 ? k.along : k.along + matrix / kElements;
      v = {reinterpret_cast<Word *>(at + matrix), nullptr};
      sums = at + 2 * matrix;
    }
  };

  // Memory of one thread.
  struct Scratch {
    Packed<Word> q, d_o;         // [kLanes, width]
    Word *q_t, *d_o_t;           // [width, kLanes]
    float *s, *dp;               // [kKeys, kLanes]
    Packed<Word> p, ds;          // [kKeys, kLanes]; s and dp themselves for f32; p only along
    float *dq_t;                 // [width, kLanes]
    float *lse, *do_o, *factor;  // [kLanes]
    int32_t *kept;               // [kKeys, kLanes] by dropout: all bits or none
    static size_t size(int width) { return (size_t)kLanes * (5 * width + 5 * kKeys + 3); }
    Scratch(float *at, int width) {
      const auto take = [&](size_t rows) {
        float *from = at;
        at += rows * kLanes;
        return from;
      };
      const auto take_packed = [&](size_t rows) {
        Word *words = reinterpret_cast<Word *>(take(rows));
        return Packed<Word>{words, kElements == 1 ? words : words + rows * kLanes / kElements};
      };
      q = take_packed(width);
      d_o = take_packed(width);
      q_t = reinterpret_cast<Word *>(take(width));
      d_o_t = reinterpret_cast<Word *>(take(width));
      dq_t = take(width);
      s = take(kKeys);
      dp = take(kKeys);
      p = kElements == 1 ? Packed<Word>{reinterpret_cast<Word *>(s), nullptr} : take_packed(kKeys);
      ds = kElements == 1 ? Packed<Word>{reinterpret_cast<Word *>(dp), reinterpret_cast<Word *>(dp)}
                          : take_packed(kKeys);
      lse = take(1);
      do_o = take(1);
      factor = take(1);
      kept = reinterpret_cast<int32_t *>(take(kKeys));
    }
  };

  void pack_keys(const Unit &unit, int index, int j, int rows) const {
    const int b = index / a.G, g = index % a.G;
    const Rows seen{a.first_key(b) - j, a.last_key(b) - j};
    const int padded = std::min(rows, keys - j);
    const size_t at = (size_t)b * a.kv_batch + (size_t)j * a.kv_stride + (size_t)g * a.K;
    const size_t to = (size_t)j * width / kElements;
    pack(Packed<Word>{unit.k.along + to, unit.k.across + to}, k + at, a.kv_stride, seen, padded,
         a.K, width);
    pack(Packed<Word>{unit.v.along + to, nullptr}, v + at, a.kv_stride, seen, padded, a.K, width);
  }

  void store_keys(const Unit &unit, int parts, int index, int first, int rows) const {
    const int b = index / a.G, g = index % a.G;
    const size_t matrix = (size_t)keys * width;
    for (int j = first; j < std::min(first + rows, a.Tk); j++) {
      const size_t to =
          (size_t)b * strides.kv_batch + (size_t)j * strides.kv_stride + (size_t)g * a.K;
      float *dk_row = unit.sums + (size_t)j * width, *dv_row = dk_row + matrix;
      for (int part = 1; part < parts; part++)
        for (int c = 0; c < width; c++) {
          dk_row[c] += dk_row[(size_t)part * 2 * matrix + c];
          dv_row[c] += dv_row[(size_t)part * 2 * matrix + c];
        }
      for (int c = 0; c < width; c++) dk_row[c] *= a.scale;
      store_row(dk_row, dk + to, (size_t)a.K);
      store_row(dv_row, dv + to, (size_t)a.K);
    }
  }

  void run_block(const Scratch &scratch, const Unit &unit, float *dk_sum, float *dv_sum, int b,
                 int h, int t) const {
    const QueryBlock block(a, b, t);
    const int words = width / kElements, inner = (a.K + kElements - 1) / kElements;
    const int lanes = block.vectors * kWidth;
    prepare(scratch, block, b, h);
    std::fill(scratch.dq_t, scratch.dq_t + width * kLanes, 0.0f);
    for (int j = block.first_key(); j < block.last_key(); j += kKeys) {
      Span spans[kLanes / kWidth];
      for (int i = 0; i < block.vectors; i++) spans[i] = block.span(i, j);
      if (a.dropout.drops()) block.draw(a.dropout, a.head(b, h), j, scratch.kept);
      for_runs(spans, block.vectors, [&](int i, int vectors, Span span) {
        const size_t from = (size_t)(j + span.begin) * words;
        const int to = span.begin * kLanes + i * kWidth, rows = span.end - span.begin;
        multiply_tile<Arithmetic, Earlier::Dropped>(unit.k.along + from, words, 1,
                                                    scratch.q_t + i * kWidth, kLanes,
                                                    scratch.s + to, kLanes, rows, vectors, inner);
        multiply_tile<Arithmetic, Earlier::Dropped>(unit.v.along + from, words, 1,
                                                    scratch.d_o_t + i * kWidth, kLanes,
                                                    scratch.dp + to, kLanes, rows, vectors, inner);
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
        multiply_tile<Arithmetic, Earlier::Kept>(
            unit.k.across + (size_t)(j + span.begin) / kElements * width, 1, width,
            scratch.ds.across + span.begin / kElements * kLanes + i * kWidth, kLanes,
            scratch.dq_t + i * kWidth, kLanes, round_up(a.K, kRowStep), vectors,
            (span.end - span.begin) / kElements);
      });
      for_row_runs(spans, block.vectors, [&](int row, int rows, int i, int vectors) {
        const int from = (row * kLanes + i * kWidth) / kElements;
        const size_t query = (size_t)(i * kWidth) / kElements * width;
        const size_t to = (size_t)(j + row) * width;
        const int queries = std::min(vectors * kWidth, lanes - i * kWidth) / kElements;
        multiply_tile<Arithmetic, Earlier::Kept>(scratch.p.along + from, kLanes / kElements, 1,
                                                 scratch.d_o.across + query, width, dv_sum + to,
                                                 width, rows, width / kWidth, queries);
        multiply_tile<Arithmetic, Earlier::Kept>(scratch.ds.along + from, kLanes / kElements, 1,
                                                 scratch.q.across + query, width, dk_sum + to,
                                                 width, rows, width / kWidth, queries);
      });
    }
    std::fill(scratch.factor, scratch.factor + kLanes, a.scale);
    store_transposed(scratch.dq_t, scratch.factor,
                     dq + a.row(b, t) * strides.q_stride + (size_t)h * a.K, strides.q_stride, a.K,
                     block.count);
  }

  // Calls run(row, rows, v, vectors) for each run of rows of a tile that the same vectors look at.
  // Limits grow along the vectors, so these are neighbours.
  template <class Run> static void for_row_runs(const Span *spans, int vectors, Run run) {
    const auto seeing = [&](int row) {
      int from = 0, to = vectors;
      while (from < to && (row < spans[from].begin || row >= spans[from].end)) from++;
      while (from < to && (row < spans[to - 1].begin || row >= spans[to - 1].end)) to--;
      return std::pair(from, to);
    };
    for (int row = 0, next; row < kKeys; row = next) {
      const auto [from, to] = seeing(row);
      for (next = row + kRowStep; next < kKeys && seeing(next) == std::pair(from, to);)
        next += kRowStep;
      if (from < to) run(row, next - row, from, to - from);
    }
  }

  // q and do as both kinds of operand, lse and <do, o> by lane.
  void prepare(const Scratch &scratch, const QueryBlock &block, int b, int h) const {
    const int words = width / kElements, lanes = block.vectors * kWidth;
    const size_t row = a.row(b, block.t);
    const T *d_o_rows = d_o + row * a.o_stride + (size_t)h * a.K;
    const T *o_rows = o + row * a.o_stride + (size_t)h * a.K;
    const Rows queries{0, block.count};
    pack(scratch.q, q + row * a.q_stride + (size_t)h * a.K, a.q_stride, queries, lanes, a.K, width);
    pack(scratch.d_o, d_o_rows, a.o_stride, queries, lanes, a.K, width);
    transpose_words(scratch.q.along, scratch.q_t, words, block.vectors);
    transpose_words(scratch.d_o.along, scratch.d_o_t, words, block.vectors);
    for (int i = 0; i < kLanes; i++) {
      scratch.do_o[i] = 0;
      scratch.lse[i] = INFINITY; // p = 0: the query sees no key, or there is none
      if (i >= block.count) continue;
      const float natural = lse[((size_t)b * a.H + h) * a.Tq + block.t + i];
      if (natural != -INFINITY) scratch.lse[i] = natural * kLog2E;
      const size_t at = (size_t)i * a.o_stride;
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int c = 0; c < a.K; c++) sum += to_float(d_o_rows[at + c]) * to_float(o_rows[at + c]);
      scratch.do_o[i] = sum;
    }
  }

  // One vector of queries over one tile: s becomes p, dp becomes ds.
  template <bool biased, bool masked, bool drops>
  void softmax(const Scratch &scratch, const QueryBlock &block, int i, int j, Span span,
               float slope) const {
    const float scale = a.scale * kLog2E;
    const vf lse = load(scratch.lse + i * kWidth), do_o = load(scratch.do_o + i * kWidth);
    const vf distance = block.distance(i, j);
    const auto probability = [&](int r) {
      vf x = load(scratch.s + r * kLanes + i * kWidth);
      x = biased ? attention_score(x, scale, slope, distance + (float)r) - lse : x * scale - lse;
      x = exp2(x);
      return masked ? block.mask(x, i, j + r, 0) : x;
    };
    for (int r = span.begin; r < span.end; r += 2) {
      const int at = r * kLanes + i * kWidth;
      vf p0 = probability(r), p1 = probability(r + 1);
      vf dp0 = load(scratch.dp + at), dp1 = load(scratch.dp + at + kLanes);
      const auto kept = [&](vf x, int row) {
        return load<vi>(scratch.kept + at + row * kLanes) ? x * a.dropout.scale : vf{};
      };
      if (drops) {
        dp0 = kept(dp0, 0);
        dp1 = kept(dp1, 1);
      }
      const vf ds0 = attention_ds(p0, dp0, do_o), ds1 = attention_ds(p1, dp1, do_o);
      if (drops) {
        p0 = kept(p0, 0);
        p1 = kept(p1, 1);
      }
      Arithmetic::put_along(scratch.p.along + at / kElements, kLanes / kElements, p0, p1);
      if (kElements > 1)
        Arithmetic::put_along(scratch.ds.along + at / kElements, kLanes / kElements, ds0, ds1);
      Arithmetic::put_across(scratch.ds.across + r / kElements * kLanes + i * kWidth, kLanes, ds0,
                             ds1);
    }
  }

  const Attention a;
  const AttentionGradients strides;
  const T *const d_o, *const q, *const k, *const v, *const o;
  const float *const lse;
  T *const dq, *const dk, *const dv;
  const int width, keys, blocks;
};

} // namespace lp
#endif
