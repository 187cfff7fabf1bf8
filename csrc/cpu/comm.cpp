// Communicators: create, exchange addresses, connect; then transfers between two ranks.
#include "cpu/comm.h"

#include <gloo/transport/address.h>
#include <gloo/transport/context.h>
#include <gloo/transport/pair.h>
#include <gloo/transport/tcp/device.h>

#include <string.h>

namespace lp {

namespace {

// A pair waits five times its time-out for the connection, in every version of Gloo.
constexpr int kConnectFactor = 5;

void append(std::vector<char> &bytes, const void *data, size_t size) {
  const char *p = static_cast<const char *>(data);
  bytes.insert(bytes.end(), p, p + size);
}

// Reads what append() wrote, never past the end.
class Reader {
public:
  Reader(const void *data, size_t bytes)
      : at_(static_cast<const char *>(data)), end_(at_ + bytes) {}

  template <class Int> Int number() {
    Int value;
    memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }

  const char *take(size_t bytes) {
    LP_CHECK(size_t(end_ - at_) >= bytes, "the addresses end too early");
    const char *taken = at_;
    at_ += bytes;
    return taken;
  }

private:
  const char *at_;
  const char *end_;
};

// u32 size, then for every rank u32 length and the address of the pair that waits for it.
std::vector<char> addresses_of(Pairs &pairs) {
  std::vector<char> bytes;
  const uint32_t size = pairs.size;
  append(bytes, &size, sizeof size);
  for (int peer = 0; peer < pairs.size; peer++) {
    std::vector<char> address;
    if (peer != pairs.rank) address = pairs.getPair(peer)->address().bytes();
    const uint32_t length = address.size();
    append(bytes, &length, sizeof length);
    append(bytes, address.data(), length);
  }
  return bytes;
}

// What each rank listens on for this one, from what all have published.
std::vector<std::vector<char>> addresses_for(int rank, int size, const void *blobs, size_t bytes) {
  Reader reader(blobs, bytes);
  std::vector<std::vector<char>> found(size);
  for (int peer = 0; peer < size; peer++) {
    const uint64_t blob_bytes = reader.number<uint64_t>();
    Reader blob(reader.take(blob_bytes), blob_bytes);
    const uint32_t peer_size = blob.number<uint32_t>();
    LP_CHECK(peer_size == uint32_t(size), "rank %d must be in a group of %d ranks, found %u", peer,
             size, peer_size);
    for (int i = 0; i < size; i++) {
      const uint32_t length = blob.number<uint32_t>();
      const char *address = blob.take(length);
      if (i == rank) found[peer].assign(address, address + length);
    }
  }
  return found;
}

} // namespace

Pairs::Pairs(int rank, int size, const std::string &host, Milliseconds timeout)
    : gloo::Context(rank, size) {
  gloo::transport::tcp::attr attributes;
  attributes.hostname = host;
  device_ = gloo::transport::tcp::CreateDevice(attributes);
  transportContext_ = device_->createContext(rank, size);
  setTimeout(timeout);
  transportContext_->setTimeout(timeout / kConnectFactor);
  for (int peer = 0; peer < size; peer++) {
    if (peer == rank) continue;
    transportContext_->createPair(peer)->setLocalRank(0); // uninitialised otherwise
  }
  transportContext_->setTimeout(timeout);
}

} // namespace lp

using namespace lp;

namespace {

void connect(Pairs &pairs, int peer, const std::vector<char> &address) {
  try {
    pairs.getPair(peer)->connect(address);
  } catch (const std::exception &e) {
    const bool is_late = strstr(e.what(), "imeout") || strstr(e.what(), "imed out");
    const char *why = is_late ? "did not answer in time" : "is gone";
    fail(is_late ? LP_ETIMEOUT : LP_ELOST, "rank %d %s (%s)", peer, why, e.what());
  }
}

void start(lp_comm *comm, lp_request::Direction direction, void *x, size_t bytes, int32_t peer,
           int32_t tag, lp_request **out) {
  LP_CHECK_POINTERS(out);
  *out = nullptr;
  if (bytes > 0) LP_CHECK_POINTERS(x);
  LP_CHECK(peer >= 0 && peer < comm->size && peer != comm->rank,
           "peer must be another rank of the %d, found %d", comm->size, peer);
  LP_CHECK(tag >= 0, "tag must be >= 0, found %d", tag);
  *out = transfers_of(comm).start(direction, Space::kUser, x, bytes, peer, tag).release();
}

} // namespace

extern "C" {

lp_status lp_comm_create(lp_ctx *ctx, int32_t rank, int32_t size, const char *host,
                         int32_t timeout_ms, lp_comm **out) {
  return guard_measured(ctx, "comm_create", [&] {
    ctx->held.require_device("communicators");
    LP_CHECK_POINTERS(out);
    *out = nullptr;
    LP_CHECK(size >= 1, "size must be >= 1, found %d", size);
    LP_CHECK(rank >= 0 && rank < size, "rank must be in [0, %d), found %d", size, rank);
    LP_CHECK(timeout_ms >= kConnectFactor, "timeout_ms must be >= 5, found %d", timeout_ms);
    auto comm = std::make_unique<lp_comm>();
    comm->ctx = ctx;
    comm->rank = rank;
    comm->size = size;
    comm->timeout = Milliseconds(timeout_ms);
    if (size > 1) {
      LP_CHECK_POINTERS(host);
      comm->pairs = std::make_shared<Pairs>(rank, size, host, comm->timeout);
      comm->address = addresses_of(*comm->pairs);
    }
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
    LP_CHECK(!comm->transfers, "a communicator is connected once");
    LP_CHECK_POINTERS(blobs);
    const auto addresses = addresses_for(comm->rank, comm->size, blobs, bytes);
    for (int peer = 0; peer < comm->size; peer++) {
      if (peer != comm->rank) connect(*comm->pairs, peer, addresses[peer]);
    }
    comm->scratch.reset(new char[scratch_bytes(comm->size)]); // touched only when used
    comm->transfers = std::make_unique<Transfers>(comm->pairs, comm->timeout);
  });
}

lp_status lp_comm_destroy(lp_comm *comm) {
  delete comm;
  return LP_OK;
}

lp_status lp_comm_abort(lp_comm *comm) {
  if (comm != nullptr && comm->transfers) {
    comm->transfers->end(LP_ELOST, "the communicator was aborted");
  }
  return LP_OK;
}

lp_status lp_isend(lp_comm *comm, const void *x, size_t bytes, int32_t peer, int32_t tag,
                   lp_request **out) {
  return comm_call(comm, "isend", [&] {
    start(comm, lp_request::kSend, const_cast<void *>(x), bytes, peer, tag, out);
  });
}

lp_status lp_irecv(lp_comm *comm, void *x, size_t bytes, int32_t peer, int32_t tag,
                   lp_request **out) {
  return comm_call(comm, "irecv", [&] {
    start(comm, lp_request::kReceive, x, bytes, peer, tag, out);
  });
}

lp_status lp_wait(lp_comm *comm, lp_request *request) {
  return comm_call(comm, "wait", [&] {
    LP_CHECK_POINTERS(request);
    transfers_of(comm).wait(std::unique_ptr<lp_request>(request));
  });
}

// Transfers start at once here; only the nesting is checked.
lp_status lp_group_begin(lp_comm *comm) {
  return comm_call(comm, "group_begin", [&] { comm->group_depth++; });
}

lp_status lp_group_end(lp_comm *comm) {
  return comm_call(comm, "group_end", [&] {
    LP_CHECK(comm->group_depth > 0, "lp_group_begin must come first");
    comm->group_depth--;
  });
}
}
