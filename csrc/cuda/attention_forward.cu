// Attention forward on tensor cores, arXiv:2205.14135 with the loop order of arXiv:2307.08691.
//
//   for each tile of keys:   s = q k^T     m' = max(m, scale s)     p = 2^(scale s - m')
//                            l = l 2^(m - m') + sum p               o = o 2^(m - m') + p v
//   at the end:              o = o / l     lse = m + log l
//
// A block is 128 queries of one head, a warp 32 of them: two rows of tiles per warp halve what is
// read of keys and values from shared memory, which else would bound it. Keys and values come in
// turn through a ring of slots by asynchronous copies, as many ahead as there are slots less one;
// the slots of every width let two blocks share a multiprocessor of sm_80.
// Tiles that no query of the block sees are skipped; only those on a border are masked.
#include "cuda/attention_plan.h"
#include "cuda/vector.h"

namespace lp {

namespace {
constexpr int kThreads = kTileAttentionThreads;
constexpr unsigned kQuad = 0xffffffffu;

template <class T, int K, Extras extras> class ForwardBlock {
public:
  using Layout = Tile<K>;
  using Plan = ForwardPlan<K, extras>;
  static constexpr int kRowTiles = Plan::kRowTiles, kQueries = Plan::kQueries;
  static constexpr int kWarpQueries = Plan::kWarpQueries;
  static constexpr int kKeys = Plan::kKeys, kKeyTiles = Plan::kKeyTiles;
  static constexpr bool kBiases = extras != Extras::none;
  static constexpr bool kDrops = extras == Extras::dropout;
  static constexpr bool kHoldsQueries = K <= 64 && !kDrops; // in registers

  GPU_DEV ForwardBlock(const Attention &a, const T *q, const T *k, const T *v, char *memory)
      : a(a), memory(memory), lane((int)threadIdx.x & 31), warp((int)threadIdx.x >> 5),
        b((int)blockIdx.z), h((int)blockIdx.y),
        // The last queries of a causal problem see the most keys: they go first.
        t0((int)(gridDim.x - 1 - blockIdx.x) * kQueries), q(q), k(k), v(v),
        kv_at(a.kv_at(b, 0, h / a.heads_of_group)), factor(a.scale * kLog2E),
        slope(a.slope ? a.slope[h] * kLog2E : 0) {}

  GPU_DEV void run(T *o, float *lse) {
    const int last_query = min(t0 + kQueries, a.Tq) - 1;
    const KeyRange first_range = keys_of(a, b, t0), last_range = keys_of(a, b, last_query);
    held = {keys_of(a, b, 0).begin, keys_of(a, b, a.Tq - 1).end};
    int tile = first_range.begin / kKeys;
    last_tile = (last_range.end + kKeys - 1) / kKeys;
    const int whole_from = (last_range.begin + kKeys - 1) / kKeys;
    const int whole_to = first_range.end / kKeys;

    if (threadIdx.x < kQueries) {
      const KeyRange own = keys_of(a, b, min(t0 + (int)threadIdx.x, a.Tq - 1));
      gpu_copy<sizeof own>(memory + Plan::kEnd + threadIdx.x * sizeof own, &own);
    }
    copy_tile<K, kQueries, kThreads>(memory, q + a.q_at(b, 0, h), (size_t)a.q_stride, t0, 0, a.Tq);
#pragma unroll
    for (int i = 0; i < Plan::kSlots - 1; i++)
      copy(i % 2 == 0 ? k : v, tile + i / 2, read + i * Plan::kSlotBytes);
    clear(out);
#pragma unroll
    for (int r = 0; r < kRowTiles; r++)
      for (int half = 0; half < 2; half++) {
        largest[r][half] = -INFINITY;
        sum[r][half] = 0;
      }
    if (kHoldsQueries && tile < last_tile) hold_queries();

    for (; tile < last_tile; tile++) visit(tile, tile >= whole_from && tile < whole_to);
    async_wait<0>(); // of the queries, when there was no tile
    __syncthreads();
    finish(o, lse);
  }

private:
  // Keys or values of a tile into a slot; a group of copies even when there is no such tile.
  GPU_DEV void copy(const T *x, int tile, uint32_t slot) {
    if (tile < last_tile)
      copy_tile<K, kKeys, kThreads>(memory + slot, x + kv_at, (size_t)a.kv_stride, tile * kKeys,
                                    held.begin, held.end);
    async_commit();
  }

  // Waits for the slot that is read next, the i-th of `tile`: the one before it is free then, and
  // is filled again.
  GPU_DEV void turn(int tile, int i) {
    async_wait<Plan::kSlots - 2>();
    __syncthreads();
    const int next = i + Plan::kSlots - 1;
    copy(next % 2 == 0 ? k : v, tile + next / 2, Plan::earlier(read));
  }

  GPU_DEV void hold_queries() {
    async_wait<Plan::kSlots - 2>();
    __syncthreads();
#pragma unroll
    for (int i = 0; i < Layout::kSteps; i++)
#pragma unroll
      for (int r = 0; r < kRowTiles; r++)
        load_matrix_x4(queries[kHoldsQueries ? i : 0][r],
                       memory + Layout::step(queries_at(), i) + r * Layout::bytes(16));
  }

  GPU_DEV uint32_t queries_at() const {
    return Layout::lane_by_rows(lane) + (uint32_t)warp * Layout::bytes(kWarpQueries);
  }

  GPU_DEV void visit(int tile, bool is_whole) {
    float s[kRowTiles][kKeyTiles][4];
    turn(tile, 0);
    clear(s);
    const uint32_t keys = Layout::lane_by_chunks(lane) + read;
    if (kHoldsQueries) {
#pragma unroll
      for (int i = 0; i < Layout::kSteps; i++)
        multiply_step<K, kRowTiles, kKeyTiles, T>(s, queries[kHoldsQueries ? i : 0], memory, keys,
                                                  i);
    } else {
      multiply_rows<K, kRowTiles, kKeyTiles, T>(s, memory, queries_at(), keys);
    }
    read = Plan::next(read);
    if (kBiases) add_biases(s, tile * kKeys);
    if (!is_whole)
      for_row_tiles([&](int r) { mask(s[r], r, tile * kKeys); });
    for_row_tiles([&](int r) { softmax(s[r], r); });
    if (kDrops) drop(s, tile * kKeys);
    uint32_t p[kRowTiles][kKeyTiles][2];
    round_tile<T>(s, p);
    turn(tile, 1);
    multiply_columns<K, kRowTiles, kKeyTiles, T>(out, p, memory, Layout::lane_by_rows(lane) + read);
    read = Plan::next(read);
  }

  // First of the two rows of a lane in row tile r; the other one is 8 further.
  GPU_DEV int query(int r) const { return t0 + warp * kWarpQueries + r * 16 + lane / 4; }

  template <class Run> GPU_DEV static void for_row_tiles(Run run) {
#pragma unroll
    for (int r = 0; r < kRowTiles; r++) run(r);
  }

  // As if all rows of the lane were the first of them: what a row lacks is the same for all its keys,
  // so it only matters to lse (bias_of_row).
  GPU_DEV void add_biases(float (&s)[kRowTiles][kKeyTiles][4], int first_key) const {
    const float distance = (float)(first_key + lane % 4 * 2 - query(0));
#pragma unroll
    for (int n = 0; n < kKeyTiles; n++)
#pragma unroll
      for (int e = 0; e < 4; e++)
#pragma unroll
        for (int r = 0; r < kRowTiles; r++)
          s[r][n][e] = attention_score(s[r][n][e], factor, slope, distance + (float)(n * 8 + e % 2));
  }
  GPU_DEV float bias_of_row(int r, int half) const { return -slope * (float)(r * 16 + half * 8); }

  // -inf where a query does not look.
  GPU_DEV void mask(float (&s)[kKeyTiles][4], int r, int first_key) const {
    const int j = first_key + lane % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      KeyRange keys;
      gpu_copy<sizeof keys>(
          &keys, memory + Plan::kEnd + (query(r) + 8 * half - t0) * (int)sizeof keys);
#pragma unroll
      for (int n = 0; n < kKeyTiles; n++)
#pragma unroll
        for (int e = 0; e < 2; e++)
          if (!keys.has(j + n * 8 + e)) s[n][2 * half + e] = -INFINITY;
    }
  }

