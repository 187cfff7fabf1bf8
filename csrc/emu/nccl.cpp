// NCCL's calls as polled operations of streams: the host never blocks in one. Semantics are strict
// on purpose. A send is done only when its receiver has taken the data (NCCL may buffer),
// operations of one communicator run one at a time in the order of their calls, and the calls of
// the ranks are compared. A rank that dies is seen by its process being gone.
#include "nccl.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "emu/control.h"
#include "emu/library.h"
#include "emu/stream.h"

namespace {
constexpr int kMostRanks = 16;
constexpr size_t kChunk = 256 << 10, kMail = 64 << 10;

enum Kind : uint32_t { kAllReduce, kReduceScatter, kAllGather, kBroadcast, kSend, kReceive };
const char *const kNames[] = {"ncclAllReduce", "ncclReduceScatter", "ncclAllGather",
                              "ncclBroadcast", "ncclSend",          "ncclRecv"};

// What a rank is in, for the comparison.
struct Signature {
  uint32_t kind, type, op, root;
  uint64_t count;
};

struct Mail { // one way between two ranks
  std::atomic<uint32_t> is_full;
  uint32_t bytes;
  uint64_t total;
  char data[kMail];
};

struct Shared { // begins as zeros
  std::atomic<uint32_t> joined, is_aborted;
  std::atomic<int32_t> process[kMostRanks]; // -1: has left in order
  std::atomic<uint64_t> phase[kMostRanks];  // how many rendezvous each rank has reached
  Signature signatures[2][kMostRanks];
  char slots[kMostRanks][kChunk];
  Mail mail[kMostRanks][kMostRanks];
};

size_t bytes_of(ncclDataType_t type) {
  switch (type) {
  case ncclFloat64: return 8;
  case ncclFloat32:
  case ncclInt32: return 4;
  case ncclFloat16:
  case ncclBfloat16: return 2;
  default: return 1;
  }
}
} // namespace

struct ncclComm {
  std::string name;
  int size, rank;
  Shared *shared = nullptr;
  bool is_connected = false;
  uint64_t phase = 0;               // of this rank
  uint64_t issued = 0, started = 0; // operations
  ncclResult_t error = ncclSuccess;
};

namespace {
// In the order of the ranks, so that all get the same bits.
template <class Sum, class T, class Load, class Store>
void reduce_as(void *out, const Shared *from, int ranks, size_t offset, size_t count,
               ncclRedOp_t op, Load load, Store store) {
  for (size_t i = 0; i < count; i++) {
    Sum sum = 0;
    for (int r = 0; r < ranks; r++) {
      T element;
      memcpy(&element, from->slots[r] + offset + i * sizeof(T), sizeof(T));
      const Sum v = load(element);
      if (r == 0)
        sum = v;
      else
        sum = op == ncclMax ? std::max(sum, v) : sum + v;
    }
    const T element = store(sum);
    memcpy(static_cast<char *>(out) + i * sizeof(T), &element, sizeof(T));
  }
}

void reduce(void *out, const Shared *from, int ranks, size_t offset, size_t count,
            ncclDataType_t type, ncclRedOp_t op) {
  const auto same = [](auto v) { return v; };
  switch (type) {
  case ncclFloat32: return reduce_as<float, float>(out, from, ranks, offset, count, op, same, same);
  case ncclFloat64:
    return reduce_as<double, double>(out, from, ranks, offset, count, op, same, same);
  case ncclBfloat16:
    return reduce_as<float, uint16_t>(out, from, ranks, offset, count, op, emu::bf16_to_f32,
                                      emu::f32_to_bf16);
  case ncclFloat16:
    return reduce_as<float, uint16_t>(out, from, ranks, offset, count, op, emu::f16_to_f32,
                                      emu::f32_to_f16);
  default: throw emu::Fault("NCCL: reductions of this type are not emulated");
  }
}

// One operation as a state machine.
struct Call {
  ncclComm_t comm;
  Kind kind;
  const char *in;
  char *out;
  size_t count;
  ncclDataType_t type;
  ncclRedOp_t op;
  int root; // or peer
  uint64_t ticket = 0;
  std::shared_ptr<int> left = nullptr; // calls of the ticket that are not done
  int stage = 0;
  size_t done = 0; // elements of a collective, bytes of a transfer
  bool has_begun = false, is_tried = false;

