// One reserved range holds shared and device memory, so that the race detector finds its shadow by
// subtraction. Under AddressSanitizer each buffer comes from malloc instead, for its red zones.
#include "emu/memory.h"

#include <map>
#include <mutex>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "emu/control.h"
#include "emu/race.h"
#include "emu/sanitizer.h"

namespace emu {

namespace {
constexpr size_t kSharedPart = 8 << 20;
constexpr size_t kGap = 256; // between buffers, also their alignment

struct Arena {
  std::mutex mutex;
  char *base = nullptr;
  size_t size = 0, top = kSharedPart, shared_top = 0, used = 0;
  std::multimap<size_t, char *> unused; // by bytes
  std::map<char *, size_t> live;
  std::mutex access_mutex;
  int accesses = 0; // that live

  Arena() {
    if (kSanitized) return;
    size = ((size_t)options().memory_mib << 20) + kSharedPart;
    void *range = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) throw Fault("memory for the emulated device could not be reserved");
    base = static_cast<char *>(range);
    race::init(base, size, kSharedPart);
    protect(PROT_NONE);
  }

  void protect(int access) const {
    if (options().guard) mprotect(base + kSharedPart, size - kSharedPart, access);
  }
};
Arena &arena() {
  static Arena arena;
  return arena;
}

size_t padded(size_t bytes) { return (bytes + 2 * kGap - 1) & ~(kGap - 1); }

char *take(Arena &from, size_t bytes) {
  if (kSanitized) return static_cast<char *>(malloc(bytes));
  const auto found = from.unused.find(padded(bytes));
  if (found != from.unused.end()) {
    char *ptr = found->second;
    from.unused.erase(found);
    return ptr;
  }
  if (from.top + padded(bytes) > from.size) return nullptr;
  char *ptr = from.base + from.top;
  from.top += padded(bytes);
  return ptr;
}
} // namespace

DeviceAccess::DeviceAccess() {
  if (kSanitized || !options().guard) return;
  Arena &of = arena();
  std::lock_guard lock(of.access_mutex);
  if (of.accesses++ == 0) of.protect(PROT_READ | PROT_WRITE);
}

DeviceAccess::~DeviceAccess() {
  if (kSanitized || !options().guard) return;
  Arena &of = arena();
  std::lock_guard lock(of.access_mutex);
  if (--of.accesses == 0) of.protect(PROT_NONE);
}

void *allocate(size_t bytes) {
  if (bytes == 0) bytes = 1;
  const DeviceAccess access;
  Arena &from = arena();
  std::lock_guard lock(from.mutex);
  if (from.used + bytes > (size_t)options().memory_mib << 20) return nullptr;
  char *ptr = take(from, bytes);
  if (ptr == nullptr) return nullptr;
  memset(ptr, 0xff, bytes);
  from.live[ptr] = bytes;
  from.used += bytes;
  return ptr;
}

bool release(void *ptr) {
  const DeviceAccess access;
  Arena &from = arena();
  std::lock_guard lock(from.mutex);
  const auto found = from.live.find(static_cast<char *>(ptr));
  if (found == from.live.end()) return false;
  from.used -= found->second;
  if (kSanitized) {
    free(ptr);
  } else {
    memset(ptr, 0xff, found->second); // for those that still read it
    from.unused.emplace(padded(found->second), found->first);
  }
  from.live.erase(found);
  return true;
}

bool is_device(const void *ptr, size_t bytes) {
  Arena &from = arena();
  std::lock_guard lock(from.mutex);
  auto *begin = const_cast<char *>(static_cast<const char *>(ptr));
  auto found = from.live.upper_bound(begin);
  if (found == from.live.begin()) return false;
  --found;
  return begin + bytes <= found->first + found->second;
}

const void *buffer_of(const void *ptr) {
  Arena &from = arena();
  std::lock_guard lock(from.mutex);
  auto found = from.live.upper_bound(const_cast<char *>(static_cast<const char *>(ptr)));
  if (found == from.live.begin()) return nullptr;
  --found;
  return ptr < found->first + found->second ? found->first : nullptr;
}

size_t free_bytes() {
  Arena &from = arena();
  std::lock_guard lock(from.mutex);
  return ((size_t)options().memory_mib << 20) - from.used;
}

char *shared_chunk(size_t bytes) {
  Arena &from = arena();
  if (kSanitized) return static_cast<char *>(aligned_alloc(1024, (bytes + 1023) & ~(size_t)1023));
  std::lock_guard lock(from.mutex);
  char *ptr = from.base + from.shared_top;
  from.shared_top += (bytes + 4095) & ~(size_t)4095;
  if (from.shared_top > kSharedPart) throw Fault("the emulation's shared memory is used up");
  return ptr;
}

} // namespace emu