  // Scores to probabilities; largest, sum and the output so far follow.
  GPU_DEV void softmax(float (&s)[kKeyTiles][4], int r) {
    const float unit = kBiases ? 1.0f : factor;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const float earlier = largest[r][half];
      float m = earlier;
#pragma unroll
      for (int n = 0; n < kKeyTiles; n++)
        m = fmaxf(m, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
      m = fmaxf(m, __shfl_xor_sync(kQuad, m, 1));
      m = fmaxf(m, __shfl_xor_sync(kQuad, m, 2));
      largest[r][half] = m;
      // Nothing seen yet: all p are 0, as is what they are scaled by.
      const float origin = (m == -INFINITY ? 0 : m) * unit;
      const float shrink = fast_exp2(earlier * unit - origin);
      float total = sum[r][half] * shrink;
#pragma unroll
      for (int n = 0; n < kKeyTiles; n++)
#pragma unroll
        for (int e = 2 * half; e < 2 * half + 2; e++) {
          s[n][e] = fast_exp2(s[n][e] * unit - origin);
          total += s[n][e];
        }
      sum[r][half] = total;
#pragma unroll
      for (int n = 0; n < K / 8; n++)
#pragma unroll
        for (int e = 2 * half; e < 2 * half + 2; e++) out[r][n][e] *= shrink;
    }
  }

