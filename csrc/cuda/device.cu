// Devices and the context: which there are, which can be used and why not, streams and events.
#include <string.h>

#include "common/checks.h"
#include "cuda/context.h"
#include "cuda/libraries.h"

struct lp_event {
  cudaEvent_t event = nullptr;
  bool is_recorded = false;
};

namespace lp {

namespace {
// The oldest devices that the compiler of this library has code for. Below 8.0 there is no bf16 and no
// tf32, and attention and products by expert go without tensor cores.
constexpr int kLeastSm = CUDART_VERSION >= 13000 ? 75 : 70;
constexpr int kLeastBf16Sm = 80;

std::string cuda_version(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// Why no device can be used at all; empty when there is no such reason.
std::string why_no_devices(int *count) {
  *count = 0;
  int driver = 0;
  cudaDriverGetVersion(&driver);
  if (driver == 0)
    return "this machine has no NVIDIA driver: libcuda.so.1 was looked for in LD_LIBRARY_PATH and "
           "in the library folders of the system";
  const int needed = CUDART_VERSION / 1000 * 1000; // any minor version of a series will do
  if (driver < needed)
    return "the NVIDIA driver of this machine supports CUDA " + cuda_version(driver) +
           ": this program needs a driver for CUDA " + cuda_version(needed) + " or newer";
  const cudaError_t error = cudaGetDeviceCount(count);
  if (error != cudaSuccess || *count == 0)
    return std::string("the NVIDIA driver finds no device: ") +
           cudaGetErrorString(error == cudaSuccess ? cudaErrorNoDevice : error);
  return "";
}

int compute_capability(int device) {
  int major = 0, minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
        "cudaDeviceGetAttribute");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device),
        "cudaDeviceGetAttribute");
  return major * 10 + minor;
}

std::string name_of(int device) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  return properties.name;
}

// "NAME has compute capability 7.0: 7.5 or newer is needed"; empty for a device that can be used.
std::string why_unsupported(int device) {
  const int sm = compute_capability(device);
  if (sm >= kLeastSm) return "";
  const auto version = [](int x) { return std::to_string(x / 10) + "." + std::to_string(x % 10); };
  return name_of(device) + " has compute capability " + version(sm) + ": " + version(kLeastSm) +
         " or newer is needed";
}

void add_reason(std::string &reasons, const std::string &reason) {
  if (reasons.find(reason) == std::string::npos) reasons += (reasons.empty() ? "" : "; ") + reason;
}

bool knows_type(int sm, lp_dtype dtype) { return dtype != LP_BF16 || sm >= kLeastBf16Sm; }

std::string describe_device(int device) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  const int sm = compute_capability(device);
  return "{\"name\": " + json_text(properties.name) +
         ", \"memory_bytes\": " + std::to_string(properties.totalGlobalMem) +
         ", \"dtypes\": [\"f32\", " +
         (knows_type(sm, LP_BF16) ? "\"bf16\", " : "") + "\"f16\"], \"products\": [\"exact\"" +
         (sm >= kLeastBf16Sm ? ", \"tf32\"" : "") + "]}";
}

void open(lp_ctx *ctx) {
  for (cudaStream_t &stream : ctx->streams)
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  check(cudaEventCreateWithFlags(&ctx->order, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  void *fault = nullptr;
  check(cudaHostAlloc(&fault, sizeof(DeviceFault), cudaHostAllocDefault), "cudaHostAlloc");
  ctx->fault = static_cast<DeviceFault *>(fault);
  *ctx->fault = {};
  int has_pools = 0;
  check(cudaDeviceGetAttribute(&has_pools, cudaDevAttrMemoryPoolsSupported, ctx->device),
        "cudaDeviceGetAttribute");
  ctx->has_pools = has_pools != 0;
  if (!ctx->has_pools) return;
  cudaMemPool_t pool;
  check(cudaDeviceGetDefaultMemPool(&pool, ctx->device), "cudaDeviceGetDefaultMemPool");
  uint64_t keep = UINT64_MAX; // memory stays with this process until it ends
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep),
        "cudaMemPoolSetAttribute");
}

