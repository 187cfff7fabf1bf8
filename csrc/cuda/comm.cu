// Communicators: create, exchange addresses, connect; and what is noticed of failures.
#include "cuda/comm.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>

namespace lp {

namespace {
// What a rank publishes: how many ranks it expects, and names of channels that it makes.
struct Address {
  uint32_t size;
  ncclUniqueId all, next, previous; // of rank 0; to the next rank; to the one before
};

// A channel from one rank to its neighbour on the ring.
struct Way {
  int from, to;
  bool is_next;
};

// All channels of a ring in an order in which every rank can connect its own: neighbours take
// turns, so that most connect at the same time.
std::vector<Way> ways_of(int size) {
  std::vector<Way> ways;
  const auto add = [&](int k) {
    const int next = (k + 1) % size;
    ways.push_back({k, next, true});
    if (size > 2) ways.push_back({next, k, false});
  };
  if (size == 2) {
    add(0);
    add(1);
    return ways;
  }
  const int even = size % 2 == 0 ? size : size - 1; // the last way of an odd ring comes last
  for (int parity = 0; parity < 2; parity++)
    for (int k = parity; k < even; k += 2) add(k);
  if (even != size) add(size - 1);
  return ways;
}

std::string describe_result(const Channel &channel, ncclResult_t result) {
  const char *last = nccl().get_last_error(channel.comm);
  std::string text = nccl().get_error_string(result);
  if (last != nullptr && *last != '\0') text += std::string(" (") + last + ")";
  return text;
}

template <class Run> void for_channels(lp_comm *comm, Run run) {
  if (comm->all.comm != nullptr) run(comm->all);
  for (auto *ways : {&comm->to, &comm->from})
    for (auto &[rank, channel] : *ways)
      if (channel.comm != nullptr) run(channel);
}

void open(lp_comm *comm, Channel &channel, ncclUniqueId id, int size, int rank) {
  check(cudaStreamCreateWithFlags(&channel.stream, cudaStreamNonBlocking),
        "cudaStreamCreateWithFlags");
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0; // so that a peer that never comes is noticed here
  check(comm, channel, nccl().comm_init(&channel.comm, size, id, rank, &config),
        "ncclCommInitRankConfig");
}

// Ends what is under way on the channel: in order if that comes in time.
void drain(lp_comm *comm, Channel &channel) {
  if (channel.comm == nullptr || comm->failure != LP_OK) return;
  try {
    finish(comm->ctx, channel.stream);
  } catch (const Failure &failure) { // of a peer, or of the device: nobody waits for this rank
    if (comm->failure != LP_OK) return;
    comm->failure = failure.status;
    for_channels(comm, [](Channel &each) { nccl().comm_abort(each.comm); });
  }
}

// Frees what the channel holds on the host and, unless it was aborted, its communicator.
void close(lp_comm *comm, Channel &channel) {
  if (channel.comm != nullptr && comm->failure == LP_OK) {
    if (nccl().comm_finalize(channel.comm) == ncclInProgress) {
      ncclResult_t state = ncclInProgress;
      while (nccl().comm_get_async_error(channel.comm, &state) == ncclSuccess &&
             state == ncclInProgress)
        usleep(100);
    }
    nccl().comm_destroy(channel.comm);
  }
  channel.started.clear();
  if (channel.stream != nullptr) cudaStreamDestroy(channel.stream);
}

std::vector<Address> read_addresses(const lp_comm *comm, const void *blobs, size_t bytes) {
  std::vector<Address> all((size_t)comm->size);
  const char *at = static_cast<const char *>(blobs);
  const size_t each = sizeof(uint64_t) + sizeof(Address);
  LP_CHECK(bytes == each * all.size(), "the addresses of %d ranks must have %zu bytes, found %zu",
           comm->size, each * all.size(), bytes);
  for (int r = 0; r < comm->size; r++, at += each) {
    uint64_t length;
    memcpy(&length, at, sizeof length);
    LP_CHECK(length == sizeof(Address), "the address of rank %d must have %zu bytes, found %llu", r,
             sizeof(Address), (unsigned long long)length);
    memcpy(&all[(size_t)r], at + sizeof length, sizeof(Address));
    LP_CHECK(all[(size_t)r].size == (uint32_t)comm->size,
             "rank %d must be in a group of %d ranks, found %u", r, comm->size,
             all[(size_t)r].size);
  }
  return all;
}
} // namespace

Mark make_mark() {
  cudaEvent_t event;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  return Mark(event, [](cudaEvent_t old) { cudaEventDestroy(old); });
}

void end(lp_comm *comm, lp_status status, const std::string &text) {
  if (comm->failure == LP_OK) {
    comm->failure = status;
    comm->failure_text = text;
    for_channels(comm, [](Channel &channel) { nccl().comm_abort(channel.comm); });
  }
  fail(comm->failure, "%s", comm->failure_text.c_str());
}

void expect_usable(lp_comm *comm) {
  LP_CHECK(comm->is_connected || comm->size == 1, "lp_comm_connect must come first");
  if (comm->is_aborted) end(comm, LP_ELOST, "the communicator was aborted");
  if (comm->failure != LP_OK) fail(comm->failure, "%s", comm->failure_text.c_str());
}

void check(lp_comm *comm, const Channel &channel, ncclResult_t result, const char *call) {
  const auto begin = Clock::now();
  while (result == ncclInProgress) {
    if (comm->is_aborted) end(comm, LP_ELOST, "the communicator was aborted");
    if (Clock::now() - begin > comm->timeout)
      end(comm, LP_ETIMEOUT,
          std::string(call) + ": " +
              (channel.peer < 0 ? "the other ranks" : "rank " + std::to_string(channel.peer)) +
              " did not answer in " + std::to_string(comm->timeout.count()) + " ms");
    usleep(50);
    const ncclResult_t asked = nccl().comm_get_async_error(channel.comm, &result);
    if (asked != ncclSuccess) result = asked;
  }
  if (result == ncclSuccess) return;
  const std::string text = std::string(call) + ": " + describe_result(channel, result);
  end(comm, result == ncclRemoteError ? LP_ELOST : LP_EDEVICE, text);
}

void watch(lp_comm *comm, Clock::duration waited) {
  expect_usable(comm);
  for_channels(comm, [&](Channel &channel) {
    ncclResult_t state = ncclSuccess;
    const ncclResult_t asked = nccl().comm_get_async_error(channel.comm, &state);
    if (asked != ncclSuccess) state = asked;
    while (!channel.started.empty() && cudaEventQuery(channel.started[0].done.get()) == cudaSuccess)
      channel.started.pop_front();
    const std::string doing =
        ": rank " + std::to_string(comm->rank) + " " +
        (!channel.started.empty() ? channel.started[0].text
         : channel.peer < 0       ? "is in a collective of " + std::to_string(comm->size) + " ranks"
                                  : "exchanges with rank " + std::to_string(channel.peer));
    if (state != ncclSuccess && state != ncclInProgress)
      end(comm, state == ncclRemoteError ? LP_ELOST : LP_EDEVICE,
          describe_result(channel, state) + doing);
    if (waited > comm->timeout && !channel.started.empty())
      end(comm, LP_ETIMEOUT,
          "no answer in " + std::to_string(comm->timeout.count()) + " ms" + doing);
  });
}

void finish(lp_ctx *ctx, cudaStream_t stream) {
  if (ctx->comms.empty()) return check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  const auto begin = Clock::now();
  auto watched = begin;
  for (;;) {
    const cudaError_t state = cudaStreamQuery(stream);
    if (state == cudaSuccess) return;
    if (state != cudaErrorNotReady) check(state, "cudaStreamQuery");
    const auto now = Clock::now();
    if (now - watched > std::chrono::milliseconds(1)) {
      watched = now;
      for (lp_comm *comm : ctx->comms) watch(comm, now - begin);
    }
    sched_yield();
  }
}

Channel *channel_of(lp_comm *comm, bool is_send, int peer, int *number) {
  auto &ways = is_send ? comm->to : comm->from;
  const auto found = ways.find(peer);
  *number = found == ways.end() ? peer : is_send ? 1 : 0;
  return found == ways.end() ? &comm->all : &found->second;
}

void begin(lp_comm *comm, Channel &channel) {
  check(cudaEventRecord(comm->ctx->order, comm->ctx->stream()), "cudaEventRecord");
  check(cudaStreamWaitEvent(channel.stream, comm->ctx->order, 0), "cudaStreamWaitEvent");
}

Mark mark(Channel &channel, std::string text) {
  while (!channel.started.empty() && cudaEventQuery(channel.started[0].done.get()) == cudaSuccess)
    channel.started.pop_front();
  const Mark done = make_mark();
  check(cudaEventRecord(done.get(), channel.stream), "cudaEventRecord");
  channel.started.push_back({done, std::move(text)});
  return done;
}

void join(lp_comm *comm, const Mark &mark) {
  check(cudaStreamWaitEvent(comm->ctx->stream(), mark.get(), 0), "cudaStreamWaitEvent");
}

} // namespace lp

