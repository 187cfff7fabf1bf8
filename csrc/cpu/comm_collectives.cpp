// Collectives, from transfers between every two ranks.
//
// Reductions go straight: each rank owns a part, receives it from all others, adds in rank order,
// and sends the result back. Element by element the sum is ((x0 + x1) + x2) + ..., whatever the
// sizes, so it depends on rank numbers alone; bf16 and f16 are rounded once, at the end. As much
// travels as in a ring, in 2 steps instead of 2 (size - 1). Large vectors go in segments, so that
// the next one travels while this one is added and the scratch stays small.
#include <string.h>

#include <algorithm>

#include "cpu/comm.h"
#include "cpu/comm_reduce.h"
#include "cpu/dtype.h"

namespace lp {

namespace {

constexpr size_t kBlockBytes = size_t{1} << 20; // of one rank's part of a segment
constexpr size_t kSmallBytes = size_t{1} << 14; // below, everyone gets everything: one step

// Transfers of one collective under way.
class Round {
public:
  explicit Round(lp_comm *comm) : comm_(comm), tag_(comm->round++ & 0x7fffffff) {}
  Round(Round &&) = default;
  ~Round() { // after a failure some are still under way
    for (auto *list : {&receives_, &sends_}) {
      for (auto &request : *list) transfers_of(comm_).drop(std::move(request));
    }
  }

  void send(const void *x, size_t bytes, int peer) {
    add(lp_request::kSend, const_cast<void *>(x), bytes, peer);
  }
  void receive(void *x, size_t bytes, int peer) { add(lp_request::kReceive, x, bytes, peer); }

  void wait_receives() { wait_all(receives_); }
  void wait() {
    wait_all(receives_);
    wait_all(sends_);
  }

private:
  using Requests = std::vector<std::unique_ptr<lp_request>>;

  void add(lp_request::Direction direction, void *x, size_t bytes, int peer) {
    if (bytes == 0) return;
    auto &list = direction == lp_request::kSend ? sends_ : receives_;
    list.push_back(transfers_of(comm_).start(direction, Space::kCollective, x, bytes, peer, tag_));
  }

  void wait_all(Requests &requests) {
    for (auto &request : requests) transfers_of(comm_).wait(std::move(request));
    requests.clear();
  }

  lp_comm *comm_;
  uint32_t tag_;
  Requests receives_;
  Requests sends_;
};

// Calls use(peer) for all other ranks, each rank starting behind itself, so that not all send to
// rank 0 first.
template <class F> void each_peer(const lp_comm *comm, F use) {
  for (int i = 1; i < comm->size; i++) use((comm->rank + i) % comm->size);
}

struct Block {
  size_t begin; // elements
  size_t count;
};

// One segment of a reduction: the block that each rank owns, as it travels.
struct Segment {
  explicit Segment(lp_comm *comm) : gather(comm), scatter(comm) {}
  Round gather;  // contributions to the owner
  Round scatter; // results from the owner
  std::vector<Block> blocks;
  char *scratch;
};

class Reduction {
public:
  Reduction(lp_comm *comm, char *x, Op op, lp_dtype dtype)
      : comm_(comm), x_(x), op_(op), dtype_(dtype), width_(bytes_of(dtype)) {}

  // Starts to collect the block this rank owns. Alternates between two halves of the scratch.
  Segment collect(std::vector<Block> blocks) {
    Segment s(comm_);
    s.blocks = std::move(blocks);
    s.scratch = comm_->scratch.get() + (turn_++ % 2) * (comm_->size - 1) * kBlockBytes;
    const size_t mine = s.blocks[comm_->rank].count * width_;
    each_peer(comm_, [&](int peer) { s.gather.receive(contribution(s, peer), mine, peer); });
    each_peer(comm_, [&](int peer) {
      const Block &b = s.blocks[peer];
      s.gather.send(x_ + b.begin * width_, b.count * width_, peer);
    });
    return s;
  }

