// Transfers, and the threads that notice why one will never end.
#include <algorithm>

#include "cpu/comm.h"

namespace lp {

namespace {

constexpr uint64_t kNoticeSlot = ~uint64_t{0}; // its byte count is one no part has
constexpr Milliseconds kTick{100};
constexpr Milliseconds kGoodbye{500};
// A wait longer than this is told to the peer. More with each notice, as notices are kept: their
// number grows with the square root of the time spent waiting, to 80,000 in a year.
constexpr Milliseconds kLongWait{500};
constexpr Milliseconds kLongerPerNotice{10};
constexpr Milliseconds kForever = std::chrono::hours(24 * 365);

uint64_t slot_of(Space space, uint32_t tag, size_t bytes) {
  return uint64_t(space) << 63 | uint64_t(tag & 0x7fffffff) << 32 | uint64_t(bytes);
}

std::string rank_text(int rank) { return "rank " + std::to_string(rank); }

// " bytes with tag 5"
std::string kind_text(const lp_request &request) {
  return (request.space == Space::kUser ? " bytes with tag " : " bytes of round ") +
         std::to_string(request.tag);
}

// "receive 1000 bytes with tag 5 from rank 1"
std::string describe(const lp_request &request) {
  const bool send = request.direction == lp_request::kSend;
  return (send ? "send " : "receive ") + std::to_string(request.bytes) + kind_text(request) +
         (send ? " to " : " from ") + rank_text(request.peer);
}

} // namespace

// What ranks tell each other beside the transfers. Sent as it is: all ranks run one program.
struct Transfers::Notice {
  enum Kind : uint32_t { kGoodbye = 1, kWaiting = 2, kMismatch = 3 };
  Kind kind;
  lp_request::Direction direction; // of the sender of the notice, as all that follows
  Space space;
  uint32_t tag;
  uint32_t sequence;
  uint32_t reserved;
  uint64_t bytes;
};

Transfers::Transfers(std::shared_ptr<Pairs> pairs, Milliseconds timeout)
    : pairs_(std::move(pairs)), timeout_(timeout) {
  const int size = pairs_->size;
  left_.resize(size);
  settled_.resize(size);
  inbox_.resize(size);
  inbox_buffers_.resize(size);
  for (int peer = 0; peer < size; peer++) {
    if (peer == pairs_->rank) continue;
    inbox_[peer] = std::make_unique<Notice>();
    inbox_buffers_[peer] = pairs_->createUnboundBuffer(inbox_[peer].get(), sizeof(Notice));
    inbox_buffers_[peer]->recv(peer, kNoticeSlot);
  }
  for (int peer = 0; peer < size; peer++) {
    if (peer != pairs_->rank) threads_.emplace_back([this, peer] { watch(peer); });
  }
  threads_.emplace_back([this] { tick(); });
}

Transfers::~Transfers() {
  std::vector<int> peers;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
    for (int peer = 0; peer < pairs_->size; peer++) {
      if (peer != pairs_->rank && !settled_[peer]) peers.push_back(peer);
    }
    // A failed communicator is not left in order: the peers shall see it break.
    if (failure_ != LP_OK) peers.clear();
  }
  changed_.notify_all();
  // Only this thread touches the outbox from here on: handle() and the ticks see closing_.
  for (int peer : peers) send_notice(peer, {Notice::kGoodbye, {}, {}, 0, 0, 0, 0});
  const auto deadline = Clock::now() + kGoodbye;
  for (auto &[notice, buffer] : outbox_) {
    if (notice->kind != Notice::kGoodbye) continue;
    const auto left = std::chrono::duration_cast<Milliseconds>(deadline - Clock::now());
    try {
      buffer->waitSend(std::max(left, Milliseconds(1)));
    } catch (const std::exception &) {
      // The peer is already gone, or does not listen: it needs no goodbye.
    }
  }
  for (auto &buffer : inbox_buffers_) {
    if (buffer) buffer->abortWaitRecv();
  }
  for (auto &thread : threads_) thread.join();
  try {
    pairs_->closeConnections();
  } catch (const std::exception &) {
    // They are closed when the pairs are freed.
  }
  for (lp_request *request : started_) delete request; // that nobody waited for
}