using namespace lp;

lp_status lp_comm_create(lp_ctx *ctx, int32_t rank, int32_t size, const char *, int32_t timeout_ms,
                         lp_comm **out) {
  return guard_measured(ctx, "comm_create", [&] {
    ctx->held.require_device("communicators");
    LP_CHECK_POINTERS(out);
    *out = nullptr;
    LP_CHECK(size >= 1, "size must be >= 1, found %d", size);
    LP_CHECK(rank >= 0 && rank < size, "rank must be in [0, %d), found %d", size, rank);
    LP_CHECK(timeout_ms >= 1, "timeout_ms must be >= 1, found %d", timeout_ms);
    auto comm = std::make_unique<lp_comm>();
    comm->ctx = ctx;
    comm->rank = rank;
    comm->size = size;
    comm->timeout = std::chrono::milliseconds(timeout_ms);
    if (size > 1) {
      Address address{};
      address.size = (uint32_t)size;
      const auto name = [&](ncclUniqueId &id, bool is_needed) {
        if (is_needed) check(comm.get(), comm->all, nccl().get_unique_id(&id), "ncclGetUniqueId");
      };
      name(address.all, rank == 0);
      name(address.next, true);
      name(address.previous, size > 2);
      const auto *bytes = reinterpret_cast<const char *>(&address);
      comm->address.assign(bytes, bytes + sizeof address);
    }
    ctx->comms.push_back(comm.get());
    *out = comm.release();
  });
}