  void reduce(Segment &s, void *y) {
    s.gather.wait_receives();
    const Block &mine = s.blocks[comm_->rank];
    std::vector<const void *> parts(comm_->size, x_ + mine.begin * width_);
    each_peer(comm_, [&](int peer) { parts[peer] = contribution(s, peer); });
    reduce_in_order(parts, y, mine.count, op_, dtype_);
  }

  // Sends the reduced block to all, and starts to receive theirs.
  void distribute(Segment &s) {
    const Block &mine = s.blocks[comm_->rank];
    each_peer(comm_, [&](int peer) {
      const Block &b = s.blocks[peer];
      s.scatter.receive(x_ + b.begin * width_, b.count * width_, peer);
    });
    each_peer(comm_, [&](int peer) {
      s.scatter.send(x_ + mine.begin * width_, mine.count * width_, peer);
    });
  }

  void *block(const Segment &s) { return x_ + s.blocks[comm_->rank].begin * width_; }
  size_t block_capacity() const { return kBlockBytes / width_; }

private:
  char *contribution(const Segment &s, int peer) {
    return s.scratch + (peer < comm_->rank ? peer : peer - 1) * kBlockBytes;
  }

  lp_comm *comm_;
  char *x_;
  Op op_;
  lp_dtype dtype_;
  size_t width_;
  int turn_ = 0;
};

void all_reduce_small(lp_comm *comm, char *x, size_t n, Op op, lp_dtype dtype) {
  const size_t bytes = n * bytes_of(dtype);
  Round round(comm);
  std::vector<const void *> parts(comm->size, x);
  // x is sent while the result would be written: the own part is kept aside as well.
  char *mine = comm->scratch.get();
  memcpy(mine, x, bytes);
  parts[comm->rank] = mine;
  each_peer(comm, [&](int peer) {
    char *theirs = comm->scratch.get() + (peer < comm->rank ? peer + 1 : peer) * kSmallBytes;
    parts[peer] = theirs;
    round.receive(theirs, bytes, peer);
  });
  each_peer(comm, [&](int peer) { round.send(mine, bytes, peer); });
  round.wait();
  reduce_in_order(parts, x, n, op, dtype);
}

void all_reduce_large(lp_comm *comm, char *x, size_t n, Op op, lp_dtype dtype) {
  Reduction reduction(comm, x, op, dtype);
  const size_t size = comm->size;
  std::vector<Segment> segments;
  size_t begin = 0;
  const auto collect_next = [&] {
    const size_t length = std::min(n - begin, size * reduction.block_capacity());
    const size_t count = (length + size - 1) / size;
    std::vector<Block> blocks;
    for (size_t rank = 0; rank < size; rank++) {
      const size_t from = std::min(rank * count, length);
      blocks.push_back({begin + from, std::min(count, length - from)});
    }
    begin += length;
    segments.push_back(reduction.collect(std::move(blocks)));
  };
  collect_next();
  for (size_t i = 0; i < segments.size(); i++) {
    if (begin < n) collect_next();
    reduction.reduce(segments[i], reduction.block(segments[i]));
    reduction.distribute(segments[i]);
    if (i == 0) continue;
    segments[i - 1].gather.wait();
    segments[i - 1].scatter.wait();
  }
  segments.back().gather.wait();
  segments.back().scatter.wait();
}

void reduce_scatter(lp_comm *comm, char *x, char *y, size_t n, Op op, lp_dtype dtype) {
  Reduction reduction(comm, x, op, dtype);
  const size_t width = bytes_of(dtype);
  std::vector<Segment> segments;
  size_t begin = 0;
  const auto collect_next = [&] {
    const size_t count = std::min(n - begin, reduction.block_capacity());
    std::vector<Block> blocks;
    for (int rank = 0; rank < comm->size; rank++) blocks.push_back({rank * n + begin, count});
    begin += count;
    segments.push_back(reduction.collect(std::move(blocks)));
  };
  collect_next();
  size_t done = 0;
  for (size_t i = 0; i < segments.size(); i++) {
    if (begin < n) collect_next();
    reduction.reduce(segments[i], y + done * width);
    done += segments[i].blocks[comm->rank].count;
    segments[i].gather.wait();
  }
}

} // namespace

size_t scratch_bytes(int size) {
  return std::max(2 * (size - 1) * kBlockBytes, size * kSmallBytes);
}

} // namespace lp