std::unique_ptr<lp_request> Transfers::start(lp_request::Direction direction, Space space, void *x,
                                             size_t bytes, int peer, uint32_t tag) {
  auto request =
      std::make_unique<lp_request>(lp_request{direction, space, peer, tag, 0, bytes, {}});
  {
    std::lock_guard<std::mutex> lock(mutex_);
    throw_if_failed(*request);
    if (space == Space::kUser) {
      const uint64_t key = uint64_t(direction) << 63 | uint64_t(peer) << 31 | tag;
      request->sequence = sequences_[key]++;
    }
    started_.insert(request.get());
  }
  try {
    for (size_t begin = 0; begin < bytes; begin += kLargestPart) {
      const size_t part = std::min(kLargestPart, bytes - begin);
      auto buffer = pairs_->createUnboundBuffer(static_cast<char *>(x) + begin, part);
      if (direction == lp_request::kSend) {
        buffer->send(peer, slot_of(space, tag, part));
      } else {
        buffer->recv(peer, slot_of(space, tag, part));
      }
      request->parts.push_back(std::move(buffer));
    }
  } catch (const std::exception &) { // the socket is closed
    forget(request.get());
    end_by_loss(*request);
  }
  return request;
}

void Transfers::wait(std::unique_ptr<lp_request> request) {
  struct Forget { // runs before the request is freed
    Transfers *transfers;
    lp_request *request;
    ~Forget() { transfers->forget(request); }
  } forget_at_end{this, request.get()};
  {
    std::lock_guard<std::mutex> lock(mutex_);
    throw_if_failed(*request);
    waiting_ = request.get();
    waiting_since_ = Clock::now();
    reported_ = false;
    if (left_[request->peer]) interrupt();
  }
  for (auto &part : request->parts) wait_part(*part, *request);
}

void Transfers::drop(std::unique_ptr<lp_request> request) {
  if (request) forget(request.get());
}

// No time-out is given to Gloo: it closes every pair when one expires, and so hides the reason.
void Transfers::wait_part(gloo::transport::UnboundBuffer &part, const lp_request &request) {
  const bool send = request.direction == lp_request::kSend;
  try {
    if (send ? part.waitSend(kForever) : part.waitRecv(kForever)) return;
    // Interrupted. What had arrived before counts.
    if (send ? part.waitSend(Milliseconds(1)) : part.waitRecv(Milliseconds(1))) return;
  } catch (const std::exception &) {
    // The pair is closed, or the millisecond is over.
  }
  end_by_loss(request);
}

// The pair of the request is closed: the communicator ends, unless it is known why it has.
void Transfers::end_by_loss(const lp_request &request) {
  std::unique_lock<std::mutex> lock(mutex_);
  // The watcher of the peer may still be about to read its last words.
  changed_.wait_for(lock, Milliseconds(100),
                    [&] { return failure_ != LP_OK || settled_[request.peer]; });
  const char *reason = left_[request.peer] ? " has left" : " is gone";
  lock.unlock();
  end(LP_ELOST, rank_text(request.peer) + reason);
  lock.lock();
  throw_if_failed(request);
}

void Transfers::end(lp_status status, const std::string &text) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (failure_ == LP_OK) {
    failure_ = status;
    failure_text_ = text;
  }
  if (waiting_ != nullptr) interrupt();
}

// Ends the wait under way. mutex_ is held.
void Transfers::interrupt() {
  for (auto &part : waiting_->parts) {
    if (waiting_->direction == lp_request::kSend) {
      part->abortWaitSend();
    } else {
      part->abortWaitRecv();
    }
  }
}

