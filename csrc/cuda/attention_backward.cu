// Attention backward on tensor cores, arXiv:2307.08691, without atomics: dq is a sum over keys, dk
// and dv are sums over queries, so two kernels walk the same tiles, one by rows and one by columns.
//
//   p = 2^(scale s - lse)     dp = do v^T     ds = p (dp - <do, o>)
//   dq = scale ds k           dk = scale ds^T q           dv = p^T do
//
// Both hold rows of two matrices (q and do, or k and v), let tiles of the other two pass by, and
// form  s = held[0] passing[0]^T,  dp = held[1] passing[1]^T,  out[0] += ds passing[0]  and, of the
// keys, out[1] += p passing[1]. So p and ds stay in the registers that the next product reads.
// Passing tiles come in pairs through two slots by asynchronous copies.
//
// A block of keys takes all query heads of its group in turn: the same bits on every run.
#include <stddef.h>

#include "cuda/attention_plan.h"
#include "cuda/vector.h"

namespace lp {

namespace {
constexpr int kThreads = kTileAttentionThreads;
constexpr unsigned kAll = 0xffffffffu;

constexpr int kPadding = 128;
LP_HD int padded_queries(int Tq) { return (Tq + kPadding - 1) / kPadding * kPadding; }

// ---- QueryStats of [B, H, padded Tq], from 16 threads each
constexpr int kStatsLanes = 16;

template <class T>
__global__ void attention_stats(Attention a, const T *d_o, const T *o, const float *lse,
                                QueryStats *stats) {
  const int padded = padded_queries(a.Tq), lane = (int)threadIdx.x % kStatsLanes;
  const size_t row = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) / kStatsLanes;
  const int t = (int)(row % (size_t)padded), h = (int)(row / (size_t)padded % (size_t)a.H);
  const int b = (int)(row / (size_t)padded / (size_t)a.H);
  float sum = 0;
  if (t < a.Tq)
    for (int c = lane * 8; c < a.K; c += kStatsLanes * 8) {
      float x[8], y[8];
      load(d_o + a.o_at(b, t, h) + c, x);
      load(o + a.o_at(b, t, h) + c, y);
      for (int i = 0; i < 8; i++) sum += x[i] * y[i];
    }
#pragma unroll
  for (int offset = kStatsLanes / 2; offset > 0; offset /= 2)
    sum += __shfl_xor_sync(kAll, sum, offset);
  if (lane > 0) return;
  const float natural = t < a.Tq ? lse[a.lse_row(b, h, t)] : -INFINITY;
  QueryStats &to = stats[row / QueryStats::kQueries];
  const int i = (int)(row % QueryStats::kQueries);
  to.lse[i] = natural == -INFINITY ? INFINITY : natural * kLog2E;
  to.do_o[i] = sum;
  to.keys[i] = keys_of(a, b, min(t, a.Tq - 1));
}

template <class T, int K, Extras extras, Side side> class BackwardBlock {
public:
  using Layout = Tile<K>;
  using Plan = BackwardPlan<K, extras, side>;
  static constexpr bool kOfKeys = side == Side::keys;
  static constexpr bool kBiases = extras != Extras::none;
  static constexpr bool kDrops = extras == Extras::dropout;
  static constexpr int kRowTiles = Plan::kRowTiles, kRows = Plan::kRows;
  static constexpr int kWarpRows = Plan::kWarpRows;
  static constexpr int kColumns = Plan::kColumns, kColumnTiles = Plan::kColumnTiles;
  using Product = float[kRowTiles][kColumnTiles][4];
  using RandomBits = Philox[2][2];

  GPU_DEV BackwardBlock(const Attention &a, const AttentionInputs<T> &in, const QueryStats *stats,
                        char *memory)
      : a(a), in(in), stats(stats), memory(memory), lane((int)threadIdx.x & 31),
        warp((int)threadIdx.x >> 5), b((int)blockIdx.z),
        h0((int)blockIdx.y * (kOfKeys ? a.heads_of_group : 1)),
        g(kOfKeys ? (int)blockIdx.y : (int)blockIdx.y / a.heads_of_group),
        // The last queries of a causal problem see the most keys, its first keys are seen by most.
        row0((int)(kOfKeys ? blockIdx.x : gridDim.x - 1 - blockIdx.x) * kRows),
        factor(a.scale * kLog2E) {}

  GPU_DEV void run(const AttentionGradients &strides, const AttentionOutputs<T> &to) {
    seen = {keys_of(a, b, 0).begin, keys_of(a, b, a.Tq - 1).end};
    if (kOfKeys)
      find_queries();
    else
      find_keys();
    hold();
    if (first_tile < last_tile) copy(0, first_tile, read);
#pragma unroll
    for (int i = 0; i < Plan::kOutputs; i++) clear(out[i]);
    if (Plan::kKept > 0 && first_tile < last_tile) keep();
    int tile = first_tile;
    for (head = 0; tile < last_tile && head < heads();) {
      visit(tile);
      if (++tile == last_tile) {
        tile = first_tile;
        head++;
      }
    }
    async_wait<0>(); // of what is held, when there was no tile
    __syncthreads();
    store(strides, to);
  }

private:
  GPU_DEV int heads() const { return kOfKeys ? a.heads_of_group : 1; }

  // Tiles of keys that queries row0 .. row0 + kRows - 1 see.
  GPU_DEV void find_keys() {
    const KeyRange of_first = keys_of(a, b, row0);
    const KeyRange of_last = keys_of(a, b, min(row0 + kRows, a.Tq) - 1);
    first_tile = of_first.begin / kColumns;
    last_tile = (of_last.end + kColumns - 1) / kColumns;
  }

  // Tiles of queries that see keys row0 .. row0 + kRows - 1.
  GPU_DEV void find_queries() {
    const int last = row0 + kRows;
    const int32_t *begin = a.begin + a.row(b, 0), *end = a.end + a.row(b, 0);
    const int sees_from = first_that(a.Tq, [&](int t) { return end[t] > row0; });
    const int sees_to = first_that(a.Tq, [&](int t) { return begin[t] >= last; });
    first_tile = sees_from / kColumns;
    last_tile = (sees_to + kColumns - 1) / kColumns;
  }

  // Starts the copies of what the block holds; the first pair of passing tiles follows them.
  GPU_DEV void hold() {
    if (kOfKeys) {
      copy_tile<K, kRows, kThreads>(memory, in.k + a.kv_at(b, 0, g), (size_t)a.kv_stride, row0,
                                    seen.begin, seen.end);
      copy_tile<K, kRows, kThreads>(memory + Plan::kHeldBytes, in.v + a.kv_at(b, 0, g),
                                    (size_t)a.kv_stride, row0, seen.begin, seen.end);
    } else {
      copy_tile<K, kRows, kThreads>(memory, in.q + a.q_at(b, 0, h0), (size_t)a.q_stride, row0, 0,
                                    a.Tq);
      copy_tile<K, kRows, kThreads>(memory + Plan::kHeldBytes, in.d_o + a.o_at(b, 0, h0),
                                    (size_t)a.o_stride, row0, 0, a.Tq);
      copy_stats(memory + Plan::kHeldStats, h0, row0, kRows);
    }
  }

  // Held rows into registers, those that have a place there.
  GPU_DEV void keep() {
    async_wait<2 * Plan::kSlots - 3>();
    __syncthreads();
#pragma unroll
    for (int x = 0; x < Plan::kKept; x++)
#pragma unroll
      for (int i = 0; i < Layout::kSteps; i++)
#pragma unroll
        for (int r = 0; r < kRowTiles; r++)
          load_matrix_x4(kept[x][i][r], memory + Layout::step(held_at(), i) +
                                            x * Plan::kHeldBytes + r * Layout::bytes(16));
  }

  GPU_DEV uint32_t held_at() const {
    return Layout::lane_by_rows(lane) + (uint32_t)warp * Layout::bytes(kWarpRows);
  }

  // c = held rows of matrix x times those of the passing tile at `right`.
  template <int x> GPU_DEV void multiply_held(Product &c, uint32_t right) {
    clear(c);
    if constexpr (x < Plan::kKept) {
#pragma unroll
      for (int i = 0; i < Layout::kSteps; i++)
        multiply_step<K, kRowTiles, kColumnTiles, T>(c, kept[x][i], memory, right, i);
    } else {
      multiply_rows<K, kRowTiles, kColumnTiles, T>(c, memory, held_at() + x * Plan::kHeldBytes,
                                                   right);
    }
  }

  GPU_DEV void copy_stats(char *to, int h, int t, int count) const {
    const size_t row = ((size_t)b * a.H + h) * padded_queries(a.Tq) + t;
    const char *from = reinterpret_cast<const char *>(stats + row / QueryStats::kQueries);
    static_assert(sizeof(QueryStats) == 16 * QueryStats::kQueries, "one copy for each query");
    if ((int)threadIdx.x < count)
      async_copy16(to + threadIdx.x * 16, from + threadIdx.x * 16, true);
  }

  // Pair `tile` of passing tiles of the i-th head into a slot, a group of copies each; when there
  // is none, the first one of the next head, or nothing.
  GPU_DEV void copy(int i, int tile, uint32_t slot) {
    if (tile >= last_tile) {
      tile = first_tile;
      i++;
    }
    const bool is_there = i < heads();
    const int first = tile * kColumns, h = h0 + i;
    char *const to = memory + slot;
    if (is_there && kOfKeys) {
      copy_tile<K, kColumns, kThreads>(to, in.q + a.q_at(b, 0, h), (size_t)a.q_stride, first, 0,
                                       a.Tq);
      copy_stats(to + Plan::kSlotStats, h, first, kColumns);
    } else if (is_there) {
      copy_tile<K, kColumns, kThreads>(to, in.k + a.kv_at(b, 0, g), (size_t)a.kv_stride, first,
                                       seen.begin, seen.end);
    }
    async_commit();
    if (is_there && kOfKeys)
      copy_tile<K, kColumns, kThreads>(to + Plan::kPassingBytes, in.d_o + a.o_at(b, 0, h),
                                       (size_t)a.o_stride, first, 0, a.Tq);
    else if (is_there)
      copy_tile<K, kColumns, kThreads>(to + Plan::kPassingBytes, in.v + a.kv_at(b, 0, g),
                                       (size_t)a.kv_stride, first, seen.begin, seen.end);
    async_commit();
  }

  // Whether every query of the tile sees every key of it: limits grow along the queries.
  GPU_DEV bool is_whole(int tile) const {
    const int from = kOfKeys ? row0 : tile * kColumns, count = kOfKeys ? kRows : kColumns;
    constexpr int kQueries = kOfKeys ? kColumns : kRows;
    return stats_at(kQueries - 1, offsetof(QueryStats, keys), KeyRange()).begin <= from &&
           stats_at(0, offsetof(QueryStats, keys), KeyRange()).end >= from + count;
  }

  GPU_DEV void visit(int tile) {
    const uint32_t by_chunks = Layout::lane_by_chunks(lane) + read;
    const uint32_t by_rows = Layout::lane_by_rows(lane) + read;
    Product p, dp;

    async_wait<2 * Plan::kSlots - 3>(); // the first tile of the pair is there
    __syncthreads();                    // and the slot before is free
    copy(head, tile + 1, Plan::earlier(read));
    multiply_held<0>(p, by_chunks);
    if (is_whole(tile))
      for_row_tiles([&](int r) { probabilities<false>(p[r], r, tile); });
    else
      for_row_tiles([&](int r) { probabilities<true>(p[r], r, tile); });

    async_wait<2 * Plan::kSlots - 2>(); // the second one is there
    __syncthreads();
    multiply_held<1>(dp, by_chunks + Plan::kPassingBytes);
    RandomBits bits;
    if (kDrops) draw(bits, tile);
#pragma unroll
    for (int r = 0; r < kRowTiles; r++) score_gradients(p[r], dp[r], r, bits);

    uint32_t left[kRowTiles][kColumnTiles][2];
    round_tile<T>(dp, left);
    multiply_columns<K, kRowTiles, kColumnTiles, T>(out[0], left, memory, by_rows);
    if (kOfKeys) {
      round_tile<T>(p, left);
      multiply_columns<K, kRowTiles, kColumnTiles, T>(out[Plan::kOutputs - 1], left, memory,
                                                      by_rows + Plan::kPassingBytes);
    }
    read = Plan::next(read);
  }

  template <class Run> GPU_DEV static void for_row_tiles(Run run) {
#pragma unroll
    for (int r = 0; r < kRowTiles; r++) run(r);
  }

  // ---- Element e of column tile n and row tile r of a lane

  GPU_DEV int row_in_block(int r, int e) const {
    return warp * kWarpRows + r * 16 + lane / 4 + e / 2 * 8;
  }
  GPU_DEV int column_in_tile(int n, int e) const { return n * 8 + lane % 4 * 2 + e % 2; }
  GPU_DEV int key(int r, int n, int e, int tile) const {
    return kOfKeys ? row0 + row_in_block(r, e) : tile * kColumns + column_in_tile(n, e);
  }
  GPU_DEV int query(int r, int n, int e, int tile) const {
    return kOfKeys ? tile * kColumns + column_in_tile(n, e) : row0 + row_in_block(r, e);
  }
  // A field of the stats of the i-th query in shared memory, and of that query and the next.
  template <class X> GPU_DEV X stats_at(int i, size_t field, X) const {
    X x;
    gpu_copy<sizeof(X)>(&x, stats_address(i, field, sizeof(X)));
    return x;
  }
  GPU_DEV const char *stats_address(int i, size_t field, size_t size) const {
    return memory + (kOfKeys ? read + Plan::kSlotStats : Plan::kHeldStats) +
           i / QueryStats::kQueries * sizeof(QueryStats) + field + i % QueryStats::kQueries * size;
  }
  // The two queries of a lane: two rows of row tile r, or two columns of column tile n.
  template <class X> GPU_DEV void read_stats(X (&x)[2], size_t field, int r, int n) const {
    if (kOfKeys) {
      gpu_copy<2 * sizeof(X)>(x, stats_address(column_in_tile(n, 0), field, sizeof(X)));
    } else if (n == 0) {
      x[0] = stats_at(row_in_block(r, 0), field, X());
      x[1] = stats_at(row_in_block(r, 2), field, X());
    }
  }
  // Which of them element e is of.
  GPU_DEV static constexpr int query_of(int e) { return kOfKeys ? e % 2 : e / 2; }

  // Scores to probabilities, before dropout.
  template <bool masked> GPU_DEV void probabilities(float (&p)[kColumnTiles][4], int r, int tile) {
    const float slope = kBiases && a.slope ? a.slope[h0 + head] * kLog2E : 0;
    const float distance = (float)(key(r, 0, 0, tile) - query(r, 0, 0, tile));
    alignas(16) float lse[2];
    alignas(16) KeyRange keys[2];
#pragma unroll
    for (int n = 0; n < kColumnTiles; n++) {
      read_stats(lse, offsetof(QueryStats, lse), r, n);
      if (masked) read_stats(keys, offsetof(QueryStats, keys), r, n);
#pragma unroll
      for (int e = 0; e < 4; e++) {
        float x = p[n][e] * factor;
        if (kBiases) {
          const int further = (n * 8 + e % 2) - e / 2 * 8; // column minus row, from element 0
          x = attention_score(p[n][e], factor, slope,
                              distance + (float)(kOfKeys ? -further : further));
        }
        x = fast_exp2(x - lse[query_of(e)]);
        if (masked && !keys[query_of(e)].has(key(r, n, e, tile))) x = 0;
        p[n][e] = x;
      }
    }
  }

  // dp to ds; p becomes what v is multiplied with.
  GPU_DEV void score_gradients(float (&p)[kColumnTiles][4], float (&dp)[kColumnTiles][4], int r,
                               const RandomBits &bits) {
    alignas(16) float of_queries[2];
#pragma unroll
    for (int n = 0; n < kColumnTiles; n++) {
      read_stats(of_queries, offsetof(QueryStats, do_o), r, n);
#pragma unroll
      for (int e = 0; e < 4; e++) {
        const float do_o = of_queries[query_of(e)];
        const float factor = !kDrops ? 1 : keeps(bits, r, n, e) ? a.dropout.scale : 0;
        if (kDrops) dp[n][e] *= factor;
        dp[n][e] = attention_ds(p[n][e], dp[n][e], do_o);
        if (kDrops) p[n][e] *= factor;
      }
    }
  }

  // Random bits of a lane's elements: of keys, a row tile is a block for each parity of columns; of
  // queries, two column tiles and all row tiles are.
  static_assert(kColumnTiles == 4 && kRowTiles <= 2, "whole blocks");

  GPU_DEV void draw(RandomBits &bits, int tile) const {
    constexpr int kBlocks = kOfKeys ? kRowTiles : kColumnTiles / 2;
#pragma unroll
    for (int i = 0; i < kBlocks; i++)
#pragma unroll
      for (int e = 0; e < 2; e++) {
        const int r = kOfKeys ? i : 0, n = kOfKeys ? 0 : 2 * i;
        Philox &block = bits[i][e];
        block = a.dropout.bits_of_pair(a.head(b, h0 + head), query(r, n, e, tile), key(r, n, e, tile));
        if (!kOfKeys && kRowTiles == 1 && warp % 2 == 1) { // the last 16 of the block's 32 queries
          block.word[0] = block.word[2];
          block.word[1] = block.word[3];
        }
      }
  }

  GPU_DEV bool keeps(const RandomBits &bits, int r, int n, int e) const {
    return kOfKeys ? a.dropout.keeps(bits[r][e % 2], n * 2 + e / 2)
                   : a.dropout.keeps(bits[n / 2][e % 2], (r * 2 + e / 2) * 2 + n % 2);
  }

  GPU_DEV void store(const AttentionGradients &strides, const AttentionOutputs<T> &to) {
    const int first = row0 + warp * kWarpRows;
    float scale[kRowTiles][2], one[kRowTiles][2];
#pragma unroll
    for (int r = 0; r < kRowTiles; r++)
      for (int half = 0; half < 2; half++) {
        scale[r][half] = a.scale;
        one[r][half] = 1;
      }
    char *rows = memory + (uint32_t)warp * Layout::bytes(kWarpRows);
    if (kOfKeys) {
      const size_t at = strides.kv_at(b, first, g, K);
      store_rows<K>(out[0], scale, rows, to.dk + at, (size_t)strides.kv_stride, a.Tk - first);
      store_rows<K>(out[Plan::kOutputs - 1], one, rows + Plan::kHeldBytes, to.dv + at,
                    (size_t)strides.kv_stride, a.Tk - first);
    } else {
      store_rows<K>(out[0], scale, rows,
                    to.dq + a.row(b, first) * (size_t)strides.q_stride + (size_t)h0 * K,
                    (size_t)strides.q_stride, a.Tq - first);
    }
  }

  const Attention &a;
  const AttentionInputs<T> &in;
  const QueryStats *const stats;
  char *const memory;
  const int lane, warp, b, h0, g, row0;
  const float factor; // of scores in units of ln 2
  KeyRange seen;      // keys that any query of the sequence sees; others may hold anything
  int first_tile, last_tile;
  int head = 0; // of those of the block
  uint32_t read = Plan::kRing;
  uint32_t kept[Plan::kKept > 0 ? Plan::kKept : 1][Layout::kSteps][kRowTiles][4];
  float out[Plan::kOutputs][kRowTiles][K / 8][4];
};

template <class T, int K, Extras extras, Side side>
__global__ void __launch_bounds__(kThreads, 2)
    attention_backward(Attention a, AttentionGradients strides, AttentionInputs<T> in,
                       const QueryStats *stats, AttentionOutputs<T> out) {
  GPU_DYN_SMEM(char, memory);
  BackwardBlock<T, K, extras, side>(a, in, stats, memory).run(strides, out);
}

template <class T, int K, Extras extras>
void start(lp_ctx *ctx, const Attention &a, const AttentionGradients &strides,
           const AttentionInputs<T> &in, const QueryStats *stats, const AttentionOutputs<T> &out) {
  using Keys = BackwardPlan<K, extras, Side::keys>;
  using Queries = BackwardPlan<K, extras, Side::queries>;
  launch(ctx, "attention_backward_keys", attention_backward<T, K, extras, Side::keys>,
         dim3((unsigned)((a.Tk + Keys::kRows - 1) / Keys::kRows), (unsigned)a.G, (unsigned)a.B),
         kThreads, Keys::kEnd, a, strides, in, stats, out);
  launch(ctx, "attention_backward_queries", attention_backward<T, K, extras, Side::queries>,
         dim3((unsigned)((a.Tq + Queries::kRows - 1) / Queries::kRows), (unsigned)a.H,
              (unsigned)a.B),
         kThreads, Queries::kEnd, a, strides, in, stats, out);
}
} // namespace

