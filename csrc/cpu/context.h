// What every CPU op stands on: the context, the guard of an op, and workspace.
#ifndef LLMPIPE_CPU_CONTEXT_H
#define LLMPIPE_CPU_CONTEXT_H

#include <omp.h>
#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <unordered_map>

#include "common/guard.h"
#include "common/held_memory.h"
#include "common/row_blocks.h"

namespace lp {

// Memory that an op borrows while it runs. Grows and is kept: ops are called again and again.
class Workspace {
public:
  explicit Workspace(Held &held) : held_(held) {}
  // At least `bytes` bytes, 64-byte aligned, contents undefined; the earlier pointer is void.
  // Throws Measured where the context only measures.
  void *get(size_t bytes);
  // Counts as if get() were called.
  void measure(size_t bytes);
  Workspace(const Workspace &) = delete;
  Workspace &operator=(const Workspace &) = delete;
  ~Workspace();

private:
  Held &held_;
  void *data_ = nullptr;
  size_t bytes_ = 0;
};

struct Gemm;         // cpu/gemm.cpp: primitives by shape
void close(Gemm *);  // frees it
struct CloseGemm {
  void operator()(Gemm *gemm) const { close(gemm); }
};

// Zeroed memory, 64-byte aligned, on huge pages where they pay. cpu/memory.cpp
void *allocate(size_t bytes, int threads);
void release(void *ptr, size_t bytes);

} // namespace lp

struct lp_ctx {
  explicit lp_ctx(bool only_measures) : held(only_measures) {}

  int threads = 1;
  lp::Held held;

  // Workspace of the op itself, and those of a product that an op calls on the way.
  lp::Workspace op_workspace{held};
  lp::Workspace gemm_workspace{held};
  lp::Workspace scratchpad{held}; // what oneDNN asks for
  template <class T> T *workspace(size_t count) {
    return static_cast<T *>(op_workspace.get(count * sizeof(T)));
  }

  std::unique_ptr<lp::Gemm, lp::CloseGemm> gemm;

  std::unordered_map<void *, size_t> allocations; // address -> bytes

  lp::ErrorText error;
};

namespace lp {

// Runs an op of ctx that borrows workspace, or a call that every context answers.
template <class Run> lp_status guard_measured(lp_ctx *ctx, const char *what, Run &&run) noexcept {
  return attempt(ctx != nullptr ? ctx->error : contextless_error, what, [&] {
    if (ctx == nullptr) fail(LP_EINVAL, "ctx must not be null");
    omp_set_num_threads(ctx->threads); // per calling thread, so for each call
    run_measured(run);
  });
}

// Runs an op of ctx; where ctx only measures there is nothing to do.
template <class Run> lp_status guard(lp_ctx *ctx, const char *what, Run &&run) noexcept {
  return guard_measured(ctx, what, [&] {
    if (!ctx->held.only_measures) run();
  });
}

// Elements below which a second thread costs more than it brings.
constexpr size_t kSerial = 8192;

} // namespace lp
#endif
