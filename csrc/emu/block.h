// A block of threads as fibers of one thread of the system.
#ifndef LLMPIPE_EMU_BLOCK_H
#define LLMPIPE_EMU_BLOCK_H

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "emu/device.h"
#include "emu/fiber.h"

namespace emu {

constexpr size_t kStaticBytes = 512 << 10; // shared memory of all declarations together
constexpr size_t kMostDeclarations = 1024;

struct Copy {
  void *dst;
  const void *src;
  int bytes, used;
  bool done;
};

struct Fiber {
  enum class State { fresh, ready, waiting, done };
  Thread thread;
  Registers registers;
  char *stack = nullptr;
  State state = State::fresh;
  const char *wait_kind = nullptr;
  int wait_line = 0;
  unsigned wait_mask = 0;
  std::vector<Copy> copies;   // asynchronous ones that were not waited for
  std::vector<size_t> groups; // ends of committed groups in copies
};

// Lanes of a warp that wait for each other.
struct Rendezvous {
  unsigned mask = 0, arrived = 0;
  const char *kind = nullptr;
  int line = 0;
  void *io[32];
};

// The threads of a block that can run on, each once at most: a ring.
class Queue {
public:
  size_t size() const { return tail_ - head_; }
  void clear() { head_ = tail_ = 0; }
  void push(unsigned thread) { ring_[tail_++ % kMost] = (uint16_t)thread; }
  unsigned pop() { return ring_[head_++ % kMost]; }
  void swap_first(size_t other) {
    std::swap(ring_[head_ % kMost], ring_[(head_ + other) % kMost]);
  }

private:
  static constexpr size_t kMost = 1024; // threads of a block
  uint16_t ring_[kMost];
  size_t head_ = 0, tail_ = 0;
};

struct Block {
  std::vector<Fiber> fibers;
  Queue ready;
  Registers main;
  int live = 0;
  const std::function<void()> *body = nullptr;
  std::string fault; // not empty: the block has ended

  int arrived = 0, barrier_line = 0;
  int count = 0, all = 1, any = 0; // of the predicates of the barrier
  std::vector<int *> outputs[3];
  std::vector<std::vector<Rendezvous>> warps;

  char *fixed = nullptr; // static shared memory
  uint64_t fixed_filled[kMostDeclarations] = {}; // serial of the block that last used each
  uint64_t serial = 0;
  char *dynamic = nullptr;
  size_t dynamic_bytes = 0, dynamic_capacity = 0;

  uint64_t random = 1;
  bool is_random = false, is_reversed = false; // order of the threads
  uint64_t switches = 0, barriers = 0, warp_operations = 0, tile_products = 0, matrix_loads = 0,
           bank_conflicts = 0;

  std::vector<char *> stacks;
  size_t stack_bytes;
  void *main_fake = nullptr; // AddressSanitizer's view of the main stack
  const void *main_bottom = nullptr;
  unsigned long main_size = 0;

  Block();
  ~Block();
  // Runs all threads of the block to their ends, or to a fault.
  void run();
};

// A block out of a pool; state is kept as threads of the system come and go.
class Lease {
public:
  Lease();
  ~Lease();
  Block &operator*() { return *block_; }

private:
  std::unique_ptr<Block> block_;
};

uint64_t next_random(uint64_t &state);
void require_tiles(const char *instruction); // tile_operations.cpp
Fiber &running_fiber();

} // namespace emu
#endif