lp_status lp_comm_address(lp_comm *comm, void *blob, size_t capacity, size_t *bytes) {
  return comm_call(comm, "comm_address", [&] {
    LP_CHECK_POINTERS(bytes);
    const size_t length = comm->address.size();
    *bytes = length;
    if (capacity == 0 || length == 0) return; // only the length is asked for
    LP_CHECK(capacity >= length, "capacity must be >= %zu, found %zu", length, capacity);
    LP_CHECK_POINTERS(blob);
    memcpy(blob, comm->address.data(), length);
  });
}

lp_status lp_comm_connect(lp_comm *comm, const void *blobs, size_t bytes) {
  return comm_call(comm, "comm_connect", [&] {
    if (comm->size == 1) return;
    LP_CHECK(!comm->is_connected && comm->all.comm == nullptr, "a communicator is connected once");
    LP_CHECK_POINTERS(blobs);
    const std::vector<Address> addresses = read_addresses(comm, blobs, bytes);
    open(comm, comm->all, addresses[0].all, comm->size, comm->rank);
    for (const Way &way : ways_of(comm->size)) {
      if (way.from != comm->rank && way.to != comm->rank) continue;
      const bool is_send = way.from == comm->rank;
      Channel &channel = is_send ? comm->to[way.to] : comm->from[way.from];
      channel.peer = is_send ? way.to : way.from;
      const Address &maker = addresses[(size_t)way.from];
      open(comm, channel, way.is_next ? maker.next : maker.previous, 2, is_send ? 0 : 1);
    }
    comm->flag = static_cast<float *>(allocate(comm->ctx, sizeof(float), comm->ctx->streams[0]));
    check(cudaMemsetAsync(comm->flag, 0, sizeof(float), comm->ctx->streams[0]), "cudaMemsetAsync");
    check(cudaStreamSynchronize(comm->ctx->streams[0]), "cudaStreamSynchronize");
    comm->is_connected = true;
  });
}

lp_status lp_comm_destroy(lp_comm *comm) {
  if (comm == nullptr) return LP_OK;
  lp_ctx *ctx = comm->ctx;
  return guard(ctx, "comm_destroy", [&] {
    const std::unique_ptr<lp_comm> owned(comm);
    if (comm->is_aborted && comm->failure == LP_OK) { // peers must not wait for this rank
      comm->failure = LP_ELOST;
      for_channels(comm, [](Channel &channel) { nccl().comm_abort(channel.comm); });
    }
    for_channels(comm, [&](Channel &channel) { drain(comm, channel); });
    ctx->comms.erase(std::remove(ctx->comms.begin(), ctx->comms.end(), comm), ctx->comms.end());
    close(comm, comm->all);
    for (auto *ways : {&comm->to, &comm->from})
      for (auto &[rank, channel] : *ways) close(comm, channel);
    if (comm->flag != nullptr) release(ctx, comm->flag, ctx->streams[0]);
  });
}

lp_status lp_comm_abort(lp_comm *comm) {
  if (comm != nullptr) comm->is_aborted = true; // whoever waits sees it
  return LP_OK;
}