void Transfers::forget(lp_request *request) {
  std::lock_guard<std::mutex> lock(mutex_);
  started_.erase(request);
  if (waiting_ == request) waiting_ = nullptr;
}

void Transfers::throw_if_failed(const lp_request &request) {
  if (failure_ == LP_OK) return;
  throw Failure(failure_, "cannot " + describe(request) + ": " + failure_text_);
}

// ---- What the other ranks tell ------------------------------------------------------------------

void Transfers::watch(int peer) {
  auto &buffer = *inbox_buffers_[peer];
  bool lost = false;
  try {
    while (buffer.waitRecv(kForever)) {
      if (inbox_[peer]->kind == Notice::kGoodbye) break;
      handle(peer, *inbox_[peer]); // before the next receive, which fails if the peer is gone
      buffer.recv(peer, kNoticeSlot);
    }
  } catch (const std::exception &) {
    lost = true;
  }
  std::unique_lock<std::mutex> lock(mutex_);
  settled_[peer] = 1;
  changed_.notify_all();
  if (closing_) return;
  if (lost) {
    lock.unlock();
    end(LP_ELOST, rank_text(peer) + " is gone");
    return;
  }
  left_[peer] = 1;
  // Others may still talk to each other; only a wait for this peer can never end.
  if (waiting_ != nullptr && waiting_->peer == peer) interrupt();
}

// The peer waits for something, or found that this rank asks for another size.
void Transfers::handle(int peer, const Notice &notice) {
  std::string text;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closing_) return;
    const auto counterpart = std::find_if(started_.begin(), started_.end(), [&](lp_request *r) {
      return r->peer == peer && r->direction != notice.direction && r->space == notice.space &&
             r->tag == notice.tag && r->sequence == notice.sequence && r->bytes != notice.bytes;
    });
    if (counterpart == started_.end()) return;
    const lp_request &mine = **counterpart;
    text = rank_text(peer) + " gives " + std::to_string(notice.bytes) + kind_text(mine) +
           ", this rank " + std::to_string(mine.bytes);
    if (notice.kind == Notice::kWaiting) {
      send_notice(peer, {Notice::kMismatch, mine.direction, mine.space, mine.tag, mine.sequence, 0,
                         mine.bytes});
    }
  }
  end(LP_EINVAL, text);
}

// Once per tick: has the wait under way passed its deadline, or lasted long enough to ask the peer?
void Transfers::tick() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!closing_) {
    changed_.wait_for(lock, kTick);
    if (closing_ || waiting_ == nullptr || failure_ != LP_OK) continue;
    const lp_request &r = *waiting_;
    const auto waited = Clock::now() - waiting_since_;
    const auto long_wait = kLongWait + outbox_.size() * kLongerPerNotice;
    if (waited > timeout_) {
      const std::string text = rank_text(r.peer) + " did not answer within " +
                               std::to_string(timeout_.count()) + " ms";
      lock.unlock();
      end(LP_ETIMEOUT, text);
      lock.lock();
    } else if (waited > long_wait && !reported_ && !settled_[r.peer]) {
      reported_ = true;
      send_notice(r.peer, {Notice::kWaiting, r.direction, r.space, r.tag, r.sequence, 0, r.bytes});
    }
  }
}

// Nobody waits for it to arrive, so what is sent is kept until the end: Gloo would stop sending to
// the peer altogether if a buffer were freed too early. mutex_ is held, or no other thread sends.
void Transfers::send_notice(int peer, const Notice &notice) {
  try {
    auto copy = std::make_unique<Notice>(notice);
    auto buffer = pairs_->createUnboundBuffer(copy.get(), sizeof(Notice));
    buffer->send(peer, kNoticeSlot);
    outbox_.emplace_back(std::move(copy), std::move(buffer));
  } catch (const std::exception &) {
    // The peer is gone: its watcher says so.
  }
}

} // namespace lp
