// Device memory out of the stream-ordered pool, workspace, and copies.
#include <string.h>

#include <algorithm>

#include "cuda/context.h"

namespace lp {

namespace {
// Makes `later` wait for all that `earlier` holds now.
void order(lp_ctx *ctx, cudaStream_t earlier, cudaStream_t later) {
  check(cudaEventRecord(ctx->order, earlier), "cudaEventRecord");
  check(cudaStreamWaitEvent(later, ctx->order, 0), "cudaStreamWaitEvent");
}

// The part of page-locked memory that is free next.
char *next_part(lp_ctx *ctx, int *part) {
  Staging &staging = ctx->staging;
  if (staging.data == nullptr) {
    for (cudaEvent_t &event : staging.done)
      check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    void *data = nullptr;
    check(cudaHostAlloc(&data, Staging::kParts * Staging::kPartBytes, cudaHostAllocDefault),
          "cudaHostAlloc");
    staging.data = static_cast<char *>(data);
  }
  *part = staging.next;
  staging.next = (staging.next + 1) % Staging::kParts;
  check(cudaEventSynchronize(staging.done[*part]), "cudaEventSynchronize");
  return staging.data + (size_t)*part * Staging::kPartBytes;
}
} // namespace

void *allocate(lp_ctx *ctx, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return nullptr;
  void *ptr = nullptr;
  const cudaError_t error =
      ctx->has_pools ? cudaMallocAsync(&ptr, bytes, stream) : cudaMalloc(&ptr, bytes);
  if (error != cudaErrorMemoryAllocation) {
    check(error, "cudaMallocAsync");
    return ptr;
  }
  cudaGetLastError(); // running out of memory is no lasting error
  size_t available = 0, total = 0;
  cudaMemGetInfo(&available, &total);
  fail(LP_ENOMEM, "%zu bytes of device memory could not be had: %zu of %zu are available", bytes,
       available, total);
}

void release(lp_ctx *ctx, void *ptr, cudaStream_t stream) {
  if (ptr == nullptr) return;
  check(ctx->has_pools ? cudaFreeAsync(ptr, stream) : cudaFree(ptr), "cudaFreeAsync");
}

void *Workspace::get(lp_ctx *ctx, size_t bytes) {
  const bool only_measures = ctx->held.only_measures;
  if (bytes > bytes_) {
    free(ctx, ctx->stream());
    if (!only_measures) data_ = allocate(ctx, bytes, ctx->stream());
    ctx->held.add(bytes_ = bytes);
  }
  if (only_measures) throw Measured();
  return data_;
}

void Workspace::free(lp_ctx *ctx, cudaStream_t stream) {
  release(ctx, data_, stream);
  ctx->held.remove(bytes_);
  data_ = nullptr;
  bytes_ = 0;
}

} // namespace lp

using namespace lp;

lp_status lp_alloc(lp_ctx *ctx, size_t bytes, void **out) {
  return guard_measured(ctx, "alloc", [&] {
    LP_CHECK_POINTERS(out);
    const size_t used = std::max<size_t>(bytes, 1); // every block has an address of its own
    void *ptr = nullptr;
    if (ctx->held.only_measures) {
      ptr = ctx->held.next_address(used);
    } else {
      ptr = allocate(ctx, used, ctx->streams[0]);
      // Every stream may use it from now on
      for (int i = 1; i < lp_ctx::kStreams; i++) order(ctx, ctx->streams[0], ctx->streams[i]);
    }
    ctx->allocations.emplace(ptr, used);
    ctx->held.add(used);
    *out = ptr;
  });
}

lp_status lp_free(lp_ctx *ctx, void *ptr) {
  return guard_measured(ctx, "free", [&] {
    if (ptr == nullptr) return;
    const auto found = ctx->allocations.find(ptr);
    LP_CHECK(found != ctx->allocations.end(), "ptr must come from lp_alloc of this context");
    if (!ctx->held.only_measures) {
      for (int i = 1; i < lp_ctx::kStreams; i++) order(ctx, ctx->streams[i], ctx->streams[0]);
      release(ctx, ptr, ctx->streams[0]);
    }
    ctx->held.remove(found->second);
    ctx->allocations.erase(found);
  });
}

lp_status lp_memory(lp_ctx *ctx, uint64_t *now_bytes, uint64_t *peak_bytes) {
  return guard_measured(ctx, "memory", [&] {
    LP_CHECK_POINTERS(now_bytes, peak_bytes);
    *now_bytes = ctx->held.now_bytes;
    *peak_bytes = ctx->held.peak_bytes;
  });
}

lp_status lp_upload(lp_ctx *ctx, void *dst, const void *host_src, size_t bytes) {
  return guard(ctx, "upload", [&] {
    if (bytes == 0) return;
    LP_CHECK_POINTERS(dst, host_src);
    for (size_t i = 0; i < bytes; i += Staging::kPartBytes) {
      const size_t count = std::min(Staging::kPartBytes, bytes - i);
      int part;
      char *staged = next_part(ctx, &part);
      memcpy(staged, static_cast<const char *>(host_src) + i, count);
      check(cudaMemcpyAsync(static_cast<char *>(dst) + i, staged, count, cudaMemcpyHostToDevice,
                            ctx->stream()),
            "cudaMemcpyAsync");
      check(cudaEventRecord(ctx->staging.done[part], ctx->stream()), "cudaEventRecord");
    }
  });
}

lp_status lp_download(lp_ctx *ctx, void *host_dst, const void *src, size_t bytes) {
  return guard(ctx, "download", [&] {
    if (bytes == 0) return;
    LP_CHECK_POINTERS(host_dst, src);
    check(cudaMemcpyAsync(host_dst, src, bytes, cudaMemcpyDeviceToHost, ctx->stream()),
          "cudaMemcpyAsync");
  });
}

lp_status lp_copy(lp_ctx *ctx, void *dst, const void *src, size_t bytes) {
  return guard(ctx, "copy", [&] {
    if (bytes == 0) return;
    LP_CHECK_POINTERS(dst, src);
    check(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, ctx->stream()),
          "cudaMemcpyAsync");
  });
}

lp_status lp_zero(lp_ctx *ctx, void *x, size_t bytes) {
  return guard(ctx, "zero", [&] {
    if (bytes == 0) return;
    LP_CHECK_POINTERS(x);
    check(cudaMemsetAsync(x, 0, bytes, ctx->stream()), "cudaMemsetAsync");
  });
}
