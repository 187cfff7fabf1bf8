// Library, context, streams and events of the CPU backend. Everything runs at once, in call order,
// so streams have nothing to do and an event is the time at which it was recorded.
#include "cpu/context.h"

#include <dnnl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>

#include "cpu/dtype.h"

struct lp_event {
  std::chrono::steady_clock::time_point time;
  bool recorded = false;
};

namespace lp {

namespace {
int usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return CPU_COUNT(&set);
}

// The name that the processor gives itself.
std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

// The variant of this library that the loader chose.
const char *variant() {
#if defined(__AVX512F__)
  return "x86-64-v4";
#elif defined(__AVX2__)
  return "x86-64-v3";
#elif defined(__x86_64__)
  return "x86-64";
#else
  return "baseline";
#endif
}
} // namespace

} // namespace lp

using lp::guard;
using lp::guard_measured;

int32_t lp_abi_version(void) { return LP_ABI_VERSION; }

lp_status lp_describe(char *text, size_t capacity) {
  return lp::attempt(lp::contextless_error, "describe", [&] {
    LP_CHECK_POINTERS(text);
    const dnnl_version_t *dnnl = dnnl_version();
    const uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    std::string json = "{\"backend\": \"cpu\", \"isa\": ";
    json += lp::json_text(lp::variant());
    json += ", \"libraries\": {\"onednn\": \"" + std::to_string(dnnl->major) + "." +
            std::to_string(dnnl->minor) + "." + std::to_string(dnnl->patch) + "\"}";
    json += ", \"devices\": [{\"name\": " + lp::json_text(lp::processor_name());
    json += ", \"memory_bytes\": " + std::to_string(memory);
    json += ", \"cores\": " + std::to_string(lp::usable_cores());
    json += ", \"dtypes\": [\"f32\", \"bf16\", \"f16\"], \"products\": [\"exact\"]}]}";
    lp::copy_text(json, text, capacity);
  });
}

lp_status lp_ctx_create(int32_t device, int32_t threads, lp_ctx **out) {
  return lp::attempt(lp::contextless_error, "ctx_create", [&] {
    LP_CHECK_POINTERS(out);
    LP_CHECK(device == 0 || device == LP_MEASURE,
             "device must be 0 on the CPU backend, or LP_MEASURE, found %d", device);
    LP_CHECK(threads >= 0, "threads must be >= 0, found %d", threads);
    auto ctx = std::make_unique<lp_ctx>(device == LP_MEASURE);
    ctx->threads = threads ? threads : lp::usable_cores();
    *out = ctx.release();
  });
}

lp_status lp_ctx_destroy(lp_ctx *ctx) {
  if (ctx == nullptr) return LP_EINVAL;
  if (!ctx->held.only_measures)
    for (const auto &[ptr, bytes] : ctx->allocations) lp::release(ptr, bytes);
  delete ctx;
  return LP_OK;
}

lp_status lp_last_error(lp_ctx *ctx, char *text, size_t capacity) {
  return (ctx != nullptr ? ctx->error : lp::contextless_error).copy(text, capacity);
}

lp_status lp_stream_select(lp_ctx *ctx, int32_t stream) {
  return guard(ctx, "stream_select", [&] {
    LP_CHECK(stream >= 0 && stream <= 2, "stream must be 0, 1 or 2, found %d", stream);
  });
}

lp_status lp_synchronize(lp_ctx *ctx) {
  return guard(ctx, "synchronize", [] {});
}

lp_status lp_event_create(lp_ctx *ctx, lp_event **out) {
  return guard_measured(ctx, "event_create", [&] {
    ctx->held.require_device("events");
    LP_CHECK_POINTERS(out);
    *out = new lp_event;
  });
}

lp_status lp_event_destroy(lp_ctx *ctx, lp_event *event) {
  return guard(ctx, "event_destroy", [&] {
    LP_CHECK_POINTERS(event);
    delete event;
  });
}

lp_status lp_event_record(lp_ctx *ctx, lp_event *event) {
  return guard(ctx, "event_record", [&] {
    LP_CHECK_POINTERS(event);
    event->time = std::chrono::steady_clock::now();
    event->recorded = true;
  });
}

lp_status lp_event_wait(lp_ctx *ctx, lp_event *event) {
  return guard(ctx, "event_wait", [&] {
    LP_CHECK_POINTERS(event);
    LP_CHECK(event->recorded, "event must have been recorded");
  });
}

lp_status lp_event_seconds(lp_ctx *ctx, lp_event *begin, lp_event *end, double *seconds) {
  return guard(ctx, "event_seconds", [&] {
    LP_CHECK_POINTERS(begin, end, seconds);
    LP_CHECK(begin->recorded && end->recorded, "both events must have been recorded");
    *seconds = std::chrono::duration<double>(end->time - begin->time).count();
  });
}
