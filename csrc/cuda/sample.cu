// Choosing tokens. Rules: common/sample.h
//
// A row is cut into chunks. A block per chunk leaves sums over it (a warp per row would be alone on
// the device where text is made: one row of 100,000 logits and more), a block per row adds those
// and decides. As sums are integers, nothing depends on the order. A search takes four bits of the
// key at a time: 16 sums fit into the registers of a thread, where a histogram in shared memory
// would have most logits meet in a few counters.
#include "common/sample.h"

#include "common/checks.h"
#include "cuda/context.h"
#include "cuda/reduce.h"

namespace lp {

namespace {
constexpr int kThreads = 256, kPerThread = 16, kChunk = kThreads * kPerThread;
constexpr int kMostChunks = kMostSampled / kChunk;
constexpr int kBits = 4, kDigits = 1 << kBits;

// What is known of a row between kernels.
struct Row {
  float largest;
  KeptTokens kept;
  TokenSearch search;
};

// The logits, and memory for sums of chunks, [N][chunks][at most kDigits].
struct Task {
  const float *x;
  Row *rows;
  uint64_t *partial;
  int V, chunks;
  float temperature;

  GPU_DEV TokenWeight weight(const Row &row) const { return {row.largest, temperature}; }
  // Calls take(i, x) for the logits of this thread in the chunk of this block.
  template <class Take> GPU_DEV void for_chunk(Take take) const {
    const float *row = x + (size_t)(blockIdx.x / chunks) * V;
    const int begin = (int)(blockIdx.x % chunks) * kChunk, end = min(V, begin + kChunk);
    for (int i = begin + (int)threadIdx.x; i < end; i += kThreads) take(i, row[i]);
  }
  GPU_DEV Row &row_of_chunk() const { return rows[blockIdx.x / chunks]; }
  // Sums of the chunks of this block's row.
  GPU_DEV const uint64_t *partials(int width) const {
    return partial + (size_t)blockIdx.x * chunks * width;
  }
};

// Sums of a chunk to memory.
template <int K> GPU_DEV void leave(const Task &task, uint64_t (&sums)[K]) {
  GPU_SMEM(uint64_t, shared, [K][kMostWarps]);
  block_sum(sums, shared);
#pragma unroll
  for (int k = 0; k < K; k++)
    if ((int)threadIdx.x == k) task.partial[(size_t)blockIdx.x * K + k] = sums[k];
}

// Sums of all chunks of a row, for every thread of its block.
template <int K> GPU_DEV void collect(const Task &task, uint64_t (&sums)[K]) {
  GPU_SMEM(uint64_t, shared, [kThreads]);
  const uint64_t *partial = task.partials(K);
  uint64_t sum = 0; // of every (kThreads / K)-th chunk
  for (int i = threadIdx.x; i < task.chunks * K; i += kThreads) sum += partial[i];
  shared[threadIdx.x] = sum;
  __syncthreads();
#pragma unroll
  for (int k = 0; k < K; k++) {
    sums[k] = 0;
    for (int i = k; i < kThreads; i += K) sums[k] += shared[i];
  }
}

// The first of the largest logits of a chunk, as (key, ~id) in one number.
__global__ void __launch_bounds__(kThreads) largest_kernel(Task task) {
  GPU_SMEM(uint64_t, shared, [kThreads / 32]);
  uint64_t best = 0;
  task.for_chunk([&](int i, float x) {
    best = max(best, (uint64_t)order_key(x) << 32 | (uint32_t)~i);
  });
  best = warp_max(best);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = best;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (int i = 1; i < kThreads / 32; i++) best = max(best, shared[i]);
  task.partial[blockIdx.x] = best;
}

// That of the row, which is the token when nothing is drawn; begins a search for top_k tokens.
__global__ void __launch_bounds__(32) begin_kernel(Task task, int32_t *token, int top_k) {
  const uint64_t *partial = task.partials(1);
  uint64_t best = 0;
  for (int i = threadIdx.x; i < task.chunks; i += 32) best = max(best, partial[i]);
  best = warp_max(best);
  if (threadIdx.x > 0) return;
  token[blockIdx.x] = (int32_t)~(uint32_t)best;
  Row row;
  row.largest = logit_of((uint32_t)(best >> 32));
  row.search.wanted = (uint64_t)top_k;
  task.rows[blockIdx.x] = row;
}

// One step of a search: sums of a chunk by the digit at `shift`.
template <bool by_weight>
__global__ void __launch_bounds__(kThreads) digits_kernel(Task task, int shift) {
  const Row row = task.row_of_chunk();
  const TokenWeight weight = task.weight(row);
  const uint32_t known = known_digits(row.search.key, shift, kBits);
  uint64_t sums[kDigits] = {};
  task.for_chunk([&](int, float x) {
    const uint32_t key = order_key(x), digit = key >> shift & (kDigits - 1);
    if (known_digits(key, shift, kBits) != known) return;
    const uint64_t add = by_weight ? weight.of_key(key) : 1;
#pragma unroll
    for (uint32_t d = 0; d < kDigits; d++) sums[d] += digit == d ? add : 0;
  });
  leave(task, sums);
}

template <bool by_weight>
__global__ void __launch_bounds__(kThreads) descend_kernel(Task task, int shift) {
  uint64_t sums[kDigits];
  collect(task, sums);
  if (threadIdx.x > 0) return;
  Row &row = task.rows[blockIdx.x];
  TokenSearch search = row.search;
  search.descend(sums, shift);
  row.search = search;
  if (shift == 0) row.kept = search.kept(by_weight ? task.weight(row).of_key(search.key) : 1);
}

// Of the kept tokens of a chunk: weights of those above the key, number of those that have it.
__global__ void __launch_bounds__(kThreads) kept_kernel(Task task) {
  const Row row = task.row_of_chunk();
  const TokenWeight weight = task.weight(row);
  uint64_t sums[2] = {};
  task.for_chunk([&](int, float x) {
    const uint32_t key = order_key(x);
    if (key > row.kept.key) sums[0] += weight.of_key(key);
    if (key == row.kept.key) sums[1]++;
  });
  leave(task, sums);
}

// Begins a search for the tokens that have the share top_p of the weights of those kept.
__global__ void __launch_bounds__(kThreads) top_p_kernel(Task task, float top_p) {
  uint64_t sums[2];
  collect(task, sums);
  if (threadIdx.x > 0) return;
  Row &row = task.rows[blockIdx.x];
  const uint64_t total = row.kept.sum(sums[0], sums[1], task.weight(row).of_key(row.kept.key));
  row.search = TokenSearch();
  row.search.wanted = wanted_weight(top_p, total);
}

// Walks over the chunks, over the runs of the threads in one, and over the tokens of one run.
__global__ void __launch_bounds__(kThreads)
    pick_kernel(Task task, const double *u, int32_t *token) {
  GPU_SMEM(uint64_t, runs, [kMostChunks][2]);
  GPU_SMEM(int, found, [1]);
  const float *x = task.x + (size_t)blockIdx.x * task.V;
  const Row row = task.rows[blockIdx.x];
  const KeptTokens kept = row.kept;
  const TokenWeight weight = task.weight(row);
  uint64_t sums[2];
  collect(task, sums);
  const uint64_t *partial = task.partials(2);
  for (int i = threadIdx.x; i < 2 * task.chunks; i += kThreads) runs[i / 2][i % 2] = partial[i];
  __syncthreads();
  const uint64_t tie_weight = weight.of_key(kept.key);
  TokenWalk walk(u[blockIdx.x], kept.sum(sums[0], sums[1], tie_weight), kept, tie_weight);
  const auto find_run = [&](int count) {
    int i = 0;
    while (i < count - 1 && !walk.ends_in(runs[i][0], runs[i][1])) i++;
    return i;
  };
  if (threadIdx.x == 0) found[0] = find_run(task.chunks);
  __syncthreads();
  const auto above = [&](uint32_t key) { return key > kept.key ? weight.of_key(key) : 0; };
  const int first = found[0] * kChunk, begin = first + (int)threadIdx.x * kPerThread;
  uint64_t own[2] = {};
  for (int i = begin; i < min(task.V, begin + kPerThread); i++) {
    const uint32_t key = order_key(x[i]);
    own[0] += above(key);
    own[1] += key == kept.key;
  }
  runs[threadIdx.x][0] = own[0];
  runs[threadIdx.x][1] = own[1];
  __syncthreads();
  if (threadIdx.x > 0) return;
  const int last = min(task.V, first + kChunk) - 1;
  int i = min(last, first + find_run(kThreads) * kPerThread);
  for (; i < last; i++) {
    const uint32_t key = order_key(x[i]);
    if (walk.ends_in(above(key), key == kept.key)) break;
  }
  token[blockIdx.x] = i;
}

template <bool by_weight> void search(lp_ctx *ctx, const Task &task, int N) {
  for (int shift = 32 - kBits; shift >= 0; shift -= kBits) {
    launch(ctx, "sample", digits_kernel<by_weight>, (unsigned)N * task.chunks, kThreads, 0, task,
           shift);
    launch(ctx, "sample", descend_kernel<by_weight>, (unsigned)N, kThreads, 0, task, shift);
  }
}

void sample(lp_ctx *ctx, const Task &task, const double *u, int32_t *token, int N, int top_k,
            float top_p) {
  const unsigned chunks = (unsigned)N * task.chunks;
  launch(ctx, "sample", largest_kernel, chunks, kThreads, 0, task);
  launch(ctx, "sample", begin_kernel, (unsigned)N, 32, 0, task, token, top_k);
  if (task.temperature == 0) return;
  if (top_k > 0 && top_k < task.V) search<false>(ctx, task, N);
  if (top_p < 1) {
    launch(ctx, "sample", kept_kernel, chunks, kThreads, 0, task);
    launch(ctx, "sample", top_p_kernel, (unsigned)N, kThreads, 0, task, top_p);
    search<true>(ctx, task, N);
  }
  launch(ctx, "sample", kept_kernel, chunks, kThreads, 0, task);
  launch(ctx, "sample", pick_kernel, (unsigned)N, kThreads, 0, task, u, token);
}
} // namespace

} // namespace lp

using namespace lp;

lp_status lp_sample(lp_ctx *ctx, const float *x, const double *u, int32_t *token, int32_t N,
                    int32_t V, float temperature, int32_t top_k, float top_p) {
  return guard_measured(ctx, "sample", [&] {
    check_sample(N, V, temperature, top_k, top_p);
    if (N == 0 || V == 0) return;
    LP_CHECK_POINTERS(x, token);
    if (temperature > 0) LP_CHECK_POINTERS(u);
    const int chunks = (V + kChunk - 1) / kChunk;
    const size_t row_words = (sizeof(Row) * (size_t)N + 7) / 8;
    uint64_t *memory = ctx->workspace<uint64_t>(row_words + (size_t)N * chunks * kDigits);
    const Task task{x, reinterpret_cast<Row *>(memory), memory + row_words, V, chunks, temperature};
    sample(ctx, task, u, token, N, top_k, top_p);
  });
}