using namespace lp;

extern "C" {

lp_status lp_all_reduce(lp_comm *comm, void *x, size_t n, int32_t op, lp_dtype dtype) {
  return comm_call(comm, "all_reduce", [&] {
    check_reducible(op, dtype);
    if (n == 0 || comm->size == 1) return;
    LP_CHECK_POINTERS(x);
    char *bytes = static_cast<char *>(x);
    if (n * bytes_of(dtype) <= kSmallBytes) {
      all_reduce_small(comm, bytes, n, Op(op), dtype);
    } else {
      all_reduce_large(comm, bytes, n, Op(op), dtype);
    }
  });
}

lp_status lp_reduce_scatter(lp_comm *comm, void *x, void *y, size_t n, int32_t op,
                            lp_dtype dtype) {
  return comm_call(comm, "reduce_scatter", [&] {
    check_reducible(op, dtype);
    if (n == 0) return;
    LP_CHECK_POINTERS(x, y);
    if (comm->size == 1) {
      memmove(y, x, n * bytes_of(dtype));
    } else {
      reduce_scatter(comm, static_cast<char *>(x), static_cast<char *>(y), n, Op(op), dtype);
    }
  });
}

lp_status lp_all_gather(lp_comm *comm, const void *x, void *y, size_t bytes) {
  return comm_call(comm, "all_gather", [&] {
    if (bytes == 0) return;
    LP_CHECK_POINTERS(x);
    LP_CHECK_POINTERS(y);
    char *all = static_cast<char *>(y);
    char *mine = all + comm->rank * bytes;
    Round round(comm);
    each_peer(comm, [&](int peer) { round.receive(all + peer * bytes, bytes, peer); });
    each_peer(comm, [&](int peer) { round.send(x, bytes, peer); });
    if (mine != x) memcpy(mine, x, bytes);
    round.wait();
  });
}

// A binomial tree: in step s the first s ranks, counted from the root, send s places further.
lp_status lp_broadcast(lp_comm *comm, void *x, size_t bytes, int32_t root) {
  return comm_call(comm, "broadcast", [&] {
    LP_CHECK(root >= 0 && root < comm->size, "root must be in [0, %d), found %d", comm->size,
             root);
    if (bytes == 0) return;
    LP_CHECK_POINTERS(x);
    const int place = (comm->rank - root + comm->size) % comm->size;
    const auto rank_at = [&](int other) { return (other + root) % comm->size; };
    Round round(comm);
    for (int step = 1; step < comm->size; step *= 2) {
      if (place >= step && place < 2 * step) {
        round.receive(x, bytes, rank_at(place - step));
        round.wait_receives();
      } else if (place < step && place + step < comm->size) {
        round.send(x, bytes, rank_at(place + step));
      }
    }
    round.wait();
  });
}

lp_status lp_all_to_all(lp_comm *comm, const void *x, void *y, size_t bytes) {
  return comm_call(comm, "all_to_all", [&] {
    if (bytes == 0) return;
    LP_CHECK_POINTERS(x);
    LP_CHECK_POINTERS(y);
    const char *from = static_cast<const char *>(x);
    char *to = static_cast<char *>(y);
    Round round(comm);
    each_peer(comm, [&](int peer) { round.receive(to + peer * bytes, bytes, peer); });
    each_peer(comm, [&](int peer) { round.send(from + peer * bytes, bytes, peer); });
    memcpy(to + comm->rank * bytes, from + comm->rank * bytes, bytes);
    round.wait();
  });
}

// Dissemination (Hensgen, Finkel, Manber 1988): after the step s everyone knows of 2 s ranks.
lp_status lp_barrier(lp_comm *comm) {
  return comm_call(comm, "barrier", [&] {
    for (int step = 1; step < comm->size; step *= 2) {
      char token = 0, received;
      Round round(comm);
      round.receive(&received, 1, (comm->rank - step + comm->size) % comm->size);
      round.send(&token, 1, (comm->rank + step) % comm->size);
      round.wait();
    }
  });
}
}
