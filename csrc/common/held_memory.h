// The memory of a context, in numbers; and what a context does that has numbers alone (LP_MEASURE).
#ifndef LLMPIPE_COMMON_HELD_MEMORY_H
#define LLMPIPE_COMMON_HELD_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include <algorithm>

#include "common/guard.h"

namespace lp {

// Bytes that a context holds.
struct Held {
  explicit Held(bool only_measures) : only_measures(only_measures) {}
  const bool only_measures; // nothing is behind the numbers
  uint64_t now_bytes = 0, peak_bytes = 0;

  void add(size_t bytes) { peak_bytes = std::max(peak_bytes, now_bytes += bytes); }
  void remove(size_t bytes) { now_bytes -= bytes; }
  // An address of its own for a block that is only measured, beyond what a process has.
  void *next_address(size_t bytes) {
    constexpr uint64_t kAlignment = 256;
    const uint64_t address = unused_;
    unused_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return reinterpret_cast<void *>(address);
  }
  // Refuses a context that only measures, which has no `what`.
  void require_device(const char *what) const {
    if (only_measures) fail(LP_EUNSUPPORTED, "a context that measures has no %s", what);
  }

private:
  uint64_t unused_ = uint64_t{1} << 62;
};

// Thrown by an op of a context that only measures, once it has asked for its workspace.
struct Measured {};

// Runs an op that borrows workspace, or a call that every context answers: where the context only
// measures, run() must touch no device memory before it has its workspace, and ends there.
template <class Run> void run_measured(Run &&run) {
  try {
    run();
  } catch (const Measured &) {
  }
}

} // namespace lp
#endif
