// The communicator of the CPU backend: Gloo's TCP transport between processes, without a store.
//
// What Gloo gives: pairs of connected sockets, one epoll thread per device, and buffers that are
// sent and received under a 64-bit slot in the order they were posted. What it lacks, and what is
// added here (measured in 20220518, unchanged in 20231202):
//   - A message longer than its receive buffer ends the process (an exception in the epoll thread).
//     So the slot holds the byte count: messages of unequal size never meet. It costs nothing.
//   - A peer that dies in the middle of a message is noticed only by the time-out. So every peer is
//     watched by a thread that waits for a notice from it; its failure ends all waits.
//   - A request that can never be met is silent. So a rank that waits long tells its peer for what,
//     and the peer compares that with its own requests.
#ifndef LLMPIPE_CPU_COMM_H
#define LLMPIPE_CPU_COMM_H

#include <gloo/context.h>
#include <gloo/transport/unbound_buffer.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cpu/context.h"
#include "llmpipe.h"

namespace lp {

using Milliseconds = std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using Buffer = std::unique_ptr<gloo::transport::UnboundBuffer>;

// The pairs of one communicator, connected without a store.
class Pairs : public gloo::Context {
public:
  Pairs(int rank, int size, const std::string &host, Milliseconds timeout);
};

// Messages longer than this travel as several: a slot has 32 bits for the byte count.
constexpr size_t kLargestPart = size_t{1} << 30;

// Whose tag a slot holds: the caller's, or the number of a round of a collective.
enum class Space : uint32_t { kUser = 0, kCollective = 1 };

} // namespace lp

struct lp_request {
  enum Direction : uint32_t { kSend = 0, kReceive = 1 };
  Direction direction;
  lp::Space space;
  int peer;
  uint32_t tag;
  uint32_t sequence; // among the user's transfers of this direction, peer and tag
  size_t bytes;
  std::vector<lp::Buffer> parts;
};

namespace lp {

// Starts and ends transfers, and notices what stands in their way: peers that died or left, peers
// that ask for another size, deadlines.
class Transfers {
public:
  Transfers(std::shared_ptr<Pairs> pairs, Milliseconds timeout);
  // Tells the peers that this is an orderly end.
  ~Transfers();

  std::unique_ptr<lp_request> start(lp_request::Direction direction, Space space, void *x,
                                    size_t bytes, int peer, uint32_t tag);
  void wait(std::unique_ptr<lp_request> request);
  // Gives up a transfer: only after a failure.
  void drop(std::unique_ptr<lp_request> request);
  // Ends every wait, now and later, with the failure. The first failure stays.
  void end(lp_status status, const std::string &text);

private:
  struct Notice;

  void watch(int peer);
  void handle(int peer, const Notice &notice);
  void tick();
  void interrupt();
  void send_notice(int peer, const Notice &notice);
  void forget(lp_request *request);
  void throw_if_failed(const lp_request &request);
  void end_by_loss(const lp_request &request);
  void wait_part(gloo::transport::UnboundBuffer &part, const lp_request &request);

  std::shared_ptr<Pairs> pairs_;
  const Milliseconds timeout_;

  std::mutex mutex_; // everything below
  std::condition_variable changed_;
  std::unordered_set<lp_request *> started_;
  std::unordered_map<uint64_t, uint32_t> sequences_;
  lp_request *waiting_ = nullptr;
  Clock::time_point waiting_since_;
  bool reported_ = false;
  lp_status failure_ = LP_OK;
  std::string failure_text_;
  std::vector<char> left_;    // peers that said goodbye
  std::vector<char> settled_; // peers of which nothing more will be heard
  bool closing_ = false;

  std::vector<std::unique_ptr<Notice>> inbox_;
  std::vector<Buffer> inbox_buffers_;
  std::vector<std::pair<std::unique_ptr<Notice>, Buffer>> outbox_;
  std::vector<std::thread> threads_;
};

} // namespace lp

struct lp_comm {
  lp_ctx *ctx;
  int rank;
  int size;
  lp::Milliseconds timeout;
  std::shared_ptr<lp::Pairs> pairs; // null when alone
  std::vector<char> address;
  std::unique_ptr<lp::Transfers> transfers; // null before connect, and when alone
  std::unique_ptr<char[]> scratch;          // contributions of the peers to a reduction
  uint32_t round = 0;                       // tag of the next round of a collective
  int group_depth = 0;
};

namespace lp {

// Bytes of scratch that reductions among `size` ranks need.
size_t scratch_bytes(int size);

// Runs a call on a communicator; what it throws becomes a status and a text of its context.
template <class Run> lp_status comm_call(lp_comm *comm, const char *what, Run &&run) {
  return guard(comm == nullptr ? nullptr : comm->ctx, what, run);
}

inline Transfers &transfers_of(lp_comm *comm) {
  if (!comm->transfers) fail(LP_EINVAL, "lp_comm_connect must come first");
  return *comm->transfers;
}

} // namespace lp

#endif