  // True when it is over. The failure of a peer ends it, and stays with the communicator.
  bool poll() {
    if (comm->error != ncclSuccess) return true;
    if (comm->shared->is_aborted != 0 || is_peer_dead()) {
      comm->error = ncclRemoteError;
      return true;
    }
    if (!has_begun && comm->started != ticket) return false;
    if (!is_tried && emu::is_injected(kNames[kind], emu::When::later)) {
      comm->error = ncclInternalError;
      return true;
    }
    is_tried = true;
    return kind == kSend ? send() : kind == kReceive ? receive() : collect();
  }

private:
  bool is_peer_dead() const {
    if (++polls % 256 != 0) return false;
    for (int r = 0; r < comm->size; r++) {
      const pid_t process = comm->shared->process[r];
      if (process > 0 && kill(process, 0) != 0) return true;
    }
    return false;
  }
  static inline thread_local uint64_t polls = 0;

  bool all_reached(uint64_t phase) const {
    for (int r = 0; r < comm->size; r++)
      if (comm->shared->phase[r].load(std::memory_order_acquire) < phase) return false;
    return true;
  }

  void arrive() { comm->shared->phase[comm->rank].store(++comm->phase, std::memory_order_release); }

  void compare() const {
    const Signature *all = comm->shared->signatures[(comm->phase - 1) / 2 & 1];
    const Signature &own = all[comm->rank];
    for (int r = 0; r < comm->size; r++) {
      if (memcmp(&all[r], &own, sizeof own) == 0) continue;
      const auto text = [](int rank, const Signature &s) {
        return "rank " + std::to_string(rank) + " is in " + kNames[s.kind] + " of " +
               std::to_string(s.count) + " elements of type " + std::to_string(s.type);
      };
      throw emu::Fault("NCCL: the calls differ: " + text(comm->rank, own) + ", " + text(r, all[r]));
    }
  }

  void publish(size_t n) {
    const size_t bytes = bytes_of(type);
    comm->shared->signatures[comm->phase / 2 & 1][comm->rank] = {
        kind, (uint32_t)type, (uint32_t)op, kind == kBroadcast ? (uint32_t)root : 0, count};
    char *slot = comm->shared->slots[comm->rank];
    if (kind == kReduceScatter) {
      for (int r = 0; r < comm->size; r++)
        memcpy(slot + (size_t)r * n * bytes, in + ((size_t)r * count + done) * bytes, n * bytes);
    } else if (kind != kBroadcast || root == comm->rank) {
      memcpy(slot, in + done * bytes, n * bytes);
    }
  }

  void take(size_t n) {
    const size_t bytes = bytes_of(type);
    const Shared *shared = comm->shared;
    char *to = out + done * bytes;
    switch (kind) {
    case kAllReduce: return reduce(to, shared, comm->size, 0, n, type, op);
    case kReduceScatter:
      return reduce(to, shared, comm->size, (size_t)comm->rank * n * bytes, n, type, op);
    case kAllGather:
      for (int r = 0; r < comm->size; r++)
        memcpy(out + ((size_t)r * count + done) * bytes, shared->slots[r], n * bytes);
      return;
    default: memcpy(to, shared->slots[root], n * bytes);
    }
  }

