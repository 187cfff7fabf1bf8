// What the attention kernels share: the shape of the problem, blocks of queries and packed tiles.
//
// Queries are the lanes of vectors, keys are rows: scores of a tile are S^T [keys, lanes], outputs
// O^T [K, lanes]. Then the maximum and the sum over keys are vertical, each query has its own
// limits in its own lane, and K and V are read as they lie in memory. Only q, do, o and dq are
// transposed, once per block of queries.
//
// Tiles are made of words (tile_product.h). A matrix [rows, cols] of the f32 arithmetic has one
// packed form; where a word holds two elements there are two: `along` with pairs of columns, for
// products that sum over columns, and `across` with pairs of rows, for those that sum over rows.
#ifndef LLMPIPE_CPU_ATTENTION_H
#define LLMPIPE_CPU_ATTENTION_H

#include <math.h>
#include <string.h>

#include <algorithm>

#include "common/attention.h"
#include "common/dropout.h"
#include "cpu/context.h"
#include "cpu/dtype.h"
#include "cpu/tile_product.h"

namespace lp {

struct Attention {
  const int32_t *begin, *end; // [B, Tq]
  const float *slope;         // [H] or null
  int B, Tq, Tk, H, G, K;
  int q_stride, kv_stride, o_stride;
  size_t kv_batch;
  float scale;
  Dropout dropout; // of the probabilities

  int head(int b, int h) const { return b * H + h; } // through all sequences
  int heads_of_group() const { return H / G; }
  size_t row(int b, int t) const { return (size_t)b * Tq + t; } // of q, o, begin, end
  int first_key(int b) const { return begin[row(b, 0)]; }       // that any query of b sees
  int last_key(int b) const { return end[row(b, Tq - 1)]; }
};

struct AttentionGradients { // strides of dq, and of dk and dv
  int q_stride, kv_stride;
  size_t kv_batch;
};

// Throw LP_EINVAL; the second one reads begin and end.
void check(const Attention &shape);
void check_limits(const Attention &shape);

// By instructions for bf16; false, and nothing was done, where the processor has none.
// cpu/attention_bf16.cpp
bool attention_forward_bf16(lp_ctx *ctx, const Attention &shape, const bf16 *q, const bf16 *k,
                            const bf16 *v, bf16 *o, float *lse);
bool attention_backward_bf16(lp_ctx *ctx, const Attention &shape, const AttentionGradients &strides,
                             const bf16 *d_o, const bf16 *q, const bf16 *k, const bf16 *v,
                             const bf16 *o, const float *lse, bf16 *dq, bf16 *dk, bf16 *dv);

// The forward for few queries over many keys: splits the keys instead. cpu/attention_decode.cpp
constexpr int kFewQueries = 4;
void attention_decode(lp_ctx *ctx, const Attention &shape, const void *q, const void *k,
                      const void *v, void *o, float *lse, lp_dtype dtype);

// One query at a time. cpu/attention_reference.cpp
void attention_forward_reference(lp_ctx *ctx, const Attention &shape, const void *q, const void *k,
                                 const void *v, void *o, float *lse, lp_dtype dtype);
void attention_backward_reference(lp_ctx *ctx, const Attention &shape,
                                  const AttentionGradients &strides, const void *d_o,
                                  const void *q, const void *k, const void *v, const void *o,
                                  const float *lse, void *dq, void *dk, void *dv, lp_dtype dtype);

constexpr int kLanes = kWidth == 16 ? 64 : 48; // queries of a block: whole steps of multiply_tile
constexpr int kKeys = 64;                      // keys of a tile

inline int round_up(int x, int step) { return (x + step - 1) / step * step; }

// Columns of a packed matrix: whole vectors of words in every form, and whole steps of rows.
template <class Arithmetic> int packed_width(int K) {
  return round_up(K, std::max(kWidth * Arithmetic::kElements, kRowStep));
}

// Rows of a tile that a vector of queries looks at, in whole steps; masked if not by all of them.
struct Span {
  int begin = 0, end = 0;
  bool masked = false;
  bool operator==(const Span &other) const { return begin == other.begin && end == other.end; }
};

// Queries t .. t + count - 1 of a head as lanes; lanes beyond repeat the limits of the last.
struct QueryBlock {
  alignas(64) int32_t begin[kLanes];
  alignas(64) int32_t end[kLanes];
  int t, count, vectors;

  QueryBlock(const Attention &shape, int b, int t)
      : t(t), count(std::min(kLanes, shape.Tq - t)), vectors((count + kWidth - 1) / kWidth) {
    const size_t first = shape.row(b, t);
    for (int i = 0; i < kLanes; i++) {
      begin[i] = shape.begin[first + (size_t)std::min(i, count - 1)];
      end[i] = shape.end[first + (size_t)std::min(i, count - 1)];
    }
  }

  int first_key() const { return begin[0] / kKeys * kKeys; } // of the tiles, which lie on a grid
  int last_key() const { return end[kLanes - 1]; }

