// LP_HD marks what both backends compile: plain inline functions here, device functions under CUDA.
#ifndef LLMPIPE_COMMON_HOST_DEVICE_H
#define LLMPIPE_COMMON_HOST_DEVICE_H

#ifdef __CUDACC__
#define LP_HD __host__ __device__ __forceinline__
#else
#define LP_HD inline __attribute__((always_inline))
#endif

#endif