  bool collect() {
    const size_t room = kind == kReduceScatter ? kChunk / (size_t)comm->size : kChunk;
    const size_t most = room / bytes_of(type);
    for (;;) {
      const size_t n = std::min(most, count - done);
      if (stage == 0) {
        has_begun = true;
        publish(n);
        arrive();
        stage = 1;
      }
      if (stage == 1) {
        if (!all_reached(comm->phase)) return false;
        compare();
        take(n);
        arrive();
        stage = 2;
        done += n;
      }
      if (!all_reached(comm->phase)) return false; // then the slots may be reused
      stage = 0;
      if (done >= count) return true;
    }
  }

  bool send() {
    const size_t total = count * bytes_of(type);
    Mail &mail = comm->shared->mail[comm->rank][root];
    if (mail.is_full.load(std::memory_order_acquire) != 0) return false;
    if (has_begun && done == total) return true;
    has_begun = true;
    mail.bytes = (uint32_t)std::min(kMail, total - done);
    mail.total = total;
    memcpy(mail.data, in + done, mail.bytes);
    done += mail.bytes;
    mail.is_full.store(1, std::memory_order_release);
    return false;
  }

  bool receive() {
    const size_t total = count * bytes_of(type);
    Mail &mail = comm->shared->mail[root][comm->rank];
    has_begun = true;
    if (mail.is_full.load(std::memory_order_acquire) == 0) return false;
    if (mail.total != total)
      throw emu::Fault("NCCL: rank " + std::to_string(comm->rank) + " receives " +
                       std::to_string(total) + " bytes from rank " + std::to_string(root) +
                       ", which sends " + std::to_string(mail.total));
    memcpy(out + done, mail.data, mail.bytes);
    done += mail.bytes;
    mail.is_full.store(0, std::memory_order_release);
    return done == total;
  }
};

struct Grouped {
  cudaStream_t stream;
  std::shared_ptr<Call> call;
};
thread_local int group_depth = 0;
thread_local std::vector<Grouped> group;

// Calls of one group and communicator progress together; a ticket is one such unit.
ncclResult_t submit(std::vector<Grouped> calls) {
  std::map<ncclComm_t, std::shared_ptr<int>> open;
  std::map<cudaStream_t, std::vector<std::shared_ptr<Call>>> by_stream;
  for (const auto &[stream, call] : calls) {
    auto &left = open[call->comm];
    if (!left) {
      left = std::make_shared<int>(0);
      call->comm->issued++;
    }
    ++*left;
    call->left = left;
    call->ticket = call->comm->issued - 1;
    by_stream[stream].push_back(call);
  }
  for (auto &[stream, list] : by_stream) {
    const char *name = list.size() > 1 ? "an NCCL group" : kNames[list[0]->kind];
    const auto poll = [list = list]() mutable {
      for (auto &call : list) {
        if (!call || !call->poll()) continue;
        if (--*call->left == 0) call->comm->started++;
        call = nullptr;
      }
      return std::all_of(list.begin(), list.end(), [](const auto &call) { return !call; });
    };
    if (emu::enqueue_poll(stream, name, poll) != cudaSuccess) return ncclUnhandledCudaError;
  }
  return ncclSuccess;
}

ncclResult_t issue(Kind kind, const void *in, void *out, size_t count, ncclDataType_t type,
                   ncclRedOp_t op, int root, ncclComm_t comm, cudaStream_t stream) {
  if (emu::is_injected(kNames[kind])) return ncclInternalError;
  if (comm == nullptr || root < 0 || root >= comm->size) return ncclInvalidArgument;
  if (!comm->is_connected) return ncclInvalidUsage;
  auto call = std::make_shared<Call>(Call{comm, kind, static_cast<const char *>(in),
                                          static_cast<char *>(out), count, type, op, root});
  if (group_depth == 0) return submit({{stream, call}});
  group.push_back({stream, call});
  return ncclSuccess;
}

// Joined when all have; the segment has no name any more then, so nothing is left behind.
bool join(ncclComm_t comm) {
  if (comm->is_connected) return true;
  if (comm->shared->joined < (uint32_t)comm->size) return false;
  shm_unlink(comm->name.c_str());
  return comm->is_connected = true;
}
} // namespace