// Frees what it can: the device may be lost.
void close(lp_ctx *ctx) {
  if (ctx->held.only_measures) return delete ctx;
  const auto free_memory = [&] {
    for (const auto &[ptr, bytes] : ctx->allocations) release(ctx, ptr, ctx->streams[0]);
    for (int i = 0; i < lp_ctx::kStreams; i++) {
      ctx->op_workspaces[i].free(ctx, ctx->streams[i]);
      ctx->gemm_workspaces[i].free(ctx, ctx->streams[i]);
    }
  };
  attempt(contextless_error, "ctx_destroy", free_memory); // of a lost device, the driver frees it
  ctx->gemm.reset();
  for (cudaStream_t stream : ctx->streams)
    if (stream != nullptr) cudaStreamSynchronize(stream);
  for (cudaEvent_t event : ctx->staging.done)
    if (event != nullptr) cudaEventDestroy(event);
  if (ctx->order != nullptr) cudaEventDestroy(ctx->order);
  for (cudaStream_t stream : ctx->streams)
    if (stream != nullptr) cudaStreamDestroy(stream);
  if (ctx->staging.data != nullptr) cudaFreeHost(ctx->staging.data);
  if (ctx->fault != nullptr) cudaFreeHost(ctx->fault);
  delete ctx;
}
} // namespace

void check(cudaError_t error, const char *call) {
  if (error == cudaSuccess) return;
  fail(error == cudaErrorMemoryAllocation ? LP_ENOMEM : LP_EDEVICE, "%s: %s (%s)", call,
       cudaGetErrorString(error), cudaGetErrorName(error));
}

void check_type(const lp_ctx *ctx, lp_dtype dtype) {
  if (knows_type(ctx->sm, dtype)) return;
  fail(LP_EUNSUPPORTED,
       "%s cannot compute in bf16, which needs compute capability %d.%d: it has %d.%d, take f16 or "
       "f32",
       name_of(ctx->device).c_str(), kLeastBf16Sm / 10, kLeastBf16Sm % 10, ctx->sm / 10,
       ctx->sm % 10);
}

std::string describe(const DeviceFault &fault) {
  const int row = fault.index, found = fault.value, limit = fault.limit;
  switch ((FaultKind)fault.kind) {
  case FaultKind::none: return "";
  case FaultKind::embedding_id: return "embedding: " + wrong_id(limit, found, row);
  case FaultKind::target: return "cross_entropy: " + wrong_target(limit, found, row);
  case FaultKind::rope_position: return "rope: " + wrong_position(limit, found, row);
  case FaultKind::attention_range:
    return "attention: begin and end must be in 0..Tk = " + std::to_string(limit) +
           " and must not shrink along a sequence, found " + std::to_string(found) +
           " at query row " + std::to_string(row);
  }
  return "a kernel reported a fault of a kind that this library does not know";
}

} // namespace lp

using namespace lp;

int32_t lp_abi_version(void) { return LP_ABI_VERSION; }

lp_status lp_describe(char *text, size_t capacity) {
  return attempt(contextless_error, "describe", [&] {
    LP_CHECK_POINTERS(text);
    int count = 0;
    std::string reason = why_no_devices(&count), devices;
    for (int i = 0; i < count; i++) {
      const std::string why = why_unsupported(i);
      if (!why.empty())
        add_reason(reason, why); // once for all devices of a kind
      else
        devices += (devices.empty() ? "" : ", ") + describe_device(i);
    }
    std::string libraries = "\"cuda\": " + json_text(cuda_version(CUDART_VERSION));
    for (const LibraryState &library : describe_libraries()) {
      if (library.problem.empty())
        libraries += ", " + json_text(library.name) + ": " + json_text(library.version);
      else if (!devices.empty())
        add_reason(reason, library.problem);
    }
    std::string json = "{\"backend\": \"cuda\", \"libraries\": {" + libraries + "}";
    json += ", \"devices\": [" + devices + "]";
    if (!reason.empty()) json += ", \"reason\": " + json_text(reason);
    copy_text(json + "}", text, capacity);
  });
}

