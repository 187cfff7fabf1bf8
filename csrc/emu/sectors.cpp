#include "emu/sectors.h"

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <stdint.h>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "emu/memory.h"
#include "llmpipe.h"

namespace emu::sectors {

namespace {
constexpr uintptr_t kSector = 32;

struct Piece {
  uintptr_t begin, end;
};
struct Request {
  bool write;
  std::vector<Piece> pieces;
};
struct Sums {
  uint64_t moved[2] = {}, used[2] = {}; // bytes, read and written
};

std::atomic<bool> on{false};
std::mutex mutex;
// Of the block that runs: how often each thread executed an instruction, and the requests
std::map<std::pair<const void *, unsigned>, unsigned> executions;
std::map<std::tuple<const void *, unsigned, unsigned>, Request> requests;
std::unordered_map<const void *, Sums> sums; // by buffer

void add(const Request &request) {
  std::set<uintptr_t> sectors, bytes;
  for (const Piece &piece : request.pieces) {
    for (uintptr_t at = piece.begin; at < piece.end; at++) bytes.insert(at);
    for (uintptr_t at = piece.begin / kSector; at <= (piece.end - 1) / kSector; at++)
      sectors.insert(at);
  }
  Sums &of = sums[buffer_of(reinterpret_cast<const void *>(request.pieces[0].begin))];
  of.moved[request.write] += sectors.size() * kSector;
  of.used[request.write] += bytes.size();
}
} // namespace

void access(const void *p, size_t bytes, bool write, unsigned thread, const void *from) {
  if (!on) return;
  const unsigned n = executions[{from, thread}]++;
  Request &request = requests[{from, thread / 32, n}];
  request.write = write;
  const auto begin = reinterpret_cast<uintptr_t>(p);
  request.pieces.push_back({begin, begin + bytes});
}

void end_block() {
  if (!on) return;
  std::lock_guard lock(mutex);
  for (const auto &[key, request] : requests) add(request);
  requests.clear();
  executions.clear();
}

} // namespace emu::sectors

// ---- for tests -------------------------------------------------------------------------------

extern "C" {

// Begins to count anew, or ends it.
LP_API void emu_count_sectors(int32_t on) {
  std::lock_guard lock(emu::sectors::mutex);
  if (on != 0) emu::sectors::sums.clear();
  emu::sectors::on = on != 0;
}

// out [4] overwritten: of a buffer from lp_alloc, the bytes of sectors read, those of them that were
// asked for, and the same of sectors written
LP_API void emu_sectors(const void *buffer, uint64_t *out) {
  std::lock_guard lock(emu::sectors::mutex);
  const auto of = emu::sectors::sums[buffer];
  for (int write = 0; write < 2; write++) {
    *out++ = of.moved[write];
    *out++ = of.used[write];
  }
}
}
