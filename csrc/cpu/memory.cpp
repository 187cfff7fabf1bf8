// Memory: allocation on huge pages, accounting, copies.
//
// Training touches gigabytes with few strides, so address translation costs more than is obvious:
// large blocks begin on a 2 MiB border and ask for huge pages. Worker threads touch them first, in
// the parts in which ops walk them, so that pages lie near the cores that use them. Small blocks
// come from malloc; so do all of them under AddressSanitizer, which then guards their borders.
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <fstream>

#include "common/checks.h"
#include "cpu/context.h"

namespace lp {

namespace {
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kPage = 4096;
#ifdef __SANITIZE_ADDRESS__
constexpr size_t kLarge = SIZE_MAX;
#else
constexpr size_t kLarge = kHugePage; // smaller blocks cannot fill a huge page
#endif
constexpr size_t kCopyPart = size_t{1} << 20; // bytes one thread copies or zeroes at a time

size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

// Bytes that the system could still give, as it estimates it.
unsigned long long available_bytes() {
  std::ifstream info("/proc/meminfo");
  unsigned long long kilobytes = 0;
  for (std::string word; info >> word;)
    if (word == "MemAvailable:" && info >> kilobytes) break;
  return kilobytes * 1024;
}

// Calls part(begin, end) for the pieces of 0..bytes-1, in parallel.
template <class Part> void for_parts(size_t bytes, Part part) {
  const long parts = (long)((bytes + kCopyPart - 1) / kCopyPart);
#pragma omp parallel for schedule(static) if (parts > 1)
  for (long i = 0; i < parts; i++)
    part((size_t)i * kCopyPart, std::min(bytes, (size_t)(i + 1) * kCopyPart));
}

[[noreturn]] void fail_to_allocate(size_t bytes, int error) {
  fail(LP_ENOMEM, "%zu bytes were asked for and %llu are available: %s", bytes, available_bytes(),
       strerror(error));
}

void *map_huge_pages(size_t bytes, int threads) {
  if (bytes > SIZE_MAX - 2 * kHugePage) fail_to_allocate(bytes, ENOMEM);
  const size_t length = round_up(bytes, kHugePage);
  // A mapping begins on any page: ask for more, and give back what lies before and behind
  void *mapping = mmap(nullptr, length + kHugePage, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) fail_to_allocate(bytes, errno);
  char *first = static_cast<char *>(mapping);
  char *begin = reinterpret_cast<char *>(round_up(reinterpret_cast<size_t>(first), kHugePage));
  if (begin != first) munmap(first, begin - first);
  munmap(begin + length, first + kHugePage - begin);
  madvise(begin, length, MADV_HUGEPAGE); // refused where the system has none: then small pages
  const long pages = (long)(length / kPage);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (long i = 0; i < pages; i++) begin[(size_t)i * kPage] = 0;
  return begin;
}
} // namespace

void *allocate(size_t bytes, int threads) {
  if (bytes >= kLarge) return map_huge_pages(bytes, threads);
  void *block = nullptr;
  if (const int error = posix_memalign(&block, 64, bytes)) fail_to_allocate(bytes, error);
  return memset(block, 0, bytes);
}

void release(void *ptr, size_t bytes) {
  if (bytes >= kLarge) munmap(ptr, round_up(bytes, kHugePage));
  else free(ptr);
}

void *Workspace::get(size_t bytes) {
  if (held_.only_measures) {
    measure(bytes);
    throw Measured();
  }
  if (bytes <= bytes_) return data_;
  if (data_ != nullptr) release(data_, bytes_);
  held_.remove(bytes_);
  data_ = nullptr;
  bytes_ = 0;
  data_ = allocate(bytes, omp_get_max_threads());
  bytes_ = bytes;
  held_.add(bytes_);
  return data_;
}

void Workspace::measure(size_t bytes) {
  if (bytes <= bytes_) return;
  held_.remove(bytes_);
  held_.add(bytes_ = bytes);
}

Workspace::~Workspace() {
  if (data_ != nullptr) release(data_, bytes_);
}

} // namespace lp

using lp::guard;
using lp::guard_measured;

lp_status lp_alloc(lp_ctx *ctx, size_t bytes, void **out) {
  return guard_measured(ctx, "alloc", [&] {
    LP_CHECK_POINTERS(out);
    const size_t used = std::max<size_t>(bytes, 1); // every block has an address of its own
    void *ptr = ctx->held.only_measures ? ctx->held.next_address(used) : lp::allocate(used, ctx->threads);
    ctx->allocations.emplace(ptr, used);
    ctx->held.add(used);
    *out = ptr;
  });
}

lp_status lp_free(lp_ctx *ctx, void *ptr) {
  return guard_measured(ctx, "free", [&] {
    if (ptr == nullptr) return;
    const auto found = ctx->allocations.find(ptr);
    LP_CHECK(found != ctx->allocations.end(), "ptr must come from lp_alloc of this context");
    if (!ctx->held.only_measures) lp::release(ptr, found->second);
    ctx->held.remove(found->second);
    ctx->allocations.erase(found);
  });
}

lp_status lp_memory(lp_ctx *ctx, uint64_t *now_bytes, uint64_t *peak_bytes) {
  return guard_measured(ctx, "memory", [&] {
    LP_CHECK_POINTERS(now_bytes, peak_bytes);
    *now_bytes = ctx->held.now_bytes;
    *peak_bytes = ctx->held.peak_bytes;
  });
}

lp_status lp_upload(lp_ctx *ctx, void *dst, const void *host_src, size_t bytes) {
  return guard(ctx, "upload", [&] {
    if (bytes == 0) return;
    LP_CHECK_POINTERS(dst, host_src);
    memmove(dst, host_src, bytes);
  });
}

lp_status lp_download(lp_ctx *ctx, void *host_dst, const void *src, size_t bytes) {
  return guard(ctx, "download", [&] {
    if (bytes == 0) return;
    LP_CHECK_POINTERS(host_dst, src);
    memmove(host_dst, src, bytes);
  });
}

lp_status lp_copy(lp_ctx *ctx, void *dst, const void *src, size_t bytes) {
  return guard(ctx, "copy", [&] {
    if (bytes == 0) return;
    LP_CHECK_POINTERS(dst, src);
    lp::for_parts(bytes, [&](size_t begin, size_t end) {
      memcpy(static_cast<char *>(dst) + begin, static_cast<const char *>(src) + begin, end - begin);
    });
  });
}

lp_status lp_copy_rows(lp_ctx *ctx, void *dst, const void *src, int32_t rows, size_t row_bytes,
                       size_t dst_stride, size_t src_stride) {
  return guard(ctx, "copy_rows", [&] {
    lp::check_copy_rows(rows);
    if (rows == 0 || row_bytes == 0) return;
    LP_CHECK_POINTERS(dst, src);
    const bool parallel = (size_t)rows * row_bytes > lp::kCopyPart;
#pragma omp parallel for schedule(static) if (parallel)
    for (int32_t i = 0; i < rows; i++)
      memcpy(static_cast<char *>(dst) + i * dst_stride,
             static_cast<const char *>(src) + i * src_stride, row_bytes);
  });
}

lp_status lp_zero(lp_ctx *ctx, void *x, size_t bytes) {
  return guard(ctx, "zero", [&] {
    if (bytes == 0) return;
    LP_CHECK_POINTERS(x);
    lp::for_parts(bytes, [&](size_t begin, size_t end) {
      memset(static_cast<char *>(x) + begin, 0, end - begin);
    });
  });
}
