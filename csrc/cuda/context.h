// What every CUDA op stands on: the context, the guard of an op, launches, workspace, and what
// kernels report to the host.
//
//   lp_status lp_thing(lp_ctx *ctx, const void *x, size_t n, lp_dtype dtype) {
//     return lp::guard(ctx, "thing", [&] {
//       lp::with_type(dtype, [&](auto type) {
//         using T = decltype(type);
//         LP_CHECK_POINTERS(x);
//         lp::launch(ctx, "thing", thing<T>, blocks, threads, 0, static_cast<const T *>(x), n);
//       });
//     });
//   }
#ifndef LLMPIPE_CUDA_CONTEXT_H
#define LLMPIPE_CUDA_CONTEXT_H

#include <memory>
#include <unordered_map>
#include <vector>

#include "common/dtype.h"
#include "common/guard.h"
#include "common/held_memory.h"
#include "cuda/fault.h"
#include "cuda/gpu.h"

namespace lp {

// Device memory of one stream, in the order of that stream: grows and is kept.
class Workspace {
public:
  // At least `bytes` bytes, 256-byte aligned, contents undefined; the earlier pointer is void for
  // work that is enqueued from now on. Throws Measured where ctx only measures.
  void *get(lp_ctx *ctx, size_t bytes);
  void free(lp_ctx *ctx, cudaStream_t stream);

private:
  void *data_ = nullptr;
  size_t bytes_ = 0;
};

// Page-locked host memory through which uploads go, so that the caller's may change at once.
struct Staging {
  static constexpr int kParts = 2;
  static constexpr size_t kPartBytes = 1 << 20;
  char *data = nullptr;
  cudaEvent_t done[kParts] = {}; // the part was read
  int next = 0;
};

struct Gemm;        // cuda/gemm.cu: handles and algorithms by shape
void close(Gemm *); // frees it
struct CloseGemm {
  void operator()(Gemm *gemm) const { close(gemm); }
};

} // namespace lp

struct lp_ctx {
  explicit lp_ctx(bool only_measures) : held(only_measures) {}

  static constexpr int kStreams = 3; // compute, communication, copies
  lp::Held held;
  int device = 0;
  int sm = 0; // compute capability times 10
  // Whether kernels may use the tile instructions of cuda/gpu.h.
  bool has_tiles() const { return sm >= 80; }
  bool has_pools = false;
  cudaStream_t streams[kStreams] = {};
  int selected = 0; // of streams
  cudaStream_t stream() const { return streams[selected]; }

  // Workspace of the op itself, and that of a product that an op calls on the way.
  lp::Workspace op_workspaces[kStreams], gemm_workspaces[kStreams];
  template <class T> T *workspace(size_t count) {
    return static_cast<T *>(op_workspaces[selected].get(this, count * sizeof(T)));
  }

  lp::DeviceFault *fault = nullptr; // page-locked host memory that kernels write to
  lp::Staging staging;
  std::unique_ptr<lp::Gemm, lp::CloseGemm> gemm;

  std::unordered_map<void *, size_t> allocations; // address -> bytes
  cudaEvent_t order = nullptr;                    // between streams, for memory that changes hands
  std::vector<lp_comm *> comms; // those that a wait of the host watches

  lp::ErrorText error;
};

namespace lp {

// Throws what a call of the CUDA runtime gave, unless it is success.
void check(cudaError_t error, const char *call);

// LP_EUNSUPPORTED, naming device and type, where the device cannot compute in it.
void check_type(const lp_ctx *ctx, lp_dtype dtype);

// Device memory in the order of a stream; null for 0 bytes. LP_ENOMEM with bytes asked for and
// available.
void *allocate(lp_ctx *ctx, size_t bytes, cudaStream_t stream);
void release(lp_ctx *ctx, void *ptr, cudaStream_t stream);

// Returns when a stream of ctx is done. Throws LP_ELOST or LP_ETIMEOUT when a communicator that it may
// depend on has failed. cuda/comm.cu
void finish(lp_ctx *ctx, cudaStream_t stream);

// Runs an op of ctx that borrows workspace, or a call that every context answers, on its device:
// calls may come from any thread.
template <class Run> lp_status guard_measured(lp_ctx *ctx, const char *what, Run &&run) noexcept {
  return attempt(ctx != nullptr ? ctx->error : contextless_error, what, [&] {
    if (ctx == nullptr) fail(LP_EINVAL, "ctx must not be null");
    if (ctx->held.only_measures) return run_measured(run);
    check(cudaSetDevice(ctx->device), "cudaSetDevice");
    run();
  });
}

// Runs an op of ctx; where ctx only measures there is nothing to do.
template <class Run> lp_status guard(lp_ctx *ctx, const char *what, Run &&run) noexcept {
  return guard_measured(ctx, what, [&] {
    if (!ctx->held.only_measures) run();
  });
}

// Launches a kernel on the current stream; nothing for an empty grid.
template <class... P> void launch(lp_ctx *ctx, const char *name, void (*kernel)(P...), dim3 grid,
                                  dim3 block, size_t shared, typename Same<P>::type... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || ctx->held.only_measures) return;
  check(gpu_launch(name, kernel, grid, block, shared, ctx->stream(), arguments...), name);
}

// Calls run(T{}) with the storage type: float, bf16 or f16.
template <class Run> void with_type(lp_dtype dtype, Run &&run) {
  with_storage_type<bf16, f16>(dtype, run);
}

} // namespace lp
#endif
