// Shared memory of a block, asynchronous copies into it, and atomics.
#include <array>
#include <mutex>

#include "emu/block.h"
#include "emu/race.h"
#include "emu/sanitizer.h"

namespace emu {

namespace {
struct Declaration {
  size_t offset, bytes;
};
struct Declarations {
  std::mutex mutex;
  // One that has a number is never written again, so that it is read without the lock
  std::array<Declaration, kMostDeclarations> all;
  size_t count = 0, top = 64;
};
Declarations &declarations() {
  static Declarations declarations;
  return declarations;
}
constexpr size_t kGap = 64; // between declarations
} // namespace

int register_shared(size_t bytes, size_t align) {
  Declarations &to = declarations();
  std::lock_guard lock(to.mutex);
  to.top = (to.top + align - 1) & ~(align - 1);
  if (to.count == kMostDeclarations || to.top + bytes + kGap > kStaticBytes)
    fault("static shared memory of all kernels is used up");
  to.all[to.count] = {to.top, bytes};
  to.top += bytes + kGap;
  return (int)to.count++;
}

void *static_shared(int id) {
  Block &block = *self->block;
  const size_t i = (size_t)id;
  const Declaration &declaration = declarations().all[i];
  char *memory = block.fixed + declaration.offset;
  if (block.fixed_filled[i] == block.serial) return memory;
  ASAN_UNPOISON_MEMORY_REGION(memory, declaration.bytes);
  memset(memory, 0xff, declaration.bytes);
  block.fixed_filled[i] = block.serial;
  return memory;
}

void *dynamic_shared() { return self->block->dynamic; }

bool is_shared(const void *p, size_t bytes) {
  const Block &block = *self->block;
  const char *begin = static_cast<const char *>(p);
  return (begin >= block.dynamic && begin + bytes <= block.dynamic + block.dynamic_bytes) ||
         (begin >= block.fixed && begin + bytes <= block.fixed + kStaticBytes);
}

// ---- cp.async ----------------------------------------------------------------------------------
// Hardware may write the destination at any time between the issue and the wait. Here the copy
// happens at the wait (a kernel that reads too early sees the fill, or the previous stage), or, in
// random order, half of the time at the issue (a kernel that issues while others still read the
// previous stage fails). The race detector counts a write at both ends.

namespace {
void perform(Copy &copy) {
  memcpy(copy.dst, copy.src, (size_t)copy.used);
  memset(static_cast<char *>(copy.dst) + copy.used, 0, (size_t)(copy.bytes - copy.used));
  copy.done = true;
}
} // namespace

void async_copy(void *dst, const void *src, int bytes, int used) {
  require_tiles("cp.async");
  if (!is_shared(dst, (size_t)bytes)) fault("cp.async: the destination is not in shared memory");
  const uintptr_t addresses = reinterpret_cast<uintptr_t>(dst) | reinterpret_cast<uintptr_t>(src);
  if (addresses % (unsigned)bytes != 0)
    fault("cp.async: the addresses are not multiples of %d", bytes);
  Block &block = *self->block;
  Copy copy{dst, src, bytes, used, false};
  race::access(dst, (size_t)bytes, true, false, self->linear, __builtin_return_address(0));
  race::pending(dst, (size_t)bytes, true);
  if (block.is_random && (next_random(block.random) >> 33 & 1) != 0) perform(copy);
  running_fiber().copies.push_back(copy);
}

void async_commit() {
  Fiber &fiber = running_fiber();
  fiber.groups.push_back(fiber.copies.size());
}

void async_wait(int pending_groups) {
  Fiber &fiber = running_fiber();
  size_t copies = 0, groups = 0;
  if (pending_groups <= 0) {
    copies = fiber.copies.size();
    groups = fiber.groups.size();
  } else if (fiber.groups.size() > (size_t)pending_groups) {
    groups = fiber.groups.size() - (size_t)pending_groups;
    copies = fiber.groups[groups - 1];
  }
  void *from = __builtin_return_address(0);
  for (size_t i = 0; i < copies; i++) {
    Copy &copy = fiber.copies[i];
    if (copy.used > 0) race::access(copy.src, (size_t)copy.used, false, false, self->linear, from);
    race::access(copy.dst, (size_t)copy.bytes, true, false, self->linear, from);
    race::pending(copy.dst, (size_t)copy.bytes, false);
    if (!copy.done) perform(copy);
  }
  fiber.copies.erase(fiber.copies.begin(), fiber.copies.begin() + (long)copies);
  fiber.groups.erase(fiber.groups.begin(), fiber.groups.begin() + (long)groups);
  for (size_t &end : fiber.groups) end -= copies;
}

// ---- atomics -----------------------------------------------------------------------------------

namespace {
template <class T, class Change> T change(T *p, Change change) {
  race::access(p, sizeof(T), true, true, self->linear, __builtin_return_address(0));
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(p, &old, change(old), false, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED)) {
  }
  return old;
}
} // namespace

float atomic_add(float *p, float v) {
  return from_bits(change(reinterpret_cast<uint32_t *>(p),
                          [v](uint32_t old) { return bits_of(from_bits(old) + v); }));
}
double atomic_add(double *p, double v) {
  const uint64_t old = change(reinterpret_cast<uint64_t *>(p), [v](uint64_t bits) {
    double sum;
    memcpy(&sum, &bits, 8);
    sum += v;
    memcpy(&bits, &sum, 8);
    return bits;
  });
  double value;
  memcpy(&value, &old, 8);
  return value;
}
unsigned atomic_add(unsigned *p, unsigned v) {
  return change(p, [v](unsigned old) { return old + v; });
}
unsigned long long atomic_add(unsigned long long *p, unsigned long long v) {
  return change(p, [v](unsigned long long old) { return old + v; });
}
int atomic_max(int *p, int v) {
  return change(p, [v](int old) { return old > v ? old : v; });
}
int atomic_min(int *p, int v) {
  return change(p, [v](int old) { return old < v ? old : v; });
}
int atomic_or(int *p, int v) {
  return change(p, [v](int old) { return old | v; });
}
unsigned atomic_cas(unsigned *p, unsigned compare, unsigned v) {
  return change(p, [compare, v](unsigned old) { return old == compare ? v : old; });
}

} // namespace emu