lp_status lp_ctx_create(int32_t device, int32_t threads, lp_ctx **out) {
  return attempt(contextless_error, "ctx_create", [&] {
    LP_CHECK_POINTERS(out);
    LP_CHECK(threads >= 0, "threads must be >= 0, found %d", threads);
    int count = 0;
    const std::string no_devices = why_no_devices(&count);
    if (!no_devices.empty()) fail(LP_EDEVICE, "%s", no_devices.c_str());
    const bool only_measures = device == LP_MEASURE;
    if (only_measures) device = 0;
    LP_CHECK(device >= 0 && device < count, "device must be in [0, %d), found %d", count, device);
    const std::string unsupported = why_unsupported(device);
    if (!unsupported.empty()) fail(LP_EUNSUPPORTED, "device %d, %s", device, unsupported.c_str());
    if (!only_measures) check(cudaSetDevice(device), "cudaSetDevice");
    auto *ctx = new lp_ctx(only_measures);
    ctx->device = device;
    ctx->sm = compute_capability(device);
    if (only_measures) {
      *out = ctx;
      return;
    }
    try {
      open(ctx);
    } catch (...) {
      close(ctx);
      throw;
    }
    *out = ctx;
  });
}

lp_status lp_ctx_destroy(lp_ctx *ctx) {
  if (ctx == nullptr) return LP_EINVAL;
  if (!ctx->held.only_measures) cudaSetDevice(ctx->device);
  close(ctx);
  return LP_OK;
}

lp_status lp_last_error(lp_ctx *ctx, char *text, size_t capacity) {
  return (ctx != nullptr ? ctx->error : contextless_error).copy(text, capacity);
}

lp_status lp_stream_select(lp_ctx *ctx, int32_t stream) {
  return guard(ctx, "stream_select", [&] {
    LP_CHECK(stream >= 0 && stream < lp_ctx::kStreams, "stream must be 0, 1 or 2, found %d",
             stream);
    ctx->selected = stream;
  });
}

lp_status lp_synchronize(lp_ctx *ctx) {
  return guard(ctx, "synchronize", [&] {
    for (cudaStream_t stream : ctx->streams) finish(ctx, stream);
    const DeviceFault fault = *ctx->fault;
    *ctx->fault = {};
    if (fault.kind != 0) fail(LP_EINVAL, "%s", describe(fault).c_str());
  });
}

lp_status lp_event_create(lp_ctx *ctx, lp_event **out) {
  return guard_measured(ctx, "event_create", [&] {
    ctx->held.require_device("events");
    LP_CHECK_POINTERS(out);
    auto event = std::make_unique<lp_event>();
    check(cudaEventCreateWithFlags(&event->event, cudaEventDefault), "cudaEventCreateWithFlags");
    *out = event.release();
  });
}

lp_status lp_event_destroy(lp_ctx *ctx, lp_event *event) {
  return guard(ctx, "event_destroy", [&] {
    LP_CHECK_POINTERS(event);
    const cudaError_t error = cudaEventDestroy(event->event);
    delete event;
    check(error, "cudaEventDestroy");
  });
}

lp_status lp_event_record(lp_ctx *ctx, lp_event *event) {
  return guard(ctx, "event_record", [&] {
    LP_CHECK_POINTERS(event);
    check(cudaEventRecord(event->event, ctx->stream()), "cudaEventRecord");
    event->is_recorded = true;
  });
}

lp_status lp_event_wait(lp_ctx *ctx, lp_event *event) {
  return guard(ctx, "event_wait", [&] {
    LP_CHECK_POINTERS(event);
    LP_CHECK(event->is_recorded, "event must have been recorded");
    check(cudaStreamWaitEvent(ctx->stream(), event->event, 0), "cudaStreamWaitEvent");
  });
}

lp_status lp_event_seconds(lp_ctx *ctx, lp_event *begin, lp_event *end, double *seconds) {
  return guard(ctx, "event_seconds", [&] {
    LP_CHECK_POINTERS(begin, end, seconds);
    LP_CHECK(begin->is_recorded && end->is_recorded, "both events must have been recorded");
    check(cudaEventSynchronize(begin->event), "cudaEventSynchronize");
    check(cudaEventSynchronize(end->event), "cudaEventSynchronize");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin->event, end->event), "cudaEventElapsedTime");
    *seconds = milliseconds * 1e-3;
  });
}