template <class T>
void attention_tiles_backward(lp_ctx *ctx, const Attention &a, const AttentionGradients &strides,
                              const AttentionInputs<T> &in, const AttentionOutputs<T> &out) {
  const size_t rows = (size_t)a.B * a.H * padded_queries(a.Tq);
  QueryStats *stats = ctx->workspace<QueryStats>(rows / QueryStats::kQueries);
  launch(ctx, "attention_stats", attention_stats<T>,
         (unsigned)(rows / (kThreads / kStatsLanes)), kThreads, 0, a, in.d_o, in.o, in.lse, stats);
  with_tile_width(a.K, [&](auto K) {
    if (a.dropout.drops())
      start<T, K, Extras::dropout>(ctx, a, strides, in, stats, out);
    else if (a.slope != nullptr)
      start<T, K, Extras::biases>(ctx, a, strides, in, stats, out);
    else
      start<T, K, Extras::none>(ctx, a, strides, in, stats, out);
  });
}
template void attention_tiles_backward(lp_ctx *, const Attention &, const AttentionGradients &,
                                       const AttentionInputs<bf16> &,
                                       const AttentionOutputs<bf16> &);
template void attention_tiles_backward(lp_ctx *, const Attention &, const AttentionGradients &,
                                       const AttentionInputs<f16> &,
                                       const AttentionOutputs<f16> &);

} // namespace lp