extern "C" {

ncclResult_t ncclGetVersion(int *version) {
  *version = emu::options().nccl;
  return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result) {
  static const char *const kTexts[] = {"no error",
                                       "unhandled cuda error",
                                       "unhandled system error",
                                       "internal error",
                                       "invalid argument",
                                       "invalid usage",
                                       "remote process exited or there was a network error",
                                       "NCCL operation in progress"};
  return kTexts[result];
}

const char *ncclGetLastError(ncclComm_t) {
  static std::string text;
  text = emu::device_fault();
  return text.c_str();
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
  static std::atomic<unsigned> count{0};
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  *id = {};
  const std::string name = "/llmpipe-emu-" + std::to_string(getpid()) + "-" +
                           std::to_string(count++) + "-" + std::to_string(now.tv_nsec);
  memcpy(id->internal, name.c_str(), name.size());
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t *) {
  if (size < 1 || size > kMostRanks || rank < 0 || rank >= size) return ncclInvalidArgument;
  const int file = shm_open(id.internal, O_RDWR | O_CREAT, 0600);
  if (file < 0) return ncclSystemError;
  void *memory = MAP_FAILED;
  if (ftruncate(file, sizeof(Shared)) == 0)
    memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return ncclSystemError;
  auto *shared = static_cast<Shared *>(memory);
  shared->process[rank] = getpid();
  shared->joined.fetch_add(1);
  *out = new ncclComm{id.internal, size, rank, shared};
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *result) {
  *result = comm->error != ncclSuccess ? comm->error : join(comm) ? ncclSuccess : ncclInProgress;
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t) { return ncclSuccess; }

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  cudaDeviceSynchronize(); // queued work names it
  comm->shared->process[comm->rank] = -1;
  munmap(comm->shared, sizeof(Shared));
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->shared->is_aborted = 1;
  shm_unlink(comm->name.c_str());
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  group_depth++;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (group_depth == 0) return ncclInvalidUsage;
  if (--group_depth > 0) return ncclSuccess;
  std::vector<Grouped> calls;
  calls.swap(group);
  return submit(std::move(calls));
}

ncclResult_t ncclSend(const void *x, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return issue(kSend, x, nullptr, count, type, ncclSum, peer, comm, stream);
}
ncclResult_t ncclRecv(void *x, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return issue(kReceive, nullptr, x, count, type, ncclSum, peer, comm, stream);
}
ncclResult_t ncclAllReduce(const void *x, void *y, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return issue(kAllReduce, x, y, count, type, op, 0, comm, stream);
}
ncclResult_t ncclReduceScatter(const void *x, void *y, size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return issue(kReduceScatter, x, y, count, type, op, 0, comm, stream);
}
ncclResult_t ncclAllGather(const void *x, void *y, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  return issue(kAllGather, x, y, count, type, ncclSum, 0, comm, stream);
}
ncclResult_t ncclBroadcast(const void *x, void *y, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  return issue(kBroadcast, x, y, count, type, ncclSum, root, comm, stream);
}
}

#define ENTRY(function) {#function, reinterpret_cast<void *>(&function)}
static const emu::Symbols symbols(
    "libnccl.so.2",
    {ENTRY(ncclGetVersion), ENTRY(ncclGetErrorString), ENTRY(ncclGetLastError),
     ENTRY(ncclGetUniqueId), ENTRY(ncclCommInitRankConfig), ENTRY(ncclCommFinalize),
     ENTRY(ncclCommDestroy), ENTRY(ncclCommAbort), ENTRY(ncclCommGetAsyncError),
     ENTRY(ncclGroupStart), ENTRY(ncclGroupEnd), ENTRY(ncclSend), ENTRY(ncclRecv),
     ENTRY(ncclAllReduce), ENTRY(ncclReduceScatter), ENTRY(ncclAllGather), ENTRY(ncclBroadcast)});