  // A block of random bits is all of the lane: of two key tiles and its four rows.
  GPU_DEV void drop(float (&p)[kRowTiles][kKeyTiles][4], int first_key) const {
    static_assert(kRowTiles == 2 && kKeyTiles % 2 == 0, "whole blocks");
#pragma unroll
    for (int n = 0; n < kKeyTiles; n += 2)
#pragma unroll
      for (int e = 0; e < 2; e++) {
        const int key = first_key + n * 8 + lane % 4 * 2 + e;
        const Philox bits = a.dropout.bits_of_pair(a.head(b, h), query(0), key);
#pragma unroll
        for (int i = 0; i < kDropoutElements; i++)
          if (!a.dropout.keeps(bits, i)) p[i / 4][n + i % 2][i / 2 % 2 * 2 + e] = 0;
      }
  }

  GPU_DEV void finish(T *o, float *lse) {
    const float unit = kBiases ? 1.0f : factor;
    const int first = t0 + warp * kWarpQueries;
    float scales[kRowTiles][2];
#pragma unroll
    for (int r = 0; r < kRowTiles; r++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float l = sum[r][half];
        l += __shfl_xor_sync(kQuad, l, 1);
        l += __shfl_xor_sync(kQuad, l, 2);
        const bool sees = l > 0;
        scales[r][half] = sees ? (kDrops ? a.dropout.scale : 1.0f) / l : 0.0f;
        const int t = query(r) + 8 * half;
        if (lse && lane % 4 == 0 && t < a.Tq)
          lse[a.lse_row(b, h, t)] =
              sees ? attention_lse(largest[r][half] * unit + bias_of_row(r, half), log(l)) : -INFINITY;
      }
    store_rows<K>(out, scales, memory + (uint32_t)warp * Layout::bytes(kWarpQueries),
                  o + a.o_at(b, first, h), (size_t)a.o_stride, a.Tq - first);
  }

  const Attention &a;
  char *const memory;
  const int lane, warp, b, h, t0;
  const T *const q, *const k, *const v;
  const size_t kv_at;        // of the head, in k and v
  const float factor, slope; // of scores in units of ln 2
  KeyRange held;             // keys that any query of the sequence sees; others may hold anything
  int last_tile;
  uint32_t read = Plan::kRing; // the slot whose turn is next
  uint32_t queries[kHoldsQueries ? Layout::kSteps : 1][kRowTiles][4];
  float out[kRowTiles][K / 8][4];
  float largest[kRowTiles][2], sum[kRowTiles][2]; // of a lane's own keys, the sum
};

template <class T, int K, Extras extras>
__global__ void __launch_bounds__(kThreads, 2)
    attention_forward(Attention a, const T *q, const T *k, const T *v, T *o, float *lse,
                      DeviceFault *fault) {
  GPU_DYN_SMEM(char, memory);
  const int t = (int)(blockIdx.x * ForwardPlan<K, extras>::kQueries + threadIdx.x);
  if (blockIdx.y == 0 && t < a.Tq) check_limits(a, (int)blockIdx.z, t, fault);
  ForwardBlock<T, K, extras>(a, q, k, v, memory).run(o, lse);
}

template <class T, int K, Extras extras>
void start(lp_ctx *ctx, const Attention &a, const T *q, const T *k, const T *v, T *o, float *lse) {
  using Plan = ForwardPlan<K, extras>;
  const dim3 grid((unsigned)((a.Tq + Plan::kQueries - 1) / Plan::kQueries), (unsigned)a.H,
                  (unsigned)a.B);
  launch(ctx, "attention_forward", attention_forward<T, K, extras>, grid, kThreads, Plan::kBytes, a,
         q, k, v, o, lse, ctx->fault);
}
} // namespace

template <class T>
void attention_tiles_forward(lp_ctx *ctx, const Attention &a, const T *q, const T *k, const T *v,
                             T *o, float *lse) {
  with_tile_width(a.K, [&](auto K) {
    // Without extras the largest score is looked for before it is scaled.
    if (a.dropout.drops())
      start<T, K, Extras::dropout>(ctx, a, q, k, v, o, lse);
    else if (a.slope != nullptr || a.scale <= 0)
      start<T, K, Extras::biases>(ctx, a, q, k, v, o, lse);
    else
      start<T, K, Extras::none>(ctx, a, q, k, v, o, lse);
  });
}
template void attention_tiles_forward(lp_ctx *, const Attention &, const bf16 *, const bf16 *,
                                      const bf16 *, bf16 *, float *);
template void attention_tiles_forward(lp_ctx *, const Attention &, const f16 *, const f16 *,
                                      const f16 *, f16 *, float *);

} // namespace lp
