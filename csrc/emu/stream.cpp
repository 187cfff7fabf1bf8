// Streams run at once, in the order of the calls, or deferred: then queued work runs only when
// something waits for it, and streams interleave at random as far as events allow.
#include "emu/stream.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <sched.h>
#include <string.h>
#include <thread>
#include <vector>

#include "emu/block.h"
#include "emu/control.h"
#include "emu/memory.h"

using Clock = std::chrono::steady_clock;

namespace {
struct Event {
  uint64_t recorded = 0, done = 0; // numbers of recordings
  Clock::time_point time;
};

// Runs at once, or is polled until it reports completion (NCCL).
struct Operation {
  const char *what;
  std::function<void()> run;
  std::function<bool()> poll;
  std::shared_ptr<Event> records = nullptr, waits = nullptr;
  uint64_t number = 0; // of the recording
};
} // namespace

struct emu_event { // queued work keeps the state beyond cudaEventDestroy
  std::shared_ptr<Event> state = std::make_shared<Event>();
};

struct emu_stream {
  std::deque<Operation> queue;
  unsigned id;
};

namespace emu {

namespace {
using Lock = std::unique_lock<std::mutex>;
std::mutex mutex;
std::vector<emu_stream *> streams;
unsigned next_stream = 1;
uint64_t random_state = 0;
std::string lost; // see device_fault()

bool is_runnable(const emu_stream &stream) {
  if (stream.queue.empty()) return false;
  const Operation &next = stream.queue.front();
  return next.waits == nullptr || next.waits->done >= next.number;
}

// False when polled and not complete yet. The lock is held: work of one device runs one at a time.
bool step(emu_stream &stream) {
  const DeviceAccess access;
  Operation &next = stream.queue.front();
  if (next.poll && !next.poll()) return false;
  if (next.run) next.run();
  if (next.records != nullptr) {
    next.records->done = std::max(next.records->done, next.number);
    next.records->time = Clock::now();
  }
  stream.queue.pop_front();
  return true;
}

cudaError_t lose(const char *text) {
  if (lost.empty()) lost = text;
  for (emu_stream *stream : streams) stream->queue.clear();
  return cudaErrorLaunchFailure;
}

// Nothing goes on until another rank has: the processors are its. It is often about to come, so the
// first looks follow each other at once. Without the lock, for other threads of this process.
class Rest {
public:
  void take(Lock &lock) {
    lock.unlock();
    if (++looks_ < kQuickLooks)
      sched_yield();
    else
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    lock.lock();
  }
  void end() { looks_ = 0; }

private:
  static constexpr int kQuickLooks = 20;
  int looks_ = 0;
};
Rest rest;

// Runs one operation of a stream chosen at random, if any can go on: the device works while the
// host asks whether it has done so. False: none can.
bool progress() {
  if (random_state == 0) random_state = (uint64_t)(options().order + 2) * 7919 + 12345;
  const size_t first = next_random(random_state) % streams.size();
  try {
    for (size_t i = 0; i < streams.size(); i++) {
      emu_stream &stream = *streams[(first + i) % streams.size()];
      if (is_runnable(stream) && step(stream)) return true;
    }
  } catch (const Fault &fault) {
    lose(fault.what());
  }
  return false;
}

std::string describe_waiting(const char *what) {
  std::string text = "no progress for " + std::to_string(options().timeout_seconds) +
                     " s while waiting in " + what;
  for (const emu_stream *stream : streams)
    if (!stream->queue.empty())
      text += "; stream " + std::to_string(stream->id) + " is in " + stream->queue.front().what;
  return text;
}

// Runs queued work until done() holds.
template <class Done> cudaError_t drain(Lock &lock, const char *what, Done done) {
  if (!lost.empty()) return cudaErrorLaunchFailure;
  if (random_state == 0) random_state = (uint64_t)(options().order + 2) * 7919 + 12345;
  auto since = Clock::now();
  try {
    while (!done()) {
      std::vector<emu_stream *> runnable;
      for (emu_stream *stream : streams)
        if (is_runnable(*stream)) runnable.push_back(stream);
      if (runnable.empty())
        throw Fault(std::string(what) + " waits for an event of a stream that cannot go on");
      const size_t first = next_random(random_state) % runnable.size();
      bool has_moved = false;
      for (size_t i = 0; i < runnable.size() && !has_moved; i++)
        has_moved = step(*runnable[(first + i) % runnable.size()]);
      if (has_moved) {
        rest.end();
        since = Clock::now();
        continue;
      }
      if (Clock::now() - since > std::chrono::seconds(options().timeout_seconds))
        throw Fault(describe_waiting(what));
      rest.take(lock);
    }
  } catch (const Fault &fault) {
    return lose(fault.what());
  }
  return cudaSuccess;
}

cudaError_t push(cudaStream_t stream, Operation operation) {
  Lock lock(mutex);
  if (!lost.empty()) return cudaErrorLaunchFailure;
  if (stream == nullptr) return cudaErrorInvalidResourceHandle; // the backend never means stream 0
  stream->queue.push_back(std::move(operation));
  if (options().deferred) return cudaSuccess;
  try {
    while (is_runnable(*stream) && step(*stream)) {
    }
  } catch (const Fault &fault) {
    return lose(fault.what());
  }
  return cudaSuccess;
}
} // namespace

std::string device_fault() {
  Lock lock(mutex);
  return lost;
}

cudaError_t enqueue(cudaStream_t stream, const char *what, std::function<void()> run) {
  return push(stream, {what, std::move(run), {}});
}

cudaError_t enqueue_poll(cudaStream_t stream, const char *what, std::function<bool()> poll) {
  return push(stream, {what, {}, std::move(poll)});
}

} // namespace emu

