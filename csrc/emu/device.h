// What device code calls: the running thread, barriers, warp intrinsics, atomics, tile operations.
//
// Every CUDA thread of a block is a cooperative fiber. It runs until it reaches a rendezvous (a
// barrier, a *_sync intrinsic, a tile operation) whose other members have not arrived; the last one
// to arrive performs the operation for all.
#ifndef LLMPIPE_EMU_DEVICE_H
#define LLMPIPE_EMU_DEVICE_H

#include <cmath>
#include <stddef.h>
#include <type_traits>

#include "emu/types.h"

namespace emu {

struct Block;
struct Thread {
  uint3 tid, bid;
  dim3 block_dim, grid_dim;
  unsigned linear, lane, warp;
  Block *block;
};
// The running CUDA thread; null in host code.
extern thread_local Thread *self __attribute__((tls_model("initial-exec")));

// The kernel broke a rule of CUDA: ends the launch, after which the device is lost, as on hardware.
[[noreturn]] void fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

// A rendezvous of the lanes in `mask` of the caller's warp. Each waits with its `io`; the last one to
// arrive calls `op` once on those of all, of which those outside of the mask mean nothing. The lanes
// must agree in `kind` and `line`.
using WarpOp = void (*)(void *const *io, unsigned mask, const void *parameter);
void warp_rendezvous(unsigned mask, const char *kind, int line, void *io, WarpOp op,
                     const void *parameter);
void block_barrier(int line, int predicate, int *count, int *all, int *any);
void warp_sync(unsigned mask, int line);
unsigned ballot(unsigned mask, int predicate, int line);

void *dynamic_shared();
int register_shared(size_t bytes, size_t align); // one call per declaration
void *static_shared(int id);
bool is_shared(const void *p, size_t bytes);

float atomic_add(float *p, float v);
double atomic_add(double *p, double v);
unsigned atomic_add(unsigned *p, unsigned v);
unsigned long long atomic_add(unsigned long long *p, unsigned long long v);
int atomic_max(int *p, int v);
int atomic_min(int *p, int v);
int atomic_or(int *p, int v);
unsigned atomic_cas(unsigned *p, unsigned compare, unsigned v);

// Copies `used` bytes and fills up to `bytes` with zeros, some time before the wait.
void async_copy(void *dst, const void *src, int bytes, int used);
void async_commit();
void async_wait(int pending_groups);
enum class TileType { bf16, f16, tf32 };
void mma_16816(float *d, const uint32_t *a, const uint32_t *b, TileType type, int line);
void mma_1688(float *d, const uint32_t *a, const uint32_t *b, TileType type, int line);
// count matrices (1, 2 or 4) of 8 x 8 16-bit elements
void load_matrices(uint32_t *r, const void *row, int count, bool transposed, int line);

enum class Shuffle { index, up, down, exclusive_or };
uint64_t shuffle_bits(unsigned mask, uint64_t value, int operand, Shuffle mode, int width,
                      int line);
template <class T>
inline T shuffle(unsigned mask, T value, int operand, Shuffle mode, int width, int line) {
  static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof(T));
  bits = shuffle_bits(mask, bits, operand, mode, width, line);
  memcpy(&value, &bits, sizeof(T));
  return value;
}

} // namespace emu

#define threadIdx (::emu::self->tid)
#define blockIdx (::emu::self->bid)
#define blockDim (::emu::self->block_dim)
#define gridDim (::emu::self->grid_dim)
#define warpSize 32

#define EMU_LINE int line = __builtin_LINE()
inline void __syncthreads(EMU_LINE) { emu::block_barrier(line, 0, nullptr, nullptr, nullptr); }
inline int __syncthreads_count(int p, EMU_LINE) {
  int count;
  emu::block_barrier(line, p, &count, nullptr, nullptr);
  return count;
}
inline int __syncthreads_and(int p, EMU_LINE) {
  int all;
  emu::block_barrier(line, p, nullptr, &all, nullptr);
  return all;
}
inline int __syncthreads_or(int p, EMU_LINE) {
  int any;
  emu::block_barrier(line, p, nullptr, nullptr, &any);
  return any;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, EMU_LINE) { emu::warp_sync(mask, line); }
template <class T> inline T __shfl_sync(unsigned mask, T v, int from, int width = 32, EMU_LINE) {
  return emu::shuffle(mask, v, from, emu::Shuffle::index, width, line);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T v, unsigned d, int width = 32, EMU_LINE) {
  return emu::shuffle(mask, v, (int)d, emu::Shuffle::up, width, line);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T v, unsigned d, int width = 32, EMU_LINE) {
  return emu::shuffle(mask, v, (int)d, emu::Shuffle::down, width, line);
}
template <class T> inline T __shfl_xor_sync(unsigned mask, T v, int x, int width = 32, EMU_LINE) {
  return emu::shuffle(mask, v, x, emu::Shuffle::exclusive_or, width, line);
}
inline unsigned __ballot_sync(unsigned mask, int p, EMU_LINE) { return emu::ballot(mask, p, line); }
inline int __any_sync(unsigned mask, int p, EMU_LINE) { return emu::ballot(mask, p, line) != 0; }
inline int __all_sync(unsigned mask, int p, EMU_LINE) { return emu::ballot(mask, p, line) == mask; }
#undef EMU_LINE
inline void __threadfence() {}
inline void __threadfence_block() {}
template <class T> inline T __ldg(const T *p) { return *p; }

inline float atomicAdd(float *p, float v) { return emu::atomic_add(p, v); }
inline double atomicAdd(double *p, double v) { return emu::atomic_add(p, v); }
inline unsigned atomicAdd(unsigned *p, unsigned v) { return emu::atomic_add(p, v); }
inline int atomicAdd(int *p, int v) {
  return (int)emu::atomic_add(reinterpret_cast<unsigned *>(p), (unsigned)v);
}
inline unsigned long long atomicAdd(unsigned long long *p, unsigned long long v) {
  return emu::atomic_add(p, v);
}
inline int atomicMax(int *p, int v) { return emu::atomic_max(p, v); }
inline int atomicMin(int *p, int v) { return emu::atomic_min(p, v); }
inline int atomicOr(int *p, int v) { return emu::atomic_or(p, v); }
inline unsigned atomicCAS(unsigned *p, unsigned compare, unsigned v) {
  return emu::atomic_cas(p, compare, v);
}
inline int atomicCAS(int *p, int compare, int v) {
  return (int)emu::atomic_cas(reinterpret_cast<unsigned *>(p), (unsigned)compare, (unsigned)v);
}

inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __int_as_float(int i) { return emu::from_bits((uint32_t)i); }
inline int __float_as_int(float f) { return (int)emu::bits_of(f); }
inline unsigned __float_as_uint(float f) { return emu::bits_of(f); }
inline float __uint_as_float(unsigned u) { return emu::from_bits(u); }
inline int __popc(unsigned u) { return __builtin_popcount(u); }
inline int __clz(int v) { return v == 0 ? 32 : __builtin_clz((unsigned)v); }
inline int __ffs(int v) { return __builtin_ffs(v); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
template <class T> inline T min(T a, T b) { return b < a ? b : a; }
template <class T> inline T max(T a, T b) { return a < b ? b : a; }

#endif