  // What vector v sees of the tile that begins at key j.
  Span span(int v, int j) const {
    const int first = v * kWidth, last = first + kWidth - 1;
    const int from = std::max(begin[first], j), to = std::min(end[last], j + kKeys);
    if (from >= to) return {};
    const int row = from / kRowStep * kRowStep, row_end = round_up(to, kRowStep);
    return {row - j, row_end - j, begin[last] > row || end[first] < row_end};
  }

  // x where key j is seen, `otherwise` elsewhere, in the lanes of vector v.
  vf mask(vf x, int v, int j, float otherwise) const {
    const vi from = load<vi>(begin + v * kWidth), to = load<vi>(end + v * kWidth);
    return (splat(j) >= from) & (splat(j) < to) ? x : splat(otherwise);
  }

  // What dropout keeps of the tile that begins at key j, kept [kKeys, kLanes]: all bits or none.
  void draw(const Dropout &drop, int head, int j, int32_t *kept) const {
    constexpr int kApart = Dropout::kApart;
    constexpr int kQueries = kApart * Dropout::kQueries;
    for (int r = 0; r < kKeys; r++) {
      if (r / kApart % Dropout::kKeys != 0) continue; // decided with an earlier row
      for (int first = t / kQueries * kQueries; first < t + count; first += kQueries) {
        int32_t mask[kDropoutElements][kApart];
        for (int q = 0; q < kApart; q++) {
          const Philox bits = drop.bits_of_pair(head, first + q, j + r);
          for (int i = 0; i < kDropoutElements; i++) mask[i][q] = -(int32_t)drop.keeps(bits, i);
        }
        for (int i = 0; i < kDropoutElements; i++) {
          const int lane = first - t + i / Dropout::kKeys * kApart;
          if (lane >= 0 && lane < kLanes)
            std::copy_n(mask[i], kApart, kept + (r + i % Dropout::kKeys * kApart) * kLanes + lane);
        }
      }
    }
  }

  // j - t of every lane of vector v
  vf distance(int v, int j) const {
    vf offset;
    for (int i = 0; i < kWidth; i++) offset[i] = (float)i;
    return (float)(j - t - v * kWidth) - offset;
  }
};

// Calls run with the flags as types, for code that is compiled once for each case.
template <class Run> void with_flags(bool a, bool b, bool c, Run run) {
  const auto with = [](bool flag, auto next) {
    flag ? next(std::true_type{}) : next(std::false_type{});
  };
  with(a, [&](auto a) { with(b, [&](auto b) { with(c, [&](auto c) { run(a, b, c); }); }); });
}

// Calls run(v, vectors, span) for each run of neighbouring vectors with one span that is not empty.
template <class Run> void for_runs(const Span *spans, int vectors, Run run) {
  for (int v = 0, next; v < vectors; v = next) {
    next = v + 1;
    while (next < vectors && spans[next] == spans[v]) next++;
    if (spans[v].begin < spans[v].end) run(v, next - v, spans[v]);
  }
}

// ---- Packing: T in memory to words and back; columns K .. width - 1 become 0

// The packed forms of a matrix; one and the same for f32. Row strides: width / kElements words
// along, width words across, where a row is kElements rows of the matrix.
template <class Word> struct Packed {
  Word *along, *across;
};

// Rows of a matrix that are read; the others count as 0, whatever memory holds there.
struct Rows {
  int begin, end;
  bool has(int i) const { return i >= begin && i < end; }
};

// Packs x [padded_rows, K] of row stride `stride`, into those forms that are not null.
template <class T>
void pack(Packed<float> to, const T *x, size_t stride, Rows rows, int padded_rows, int K,
          int width) {
  float *const words = to.along ? to.along : to.across;
  for (int i = 0; i < padded_rows; i++) {
    const int columns = rows.has(i) ? K : 0;
    float *row = words + (size_t)i * width;
    load_row(x + (size_t)i * stride, row, (size_t)columns);
    std::fill(row + columns, row + width, 0.0f);
  }
}

// to [width / kElements words, kLanes] = from^T, from [kLanes, width / kElements words]
template <class Word> void transpose_words(const Word *from, Word *to, int words, int vectors) {
  for (int v = 0; v < vectors; v++)
    for (int c = 0; c < words; c += kWidth) {
      vf x[kWidth];
      for (int i = 0; i < kWidth; i++) x[i] = load(from + (v * kWidth + i) * words + c);
      transpose(x);
      for (int i = 0; i < kWidth; i++) store(to + (c + i) * kLanes + v * kWidth, x[i]);
    }
}

// Row i of `to` = factor[i] times column i of x [width, kLanes], for the queries of a block.
template <class T>
void store_transposed(const float *x, const float *factor, T *to, size_t stride, int K, int count) {
  alignas(64) float rows[kWidth][256];
  for (int first = 0; first < count; first += kWidth) {
    for (int c = 0; c < K; c += kWidth) {
      vf column[kWidth];
      for (int i = 0; i < kWidth; i++)
        column[i] = load(x + (c + i) * kLanes + first) * load(factor + first);
      transpose(column);
      for (int i = 0; i < kWidth; i++) store(rows[i] + c, column[i]);
    }
    for (int i = 0; i < std::min(kWidth, count - first); i++)
      store_row(rows[i], to + (size_t)(first + i) * stride, (size_t)K);
  }
}

} // namespace lp
#endif