using namespace emu;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) {
  Lock lock(mutex);
  *stream = new emu_stream{{}, next_stream++};
  streams.push_back(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const cudaError_t error = cudaStreamSynchronize(stream);
  Lock lock(mutex);
  streams.erase(std::remove(streams.begin(), streams.end(), stream), streams.end());
  delete stream;
  return error;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  Lock lock(mutex);
  return drain(lock, "cudaStreamSynchronize", [stream] { return stream->queue.empty(); });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  Lock lock(mutex);
  if (stream->queue.empty() || progress())
    rest.end();
  else
    rest.take(lock); // the host asks again until the stream is done
  if (!lost.empty()) return cudaErrorLaunchFailure;
  return stream->queue.empty() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaDeviceSynchronize() {
  Lock lock(mutex);
  return drain(lock, "cudaDeviceSynchronize", [] {
    return std::all_of(streams.begin(), streams.end(),
                       [](const emu_stream *stream) { return stream->queue.empty(); });
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) {
  *event = new emu_event;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  Operation record{"an event record", {}, {}, event->state};
  {
    Lock lock(mutex);
    record.number = ++event->state->recorded;
  }
  return push(stream, std::move(record));
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  Operation wait{"an event wait", {}, {}};
  {
    Lock lock(mutex);
    if (event->state->recorded == 0) return cudaSuccess; // as CUDA has it
    wait.waits = event->state;
    wait.number = event->state->recorded;
  }
  return push(stream, std::move(wait));
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  Lock lock(mutex);
  const Event &state = *event->state;
  if (state.done < state.recorded) progress();
  if (!lost.empty()) return cudaErrorLaunchFailure;
  return state.done >= state.recorded ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  Lock lock(mutex);
  const Event &state = *event->state;
  const uint64_t number = state.recorded;
  return drain(lock, "cudaEventSynchronize", [&] { return state.done >= number; });
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  Lock lock(mutex);
  const Event &first = *begin->state, &last = *end->state;
  if (first.recorded == 0 || last.recorded == 0) return cudaErrorInvalidResourceHandle;
  if (first.done < first.recorded || last.done < last.recorded) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(last.time - first.time).count();
  return cudaSuccess;
}
