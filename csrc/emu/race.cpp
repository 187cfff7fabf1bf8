#include "emu/race.h"

#include <dlfcn.h>
#include <set>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <tuple>

#include "emu/device.h"
#include "emu/sectors.h"

namespace emu::race {

namespace {
// Intervals between barriers are numbered over the whole process, so that a number names launch,
// block and interval; warp_interval counts __syncwarp within one.
struct Access {
  unsigned interval;
  unsigned short thread : 14, halves : 2; // halves: which bytes of the cell
  unsigned short warp_interval;
  void *from;
};
// Of kGrain bytes. Of two single bytes in a cell the later access is remembered, so a race may be
// missed, but none is seen between neighbours.
struct Cell {
  Access write, reads[2];
  bool is_atomic, is_pending;
};
constexpr size_t kGrain = 2;
enum Kind { kWriteWrite, kReadWrite, kWriteRead, kUnwritten, kBlocks, kPending };
const char *const kKinds[] = {"write/write race",
                              "read after an unsynchronised write",
                              "write after an unsynchronised read",
                              "read of unwritten shared memory",
                              "race between blocks",
                              "read of the destination of a cp.async before its wait"};

bool on = false;
char *base;
size_t size, shared_part;
Cell *cells;
unsigned interval = 1, block_interval = 1, launch_interval = 1;
unsigned short warp_intervals[32];
std::set<std::tuple<int, void *, void *>> seen;
std::string text;

std::string place(void *from) {
  Dl_info info;
  if (from == nullptr || dladdr(from, &info) == 0) return "a tile operation";
  char out[32];
  snprintf(out, sizeof out, "+0x%zx", (size_t)((char *)from - 1 - (char *)info.dli_fbase));
  return out; // of this library: for addr2line
}

void report(Kind kind, const void *p, unsigned thread, void *from, const Access *other) {
  if (!seen.emplace(kind, from, other != nullptr ? other->from : nullptr).second) return;
  const size_t at = (size_t)((const char *)p - base);
  char line[200];
  snprintf(line, sizeof line, "%s%s in %s memory: block (%u,%u,%u) thread %u at ",
           text.empty() ? "" : "\n", kKinds[kind], at < shared_part ? "shared" : "global",
           self->bid.x, self->bid.y, self->bid.z, thread);
  text += line + place(from);
  if (other != nullptr)
    text += "; earlier by thread " + std::to_string(other->thread) + " at " + place(other->from);
}

bool is_ordered(const Access &earlier, unsigned thread) {
  return earlier.interval != interval || earlier.thread == thread ||
         (earlier.thread / 32 == thread / 32 &&
          earlier.warp_interval != warp_intervals[thread / 32]);
}

bool is_of_other_block(const Access &earlier) {
  return earlier.interval >= launch_interval && earlier.interval < block_interval;
}

void check_order(Kind kind, const Access &earlier, bool is_shared, const void *p,
                 const Access &now) {
  if (earlier.interval == 0 || (earlier.halves & now.halves) == 0) return;
  const unsigned thread = now.thread;
  void *const from = now.from;
  if (!is_ordered(earlier, thread))
    report(kind, p, thread, from, &earlier);
  else if (!is_shared && is_of_other_block(earlier))
    report(kBlocks, p, thread, from, &earlier);
}
} // namespace

bool is_on() { return on; }

// Shared or device memory, of a build with the detector.
static inline bool is_watched(const void *p) { return (size_t)((const char *)p - base) < size; }

void init(char *from, size_t bytes, size_t shared) {
  if (!on) return;
  void *shadow = mmap(nullptr, bytes / kGrain * sizeof(Cell), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (shadow == MAP_FAILED) fault("memory for the race detector could not be reserved");
  cells = static_cast<Cell *>(shadow);
  base = from;
  size = bytes;
  shared_part = shared;
}

void begin_launch(const char *) {
  launch_interval = ++interval;
  seen.clear();
  text.clear();
}

void begin_block() {
  block_interval = ++interval;
  memset(warp_intervals, 0, sizeof warp_intervals);
}

void barrier() {
  interval++;
  memset(warp_intervals, 0, sizeof warp_intervals);
}

void warp_sync(unsigned warp) { warp_intervals[warp]++; }

std::string findings() { return text; }

void pending(const void *p, size_t bytes, bool is_pending) {
  if (!is_watched(p)) return;
  const size_t at = (size_t)((const char *)p - base);
  for (size_t i = at / kGrain; i <= (at + bytes - 1) / kGrain; i++)
    cells[i].is_pending = is_pending;
}

void access(const void *p, size_t bytes, bool write, bool atomic, unsigned thread, void *from) {
  if (!is_watched(p)) return;
  const size_t at = (size_t)((const char *)p - base);
  const bool is_shared = at < shared_part;
  if (!is_shared && !atomic) sectors::access(p, bytes, write, thread, from);
  Access now{interval, (unsigned short)thread, 0, warp_intervals[thread / 32], from};
  for (size_t i = at / kGrain; i <= (at + bytes - 1) / kGrain; i++) {
    Cell &cell = cells[i];
    const size_t first = i * kGrain;
    now.halves = (at <= first ? 1 : 0) | (at + bytes > first + 1 ? 2 : 0);
    if (!(atomic && cell.is_atomic))
      check_order(write ? kWriteWrite : kReadWrite, cell.write, is_shared, p, now);
    const bool is_of_block = cell.write.interval >= block_interval;
    if (is_shared && !write && cell.is_pending && is_of_block)
      report(kPending, p, thread, from, &cell.write);
    if (is_shared && !write && !is_of_block) report(kUnwritten, p, thread, from, nullptr);
    if (write) {
      for (const Access &read : cell.reads)
        check_order(kWriteRead, read, is_shared, p, now);
      cell.write = now;
      cell.is_atomic = atomic;
      cell.is_pending = false;
    } else if (cell.reads[0].interval == interval && cell.reads[0].thread != thread) {
      cell.reads[1] = now;
    } else {
      cell.reads[0] = now;
    }
  }
}

} // namespace emu::race

// ---- what code compiled with -fsanitize=thread calls -------------------------------------------

namespace {
__attribute__((noinline)) void note_device(void *p, size_t bytes, bool write, void *from) {
  if (emu::self != nullptr) emu::race::access(p, bytes, write, false, emu::self->linear, from);
}

// Most accesses are of a thread's own stack: these end here, before a register is saved.
inline void note(void *p, size_t bytes, bool write, void *from) {
  if (emu::race::is_watched(p)) note_device(p, bytes, write, from);
}
} // namespace

#define FROM __builtin_return_address(0)
#define ACCESSES(bytes)                                                                            \
  void __tsan_read##bytes(void *p) { note(p, bytes, false, FROM); }                                \
  void __tsan_write##bytes(void *p) { note(p, bytes, true, FROM); }                                \
  void __tsan_unaligned_read##bytes(void *p) { note(p, bytes, false, FROM); }                      \
  void __tsan_unaligned_write##bytes(void *p) { note(p, bytes, true, FROM); }                      \
  void __tsan_volatile_read##bytes(void *p) { note(p, bytes, false, FROM); }                       \
  void __tsan_volatile_write##bytes(void *p) { note(p, bytes, true, FROM); }
extern "C" {
void __tsan_init() { emu::race::on = true; }
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void **, void *) {}
void __tsan_vptr_read(void **) {}
void __tsan_read_range(void *p, size_t bytes) { note(p, bytes, false, FROM); }
void __tsan_write_range(void *p, size_t bytes) { note(p, bytes, true, FROM); }
unsigned char __tsan_atomic8_load(const volatile unsigned char *p, int) {
  return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}
ACCESSES(1) ACCESSES(2) ACCESSES(4) ACCESSES(8) ACCESSES(16)
}
#undef ACCESSES
#undef FROM
