#include "emu/control.h"

#include <mutex>
#include <stdlib.h>
#include <string.h>

#include "llmpipe.h"

namespace emu {

Counters counters;

namespace {
int number(const char *name, int otherwise) {
  const char *value = getenv(name);
  return value != nullptr && *value != '\0' ? atoi(value) : otherwise;
}

std::string text(const char *name) {
  const char *value = getenv(name);
  return value != nullptr ? value : "";
}

// [async ]NAME:COUNT[@DEVICE]
constexpr char kLater[] = "async ";
struct Injection {
  std::string name;
  When when = When::call;
  int count = 0, device = -1;
  std::mutex mutex;
  Injection() { set(text("LLMPIPE_EMU_FAIL")); }
  void set(const std::string &value) {
    std::lock_guard lock(mutex);
    const size_t colon = value.find(':'), at = value.find('@');
    name = value.substr(0, colon);
    when = name.rfind(kLater, 0) == 0 ? When::later : When::call;
    if (when == When::later) name = name.substr(strlen(kLater));
    count = colon == std::string::npos ? (name.empty() ? 0 : 1) : atoi(value.c_str() + colon + 1);
    device = at == std::string::npos ? -1 : atoi(value.c_str() + at + 1);
  }
};
Injection &injection() {
  static Injection injection;
  return injection;
}
} // namespace

Options &options() {
  static Options options{
      number("LLMPIPE_EMU_ORDER", 0),      text("LLMPIPE_EMU_STREAMS") == "deferred",
      number("LLMPIPE_EMU_SM", 80),        number("LLMPIPE_EMU_DEVICES", 8),
      number("LLMPIPE_EMU_DRIVER", 13000), number("LLMPIPE_EMU_NCCL", 22707),
      number("LLMPIPE_EMU_MEMORY", 4096),  number("LLMPIPE_EMU_TIMEOUT", 60),
      text("LLMPIPE_EMU_MISSING"),         text("LLMPIPE_EMU_SKIP"),
      number("LLMPIPE_EMU_GUARD", 0) != 0};
  return options;
}

size_t shared_limit() {
  switch (options().sm) {
  case 75: return 64 << 10;
  case 86:
  case 89:
  case 120: return 99 << 10;
  default: return options().sm >= 90 ? 227 << 10 : 163 << 10;
  }
}

bool is_injected(const char *name, When when) {
  Injection &wanted = injection();
  std::lock_guard lock(wanted.mutex);
  if (wanted.count <= 0 || wanted.when != when || wanted.name != name) return false;
  if (wanted.device >= 0 && wanted.device != current_device()) return false;
  return --wanted.count == 0;
}

} // namespace emu

// ---- for tests -------------------------------------------------------------------------------

extern "C" {

LP_API void emu_set_order(int32_t order) { emu::options().order = order; }

LP_API void emu_set_deferred(int32_t deferred) { emu::options().deferred = deferred != 0; }

// out [9] overwritten, in the order of Counters
LP_API void emu_counters(uint64_t *out) {
  const emu::Counters &c = emu::counters;
  const std::atomic<uint64_t> *all[] = {&c.launches,      &c.blocks,       &c.threads,
                                        &c.switches,      &c.barriers,     &c.warp_operations,
                                        &c.tile_products, &c.matrix_loads, &c.bank_conflicts};
  for (const auto *counter : all) *out++ = *counter;
}
}
