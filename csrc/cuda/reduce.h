// Sums over the threads of a block, in an order that depends on the number of threads alone.
#ifndef LLMPIPE_CUDA_REDUCE_H
#define LLMPIPE_CUDA_REDUCE_H

#include "cuda/gpu.h"

namespace lp {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kMostWarps = 32; // of a block

// Each lane gets the sum over its warp: as a + b = b + a, all get the same bits.
template <class T> GPU_DEV T warp_sum(T v) {
#pragma unroll
  for (int offset = 16; offset > 0; offset >>= 1) v += __shfl_xor_sync(kAllLanes, v, offset);
  return v;
}

template <class T> GPU_DEV T warp_max(T v) { // integers
#pragma unroll
  for (int offset = 16; offset > 0; offset >>= 1)
    v = max(v, __shfl_xor_sync(kAllLanes, v, offset));
  return v;
}

GPU_DEV float warp_max(float v) {
#pragma unroll
  for (int offset = 16; offset > 0; offset >>= 1)
    v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, offset));
  return v;
}

// The sum of v over this lane and those before it.
GPU_DEV int warp_sum_upto(int v) {
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const int other = __shfl_up_sync(kAllLanes, v, distance);
    if ((int)threadIdx.x % 32 >= distance) v += other;
  }
  return v;
}

// x[k] = its sum over a block of whole warps, for every thread of it, after one barrier. `shared`
// must not be in use by threads that are late: a loop alternates between two, as the barrier of
// each sum then lies between the reads of the last but one and its writes.
template <int K, class T> GPU_DEV void block_sum(T (&x)[K], T (&shared)[K][kMostWarps]) {
#pragma unroll
  for (int k = 0; k < K; k++) x[k] = warp_sum(x[k]);
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
  if (warps == 1) return;
  if (threadIdx.x % 32 == 0) {
#pragma unroll
    for (int k = 0; k < K; k++) shared[k][warp] = x[k];
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < K; k++) {
    x[k] = shared[k][0];
    for (int i = 1; i < warps; i++) x[k] += shared[k][i];
  }
}

// Threads for a row of `packs` packs: whole warps, at most 256.
inline int threads_for(int packs) {
  return packs >= 256 ? 256 : packs <= 32 ? 32 : (packs + 31) / 32 * 32;
}

} // namespace lp
#endif
