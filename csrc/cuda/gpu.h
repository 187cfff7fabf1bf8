// The one portability header of the CUDA backend: under nvcc it wraps the CUDA headers, under a
// plain C++ compiler the same names come from emu/cuda_emu.h. Kernels are written once, and nothing
// outside this file asks which of the two compiles it.
//
//   GPU_SMEM(float, tile, [32][33]);        static shared memory
//   GPU_DYN_SMEM(bf16, stage);              dynamic shared memory
//   gpu_launch(name, kernel, grid, block, shared bytes, stream, arguments...)
//
// Special instructions are used through the wrappers below only; a new one gets its emulation in
// the same change. Memory is read and written in pieces of 8 and 16 bytes through gpu_copy alone.
#ifndef LLMPIPE_CUDA_GPU_H
#define LLMPIPE_CUDA_GPU_H

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <dlfcn.h>
#include <link.h>
#else
#include "emu/cuda_emu.h"
#include "emu/library.h"
#endif
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/host_device.h"

#define GPU_DEV __device__ __forceinline__

namespace lp {

using bf16 = __nv_bfloat16;
using bf162 = __nv_bfloat162;
using f16 = __half;
using f162 = __half2;

template <class T> struct Same { // keeps a parameter out of type deduction
  using type = T;
};

#ifdef __CUDACC__

#define GPU_SMEM(T, name, dims) __shared__ T name dims
#define GPU_DYN_SMEM(T, name)                                                                      \
  extern __shared__ __align__(128) unsigned char gpu_dynamic_shared[];                             \
  T *name = reinterpret_cast<T *>(gpu_dynamic_shared)

template <class... P> cudaError_t gpu_launch(const char *, void (*kernel)(P...), dim3 grid,
                                             dim3 block, size_t shared, cudaStream_t stream,
                                             typename Same<P>::type... arguments) {
  if (shared > 48 * 1024) {
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
    if (error != cudaSuccess) return error;
  }
  kernel<<<grid, block, shared, stream>>>(arguments...);
  return cudaGetLastError();
}

inline void *gpu_open_library(const char *name) { return dlopen(name, RTLD_NOW | RTLD_LOCAL); }
inline void *gpu_find_symbol(void *library, const char *name) { return dlsym(library, name); }
inline const char *gpu_library_error() { return dlerror(); }
inline const char *gpu_library_path(void *library) {
  link_map *map = nullptr;
  return dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 ? map->l_name : "the one that was found";
}

// 4, 8 or 16 bytes as one access; both addresses are multiples of that.
template <int bytes> GPU_DEV void gpu_copy(void *dst, const void *src) {
  static_assert(bytes == 2 || bytes == 4 || bytes == 8 || bytes == 16, "an access of the device");
  if (bytes == 16) *static_cast<uint4 *>(dst) = *static_cast<const uint4 *>(src);
  if (bytes == 8) *static_cast<uint2 *>(dst) = *static_cast<const uint2 *>(src);
  if (bytes == 4) *static_cast<unsigned *>(dst) = *static_cast<const unsigned *>(src);
  if (bytes == 2) *static_cast<unsigned short *>(dst) = *static_cast<const unsigned short *>(src);
}

GPU_DEV uint32_t gpu_shared_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }

// The tile instructions are of sm_80 and later. Kernels that use them are compiled for older devices
// too, but not run there: lp_ctx::has_tiles.
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define GPU_TILE_ASM(...) asm volatile(__VA_ARGS__)
#else
#define GPU_TILE_ASM(...) __trap()
#endif

