#include "emu/block.h"

#include <mutex>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <utility>

#include "emu/control.h"
#include "emu/memory.h"
#include "emu/race.h"
#include "emu/sanitizer.h"

namespace emu {

thread_local Thread *self = nullptr;

namespace {
constexpr size_t kGuardPage = 4096;

std::mutex pool_mutex;
std::vector<std::unique_ptr<Block>> pool;

void to_main(Fiber &fiber, bool last) {
  Block &block = *fiber.thread.block;
  void *fake = nullptr;
  if (last) __asan_handle_no_return(); // its frames are never unwound, and the stack is used again
  __sanitizer_start_switch_fiber(last ? nullptr : &fake, block.main_bottom, block.main_size);
  switch_to(fiber.registers, block.main);
  __sanitizer_finish_switch_fiber(fake, &block.main_bottom, &block.main_size);
}

char *make_stack(size_t bytes) {
  void *memory = mmap(nullptr, bytes + kGuardPage, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw Fault("memory for the stacks of threads could not be had");
  mprotect(memory, kGuardPage, PROT_NONE);
  return static_cast<char *>(memory) + kGuardPage;
}

void fiber_main();

void start(Block &block, Fiber &fiber) {
  if (block.stacks.empty()) block.stacks.push_back(make_stack(block.stack_bytes));
  fiber.stack = block.stacks.back();
  block.stacks.pop_back();
  // The hot ends of the stacks are kept out of each other's cache sets
  const size_t stagger = (fiber.thread.linear * 320 & 0x3fff) & ~(size_t)63;
  prepare(fiber.registers, fiber.stack, block.stack_bytes - stagger, fiber_main);
}

// The thread that runs next: the first that can, or any in random order.
Fiber &take_next(Block &block) {
  if (block.is_random) block.ready.swap_first(next_random(block.random) % block.ready.size());
  Fiber &fiber = block.fibers[block.ready.pop()];
  if (fiber.state == Fiber::State::fresh) start(block, fiber);
  fiber.state = Fiber::State::ready;
  self = &fiber.thread;
  block.switches++;
  return fiber;
}

void wait(const char *kind, int line, unsigned mask) {
  Fiber &fiber = running_fiber();
  Block &block = *fiber.thread.block;
  fiber.state = Fiber::State::waiting;
  fiber.wait_kind = kind;
  fiber.wait_line = line;
  fiber.wait_mask = mask;
  // AddressSanitizer is told of switches from and to the main stack
  if (kSanitized || block.ready.size() == 0) return to_main(fiber, false);
  switch_to(fiber.registers, take_next(block).registers);
}

void release_barrier(Block &block) {
  const int results[3] = {block.count, block.all, block.any};
  for (int i = 0; i < 3; i++) {
    for (int *output : block.outputs[i]) *output = results[i];
    block.outputs[i].clear();
  }
  block.arrived = 0;
  block.count = 0;
  block.all = 1;
  block.any = 0;
  block.barriers++;
  for (Fiber &fiber : block.fibers) {
    if (fiber.state != Fiber::State::waiting || fiber.wait_mask != 0) continue;
    fiber.state = Fiber::State::ready;
    block.ready.push(fiber.thread.linear);
  }
  race::barrier();
}

void fiber_main() {
  Block &block = *self->block;
  __sanitizer_finish_switch_fiber(nullptr, &block.main_bottom, &block.main_size);
  (*block.body)();
  Fiber &fiber = running_fiber();
  if (!fiber.copies.empty()) async_wait(0); // hardware completes them too
  fiber.state = Fiber::State::done;
  if (--block.live > 0 && block.arrived == block.live) release_barrier(block);
  to_main(fiber, true);
}

std::string describe_deadlock(const Block &block) {
  std::string text = "deadlock: " + std::to_string(block.live) + " of " +
                     std::to_string(block.fibers.size()) + " threads are still waiting";
  int shown = 0;
  for (const Fiber &fiber : block.fibers) {
    if (fiber.state != Fiber::State::waiting || shown++ == 4) continue;
    char part[160];
    snprintf(part, sizeof part, "; thread %u in %s at line %d (mask %08x)", fiber.thread.linear,
             fiber.wait_kind, fiber.wait_line, fiber.wait_mask);
    text += part;
  }
  return text;
}
} // namespace

void fault(const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (self == nullptr) throw Fault(text);
  // Exceptions do not cross stacks: this fiber ends here, and the block with it
  const uint3 block = self->bid, thread = self->tid;
  char where[160];
  snprintf(where, sizeof where, "block (%u,%u,%u) thread (%u,%u,%u): ", block.x, block.y, block.z,
           thread.x, thread.y, thread.z);
  self->block->fault = std::string(where) + text;
  for (;;) to_main(running_fiber(), true);
}

uint64_t next_random(uint64_t &state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

Fiber &running_fiber() { return self->block->fibers[self->linear]; }

Block::Block() : stack_bytes((kSanitized ? 512 : 128) << 10) {}

Block::~Block() {
  for (char *stack : stacks) munmap(stack - kGuardPage, stack_bytes + kGuardPage);
}

Lease::Lease() {
  std::lock_guard lock(pool_mutex);
  if (pool.empty()) {
    block_ = std::make_unique<Block>();
  } else {
    block_ = std::move(pool.back());
    pool.pop_back();
  }
}

Lease::~Lease() {
  std::lock_guard lock(pool_mutex);
  pool.push_back(std::move(block_));
}

void Block::run() {
  const size_t n = fibers.size();
  serial++;
  live = (int)n;
  arrived = 0;
  ready.clear();
  race::begin_block();
  if (dynamic_bytes > 0) memset(dynamic, 0xff, dynamic_bytes);
  for (size_t i = 0; i < n; i++) {
    const size_t k = is_reversed ? n - 1 - i : i;
    fibers[k].state = Fiber::State::fresh;
    ready.push((unsigned)k);
  }
  while (live > 0 && fault.empty()) {
    if (ready.size() == 0) {
      fault = describe_deadlock(*this);
      break;
    }
    const Fiber &next = take_next(*this);
    __sanitizer_start_switch_fiber(&main_fake, next.stack, stack_bytes);
    switch_to(main, fibers[next.thread.linear].registers);
    __sanitizer_finish_switch_fiber(main_fake, nullptr, nullptr);
    Fiber &last = running_fiber(); // others may have run in between
    self = nullptr;
    if (last.state != Fiber::State::done) continue;
    stacks.push_back(last.stack);
    last.stack = nullptr;
  }
  if (fault.empty()) return;
  for (Fiber &fiber : fibers) { // those that never end
    if (fiber.stack != nullptr) {
      ASAN_UNPOISON_MEMORY_REGION(fiber.stack, stack_bytes);
      stacks.push_back(fiber.stack);
    }
    fiber.stack = nullptr;
    fiber.copies.clear();
    fiber.groups.clear();
  }
  for (auto &groups : warps) groups.clear();
  for (auto &output : outputs) output.clear();
  count = 0;
  all = 1;
  any = 0;
}

void block_barrier(int line, int predicate, int *count, int *all, int *any) {
  Block &block = *self->block;
  if (block.arrived == 0)
    block.barrier_line = line;
  else if (block.barrier_line != line)
    fault("barrier divergence: this thread is at the __syncthreads of line %d, others at line %d",
          line, block.barrier_line);
  block.count += predicate != 0;
  block.all &= predicate != 0;
  block.any |= predicate != 0;
  int *outputs[3] = {count, all, any};
  for (int i = 0; i < 3; i++)
    if (outputs[i] != nullptr) block.outputs[i].push_back(outputs[i]);
  if (++block.arrived == block.live)
    release_barrier(block);
  else
    wait("__syncthreads", line, 0);
}

namespace {
Rendezvous &find_rendezvous(Block &block, unsigned mask, const char *kind, int line) {
  auto &all = block.warps[self->warp];
  for (Rendezvous &one : all)
    if (one.arrived != 0 && one.mask == mask) return one;
  for (const Rendezvous &one : all)
    if (one.arrived != 0 && (one.mask & mask & one.arrived) != 0)
      fault("%s at line %d with mask %08x overlaps %s at line %d with mask %08x", kind, line, mask,
            one.kind, one.line, one.mask);
  Rendezvous *unused = nullptr;
  for (Rendezvous &one : all)
    if (one.arrived == 0) unused = &one;
  if (unused == nullptr) unused = &all.emplace_back();
  unused->mask = mask;
  unused->kind = kind;
  unused->line = line;
  return *unused;
}
} // namespace

void warp_rendezvous(unsigned mask, const char *kind, int line, void *io, WarpOp op,
                     const void *parameter) {
  Block &block = *self->block;
  const unsigned lane = self->lane;
  block.warp_operations++;
  if (!(mask >> lane & 1))
    fault("%s at line %d: lane %u is not in its own mask %08x", kind, line, lane, mask);
  Rendezvous &all = find_rendezvous(block, mask, kind, line);
  if (all.line != line || (all.kind != kind && strcmp(all.kind, kind) != 0))
    fault("warp divergence: lane %u is in %s at line %d, others in %s at line %d", lane, kind, line,
          all.kind, all.line);
  all.io[lane] = io;
  all.arrived |= 1u << lane;
  if (all.arrived != mask) return wait(kind, line, mask);
  op(all.io, mask, parameter);
  all.arrived = 0;
  const unsigned first = self->warp * 32;
  for (unsigned l = 0; l < 32; l++) {
    if (l == lane || !(mask >> l & 1)) continue;
    block.fibers[first + l].state = Fiber::State::ready;
    block.ready.push(first + l);
  }
}

void warp_sync(unsigned mask, int line) {
  const WarpOp note = [](void *const *, unsigned, const void *) { race::warp_sync(self->warp); };
  warp_rendezvous(mask, "__syncwarp", line, nullptr, note, nullptr);
}

unsigned ballot(unsigned mask, int predicate, int line) {
  unsigned value = predicate != 0;
  const WarpOp collect = [](void *const *io, unsigned members, const void *) {
    unsigned votes = 0;
    for (unsigned l = 0; l < 32; l++)
      if (members >> l & 1) votes |= *static_cast<const unsigned *>(io[l]) << l;
    for (unsigned l = 0; l < 32; l++)
      if (members >> l & 1) *static_cast<unsigned *>(io[l]) = votes;
  };
  warp_rendezvous(mask, "ballot", line, &value, collect, nullptr);
  return value;
}

namespace {
struct ShuffleLane {
  uint64_t value;
  int operand;
  Shuffle mode;

  // The lane whose value lane `l` of a part of `width` lanes gets.
  int source(int l, int width) const {
    const int base = l & ~(width - 1);
    switch (mode) {
    case Shuffle::index: return base + (operand & (width - 1));
    case Shuffle::up: return l - operand < base ? l : l - operand;
    case Shuffle::down: return l + operand >= base + width ? l : l + operand;
    case Shuffle::exclusive_or: return (l ^ operand) >= base + width ? l : l ^ operand;
    }
    return l;
  }
};
} // namespace

uint64_t shuffle_bits(unsigned mask, uint64_t value, int operand, Shuffle mode, int width,
                      int line) {
  ShuffleLane lane{value, operand, mode};
  const WarpOp exchange = [](void *const *io, unsigned members, const void *parameter) {
    const int width = *static_cast<const int *>(parameter);
    uint64_t values[32];
    for (int l = 0; l < 32; l++)
      if (members >> l & 1) values[l] = static_cast<const ShuffleLane *>(io[l])->value;
    for (int l = 0; l < 32; l++) {
      if (!(members >> l & 1)) continue;
      ShuffleLane &to = *static_cast<ShuffleLane *>(io[l]);
      const int from = to.source(l, width);
      if (!(members >> from & 1))
        fault("shuffle: lane %d reads lane %d, which is not in mask %08x", l, from, members);
      to.value = values[from];
    }
  };
  warp_rendezvous(mask, "shfl", line, &lane, exchange, &width);
  return lane.value;
}

} // namespace emu
