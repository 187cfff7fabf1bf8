// How the emulation runs, and what it counted. Tests set it through the exported functions of
// control.cpp; the environment gives the values at the start:
//   LLMPIPE_EMU_ORDER     order of threads and blocks: 0 as numbered, -1 reversed, above 0 random
//   LLMPIPE_EMU_STREAMS   "deferred": work runs only when something waits for it, interleaved
//   LLMPIPE_EMU_SM        compute capability times 10, 80 when not given
//   LLMPIPE_EMU_DEVICES   number of devices, 8 when not given
//   LLMPIPE_EMU_DRIVER    version of the driver as cudaDriverGetVersion gives it; 0: none
//   LLMPIPE_EMU_NCCL      version of NCCL as ncclGetVersion gives it
//   LLMPIPE_EMU_MISSING   what is not there, with commas: libraries ("cublasLt", "nccl"), functions
//   LLMPIPE_EMU_SKIP      name of a kernel whose launches do nothing
//   LLMPIPE_EMU_FAIL      [async ]NAME:COUNT[@DEVICE]: the COUNTth call or launch of that name fails.
//                         NAME is that of a kernel, cudaMalloc, cudaMemcpyAsync, cublasLtMatmul or a
//                         collective or transfer of NCCL. With "async", what a kernel or a call of
//                         NCCL does later fails: the device is lost, or the communicator is
//   LLMPIPE_EMU_MEMORY    MiB of a device, 4096 when not given
//   LLMPIPE_EMU_GUARD     1: host code that reads or writes device memory crashes
//   LLMPIPE_EMU_TIMEOUT   seconds without progress of a stream after which the device is lost
#ifndef LLMPIPE_EMU_CONTROL_H
#define LLMPIPE_EMU_CONTROL_H

#include <atomic>
#include <exception>
#include <stdint.h>
#include <string>

namespace emu {

struct Options {
  std::atomic<int> order;
  std::atomic<bool> deferred;
  const int sm;
  int devices, driver, nccl, memory_mib, timeout_seconds;
  std::string missing, skipped;
  bool guard;
};
Options &options();
size_t shared_limit(); // bytes of dynamic shared memory that a block may ask for

struct Counters {
  std::atomic<uint64_t> launches, blocks, threads, switches, barriers, warp_operations,
      tile_products, matrix_loads, bank_conflicts;
};
extern Counters counters;

// What the kernel or the host did wrong. Thrown on the host side, where the stream turns it into an
// error of the device.
struct Fault : std::exception {
  std::string text;
  explicit Fault(std::string text) : text(std::move(text)) {}
  const char *what() const noexcept override { return text.c_str(); }
};

// True when LLMPIPE_EMU_FAIL says that this call, or what it does later, fails.
enum class When { call, later };
bool is_injected(const char *name, When when = When::call);
int current_device();

} // namespace emu
#endif