// D [16, 8] f32 += A [16, 16] B [16, 8]; the fragments are those of the PTX ISA.
GPU_DEV void mma_16816(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], bf16) {
  GPU_TILE_ASM("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
               "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
GPU_DEV void mma_16816(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], f16) {
  GPU_TILE_ASM("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
               "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// Four matrices of 8 x 8 16-bit elements; lanes 8m .. 8m+7 give the rows of matrix m.
GPU_DEV void load_matrix_x4(uint32_t (&r)[4], const void *row) {
  GPU_TILE_ASM("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(gpu_shared_address(row))
               : "memory");
}
GPU_DEV void load_matrix_x4_transposed(uint32_t (&r)[4], const void *row) {
  GPU_TILE_ASM("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(gpu_shared_address(row))
               : "memory");
}
// 16 bytes from global to shared memory, zeros when not valid (src must be legal all the same).
GPU_DEV void async_copy16(void *dst, const void *src, bool valid) {
  GPU_TILE_ASM("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(gpu_shared_address(dst)),
               "l"(src), "r"(valid ? 16 : 0)
               : "memory");
}
GPU_DEV void async_commit() { GPU_TILE_ASM("cp.async.commit_group;" ::: "memory"); }
template <int pending> GPU_DEV void async_wait() {
  GPU_TILE_ASM("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}
// 2^x, relative error below 2^-22; denormal results are 0.
GPU_DEV float fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

#else

#define GPU_SMEM(T, name, dims)                                                                    \
  using name##_type = T dims;                                                                      \
  static const int name##_id = ::emu::register_shared(sizeof(name##_type), 16);                    \
  name##_type &name = *static_cast<name##_type *>(::emu::static_shared(name##_id))
#define GPU_DYN_SMEM(T, name) T *name = static_cast<T *>(::emu::dynamic_shared())

template <class... P> cudaError_t gpu_launch(const char *name, void (*kernel)(P...), dim3 grid,
                                             dim3 block, size_t shared, cudaStream_t stream,
                                             typename Same<P>::type... arguments) {
  if (shared > 48 * 1024) {
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
    if (error != cudaSuccess) return error;
  }
  return emu::launch(name, kernel, grid, block, shared, stream, arguments...);
}

inline void *gpu_open_library(const char *name) { return emu::open_library(name); }
inline void *gpu_find_symbol(void *library, const char *name) {
  return emu::find_symbol(library, name);
}
inline const char *gpu_library_error() { return emu::library_error(); }
inline const char *gpu_library_path(void *library) { return emu::library_path(library); }

template <int bytes> GPU_DEV void gpu_copy(void *dst, const void *src) {
  typedef char Vector __attribute__((vector_size(bytes), may_alias));
  *static_cast<Vector *>(dst) = *static_cast<const Vector *>(src);
}

#define EMU_LINE int line = __builtin_LINE()
GPU_DEV void mma_16816(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], bf16,
                       EMU_LINE) {
  emu::mma_16816(d, a, b, emu::TileType::bf16, line);
}
GPU_DEV void mma_16816(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], f16,
                       EMU_LINE) {
  emu::mma_16816(d, a, b, emu::TileType::f16, line);
}
GPU_DEV void load_matrix_x4(uint32_t (&r)[4], const void *row, EMU_LINE) {
  emu::load_matrices(r, row, 4, false, line);
}
GPU_DEV void load_matrix_x4_transposed(uint32_t (&r)[4], const void *row, EMU_LINE) {
  emu::load_matrices(r, row, 4, true, line);
}
#undef EMU_LINE
GPU_DEV void async_copy16(void *dst, const void *src, bool valid) {
  emu::async_copy(dst, src, 16, valid ? 16 : 0);
}
GPU_DEV void async_commit() { emu::async_commit(); }
template <int pending> GPU_DEV void async_wait() { emu::async_wait(pending); }
GPU_DEV float fast_exp2(float x) { return std::exp2(x); }

#endif

GPU_DEV float to_float(float x) { return x; }
GPU_DEV float to_float(bf16 x) { return __bfloat162float(x); }
GPU_DEV float to_float(f16 x) { return __half2float(x); }
GPU_DEV float to_float(int8_t x) { return (float)x; }
// Rounds to nearest even.
template <class T> GPU_DEV T from_float(float x);
template <> GPU_DEV float from_float<float>(float x) { return x; }
template <> GPU_DEV bf16 from_float<bf16>(float x) { return __float2bfloat16_rn(x); }
template <> GPU_DEV f16 from_float<f16>(float x) { return __float2half_rn(x); }
template <> GPU_DEV int8_t from_float<int8_t>(float x) { return (int8_t)x; } // a whole number

} // namespace lp
#endif
