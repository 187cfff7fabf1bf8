// What every CPU op stands on: the context, the guard at the ABI, checks and workspace.
//
//   lp_status lp_thing(lp_ctx *ctx, const float *x, int32_t D) {
//     return lp::guard(ctx, "thing", [&] {
//       LP_CHECK(D >= 0, "D must be >= 0, found %d", D);   // -> LP_EINVAL, "thing: D must be ..."
//       if (D == 0) return;
//       LP_CHECK_POINTERS(x);
//       ...
//     });
//   }
#ifndef LLMPIPE_CPU_CONTEXT_H
#define LLMPIPE_CPU_CONTEXT_H

#include <omp.h>
#include <stddef.h>
#include <stdint.h>

#include <exception>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <unordered_map>

#include "llmpipe.h"

namespace lp {

// Thrown inside ops, never across the ABI.
struct Failure : std::exception {
  lp_status status;
  std::string text;
  Failure(lp_status status, std::string text) : status(status), text(std::move(text)) {}
  const char *what() const noexcept override { return text.c_str(); }
};

// Throws a Failure with a text formatted as by printf.
[[noreturn]] void fail(lp_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Memory that an op borrows while it runs. Grows and is kept: ops are called again and again.
class Workspace {
public:
  // At least `bytes` bytes, 64-byte aligned, contents undefined; the earlier pointer is void.
  void *get(size_t bytes);
  size_t bytes() const { return bytes_; }
  Workspace() = default;
  Workspace(const Workspace &) = delete;
  Workspace &operator=(const Workspace &) = delete;
  ~Workspace();

private:
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
  int threads = 1;

  // Workspace of the op itself, and those of a product that an op calls on the way.
  lp::Workspace op_workspace;
  lp::Workspace gemm_workspace;
  lp::Workspace scratchpad; // what oneDNN asks for
  template <class T> T *workspace(size_t count) {
    return static_cast<T *>(op_workspace.get(count * sizeof(T)));
  }

  std::unique_ptr<lp::Gemm, lp::CloseGemm> gemm;

  std::unordered_map<void *, size_t> allocations; // address -> bytes
  uint64_t now_bytes = 0;
  uint64_t peak_bytes = 0;

  std::mutex error_mutex; // the text is read on another thread than it was written on
  std::string error;
};

namespace lp {

// Stores the text that lp_last_error(ctx) gives; ctx null: of the calls that have none.
void set_error(lp_ctx *ctx, const char *what, const char *text) noexcept;

// Runs a call and makes whatever it throws a status and a text. `what` is the ABI name without lp_;
// ctx may be null, for the calls that have none.
template <class Run> lp_status attempt(lp_ctx *ctx, const char *what, Run &&run) noexcept {
  try {
    run();
    return LP_OK;
  } catch (const Failure &failure) {
    set_error(ctx, what, failure.what());
    return failure.status;
  } catch (const std::bad_alloc &) {
    set_error(ctx, what, "memory could not be had");
    return LP_ENOMEM;
  } catch (const std::exception &error) {
    set_error(ctx, what, error.what());
    return LP_EDEVICE;
  } catch (...) {
    set_error(ctx, what, "unknown failure");
    return LP_EDEVICE;
  }
}

// Runs an op of ctx.
template <class Run> lp_status guard(lp_ctx *ctx, const char *what, Run &&run) noexcept {
  return attempt(ctx, what, [&] {
    if (ctx == nullptr) fail(LP_EINVAL, "ctx must not be null");
    omp_set_num_threads(ctx->threads); // per calling thread, so for each call
    run();
  });
}

#define LP_CHECK(condition, ...)                                                                   \
  do {                                                                                             \
    if (!(condition)) ::lp::fail(LP_EINVAL, __VA_ARGS__);                                          \
  } while (0)

// LP_EINVAL, naming the list, when one of the pointers is null.
#define LP_CHECK_POINTERS(...)                                                                     \
  do {                                                                                             \
    for (const void *pointer : std::initializer_list<const void *>{__VA_ARGS__})                   \
      if (pointer == nullptr)                                                                      \
        ::lp::fail(LP_EINVAL, "a pointer is null; required are " #__VA_ARGS__);                    \
  } while (0)

// How sums over rows are cut: into blocks that depend on the number of rows alone, so that the
// result does not depend on the number of threads.
struct RowBlocks {
  int rows, count;
  explicit RowBlocks(int N, int smallest = 16, int most = 64) {
    rows = (N + most - 1) / most;
    if (rows < smallest) rows = smallest;
    count = (N + rows - 1) / rows;
  }
};

// Elements below which a second thread costs more than it brings.
constexpr size_t kSerial = 8192;

} // namespace lp
#endif
