// Launches: limits of the device, and the walk over the blocks of a grid.
#include <mutex>
#include <string.h>
#include <unordered_map>

#include "emu/block.h"
#include "emu/control.h"
#include "emu/memory.h"
#include "emu/race.h"
#include "emu/runtime.h"
#include "emu/sanitizer.h"
#include "emu/sectors.h"

namespace emu {

namespace {
constexpr size_t kWithoutAsking = 48 << 10; // bytes of dynamic shared memory
constexpr unsigned char kCanary = 0x5a;     // behind dynamic shared memory
constexpr size_t kCanaryBytes = 64;

std::mutex limits_mutex;
std::unordered_map<const void *, size_t> limits; // of kernels that asked for more

// A bijection of [0, n) that depends on the seed.
uint64_t permuted(uint64_t k, uint64_t n, uint64_t seed) {
  uint64_t size = 1;
  while (size < n) size <<= 1;
  do {
    k = (k * 2654435769ull + seed * 40503ull) & (size - 1);
    k ^= k >> 3;
    k = (k * 5 + seed) & (size - 1);
  } while (k >= n);
  return k;
}

void prepare_shared(Block &block, size_t bytes) {
  if (block.fixed == nullptr) {
    block.fixed = shared_chunk(kStaticBytes);
    ASAN_POISON_MEMORY_REGION(block.fixed, kStaticBytes);
  }
  if (block.dynamic_capacity < bytes) {
    block.dynamic = shared_chunk(shared_limit() + kCanaryBytes);
    block.dynamic_capacity = shared_limit();
  }
  block.dynamic_bytes = bytes;
  if (bytes == 0) return;
  ASAN_UNPOISON_MEMORY_REGION(block.dynamic, block.dynamic_capacity + kCanaryBytes);
  memset(block.dynamic + bytes, kCanary, kCanaryBytes);
  ASAN_POISON_MEMORY_REGION(block.dynamic + bytes, block.dynamic_capacity + kCanaryBytes - bytes);
}

bool is_canary_alive(const Block &block) {
  if (kSanitized || block.dynamic_bytes == 0) return true;
  for (size_t i = 0; i < kCanaryBytes; i++)
    if ((unsigned char)block.dynamic[block.dynamic_bytes + i] != kCanary) return false;
  return true;
}

void prepare_threads(Block &block, dim3 grid, dim3 size) {
  const size_t n = (size_t)size.x * size.y * size.z;
  block.fibers.resize(n);
  block.warps.resize((n + 31) / 32);
  for (auto &warp : block.warps) warp.reserve(8);
  for (size_t i = 0; i < n; i++) {
    const unsigned u = (unsigned)i;
    block.fibers[i].thread = {{u % size.x, u / size.x % size.y, u / (size.x * size.y)},
                              {},
                              size,
                              grid,
                              u,
                              u & 31,
                              u >> 5,
                              &block};
  }
}

void collect_counters(Block &block) {
  counters.switches += block.switches;
  counters.barriers += block.barriers;
  counters.warp_operations += block.warp_operations;
  counters.tile_products += block.tile_products;
  counters.matrix_loads += block.matrix_loads;
  counters.bank_conflicts += block.bank_conflicts;
  block.switches = block.barriers = block.warp_operations = 0;
  block.tile_products = block.matrix_loads = block.bank_conflicts = 0;
}
} // namespace

cudaError_t set_shared_limit(const void *function, int bytes) {
  if (bytes < 0 || (size_t)bytes > shared_limit()) return cudaErrorInvalidValue;
  std::lock_guard lock(limits_mutex);
  limits[function] = (size_t)bytes;
  return cudaSuccess;
}

cudaError_t check_launch(const void *function, const char *name, dim3 grid, dim3 block,
                         size_t shared_bytes) {
  if (is_injected(name)) return cudaErrorLaunchFailure;
  const uint64_t threads = (uint64_t)block.x * block.y * block.z;
  const bool is_possible = threads > 0 && threads <= 1024 && block.z <= 64 && grid.x > 0 &&
                           grid.y > 0 && grid.z > 0 && grid.x <= 0x7fffffffu && grid.y <= 65535 &&
                           grid.z <= 65535;
  if (!is_possible) return cudaErrorInvalidConfiguration;
  std::lock_guard lock(limits_mutex);
  const auto found = limits.find(function);
  const size_t limit = found == limits.end() ? 0 : found->second;
  return shared_bytes > (limit > kWithoutAsking ? limit : kWithoutAsking) ? cudaErrorInvalidValue
                                                                          : cudaSuccess;
}

void run_grid(dim3 grid, dim3 size, size_t shared_bytes, const std::function<void()> &thread_body,
              const char *name) {
  if (is_injected(name, When::later))
    throw Fault("kernel " + std::string(name) + ": an illegal memory access was encountered");
  if (options().skipped == name) return;
  const int order = options().order;
  const uint64_t total = (uint64_t)grid.x * grid.y * grid.z;
  counters.launches++;
  counters.blocks += total;
  counters.threads += total * size.x * size.y * size.z;
  race::begin_launch(name);

  Lease lease;
  Block &block = *lease;
  block.body = &thread_body;
  block.fault.clear();
  block.is_random = order > 0;
  block.is_reversed = order < 0;
  block.random = 0x9e3779b97f4a7c15ull * (uint64_t)(order + 1) + 1;
  prepare_threads(block, grid, size);
  prepare_shared(block, shared_bytes);
  for (uint64_t k = 0; k < total && block.fault.empty(); k++) {
    const uint64_t i = order < 0   ? total - 1 - k
                       : order > 0 ? permuted(k, total, (uint64_t)order)
                                   : k;
    const uint3 id{(unsigned)(i % grid.x), (unsigned)(i / grid.x % grid.y),
                   (unsigned)(i / ((uint64_t)grid.x * grid.y))};
    for (Fiber &fiber : block.fibers) fiber.thread.bid = id;
    block.run();
    sectors::end_block();
    if (!is_canary_alive(block))
      block.fault = "a thread wrote past the " + std::to_string(shared_bytes) +
                    " bytes of dynamic shared memory";
  }
  collect_counters(block);
  if (block.fault.empty()) block.fault = race::findings();
  if (!block.fault.empty()) throw Fault("kernel " + std::string(name) + ": " + block.fault);
}

} // namespace emu
