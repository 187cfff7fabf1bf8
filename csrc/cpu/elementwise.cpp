// Elementwise ops: fill, cast, add, scale, random numbers, dropout, sum of squares. All are bound by memory.
#include "common/checks.h"
#include "common/dropout.h"
#include "common/random.h"
#include "cpu/context.h"
#include "cpu/lanes.h"
#include "cpu/ranges.h"

namespace lp {

namespace {
template <class To, class From> void cast(To *dst, const From *src, size_t n) {
  for_lanes(n, [&](size_t i, auto lanes) { lanes.store(dst + i, lanes.load(src + i)); });
}

template <class T> void add(const T *a, const T *b, T *y, size_t n) {
  for_lanes(n, [&](size_t i, auto lanes) {
    lanes.store(y + i, lanes.load(a + i) + lanes.load(b + i));
  });
}

template <class T> void scale(T *x, float s, size_t n) {
  for_lanes(n, [&](size_t i, auto lanes) { lanes.store(x + i, lanes.load(x + i) * s); });
}

// Elements begin..end-1 of a tensor whose first one is number `first` of the stream.
template <class T>
void fill_normal(T *x, size_t begin, size_t end, uint64_t seed, uint64_t first, float mean,
                 float std) {
  constexpr size_t kBlocks = 64;
  float normal[kBlocks * 4];
  for (size_t i = begin; i < end;) {
    const uint64_t counter = (first + i) / 4;
    for (size_t j = 0; j < kBlocks; j++) normal_block(seed, counter + j, normal + 4 * j);
    const size_t skipped = (first + i) % 4;
    const size_t count = std::min(end - i, kBlocks * 4 - skipped);
    for (size_t j = 0; j < count; j++) x[i + j] = from_float<T>(mean + std * normal[skipped + j]);
    i += count;
  }
}

// Elements begin..end-1; begin is a multiple of 64.
template <class T>
void dropout(const T *x, T *y, size_t begin, size_t end, Dropout drop) {
  constexpr size_t kBlocks = 8, kSize = kDropoutElements;
  float factor[kBlocks * kSize];
  for (size_t i = begin; i < end; i += kBlocks * kSize) {
    for (size_t j = 0; j < kBlocks; j++) {
      const Philox bits = drop.bits(i / kSize + j);
      for (size_t k = 0; k < kSize; k++)
        factor[kSize * j + k] = drop.keeps(bits, (int)k) ? drop.scale : 0.0f;
    }
    const T *from = x + i;
    T *to = y + i;
    for_lanes(std::min(end - i, kBlocks * kSize), [&](size_t j, auto lanes) {
      const vf f = lanes.load(factor + j);
      lanes.store(to + j, f == 0.0f ? vf{} : lanes.load(from + j) * f); // 0 even where x is inf
    });
  }
}

template <class T> double block_sum_squares(const T *x, size_t n) {
  constexpr size_t kPart = 512;
  float part[kPart];
  double sum = 0;
  for (size_t i = 0; i < n; i += kPart) {
    const size_t count = std::min(kPart, n - i);
    load_row(x + i, part, count);
#pragma omp simd reduction(+ : sum)
    for (size_t j = 0; j < count; j++) sum += (double)part[j] * part[j];
  }
  return sum;
}
} // namespace

} // namespace lp

using namespace lp;

lp_status lp_fill(lp_ctx *ctx, void *x, float value, size_t n, lp_dtype dtype) {
  return guard(ctx, "fill", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (n == 0) return;
      LP_CHECK_POINTERS(x);
      for_ranges(n, [=](size_t begin, size_t end) {
        std::fill(static_cast<T *>(x) + begin, static_cast<T *>(x) + end, from_float<T>(value));
      });
    });
  });
}

lp_status lp_cast(lp_ctx *ctx, void *dst, const void *src, size_t n, lp_dtype dst_dtype,
                  lp_dtype src_dtype) {
  return guard(ctx, "cast", [&] {
    with_type(dst_dtype, [&](auto to) {
      with_type(src_dtype, [&](auto from) {
        if (n == 0) return;
        LP_CHECK_POINTERS(dst, src);
        for_ranges(n, [=](size_t begin, size_t end) {
          cast(static_cast<decltype(to) *>(dst) + begin,
               static_cast<const decltype(from) *>(src) + begin, end - begin);
        });
      });
    });
  });
}

lp_status lp_add(lp_ctx *ctx, const void *a, const void *b, void *y, size_t n, lp_dtype dtype) {
  return guard(ctx, "add", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (n == 0) return;
      LP_CHECK_POINTERS(a, b, y);
      for_ranges(n, [=](size_t begin, size_t end) {
        add(static_cast<const T *>(a) + begin, static_cast<const T *>(b) + begin,
            static_cast<T *>(y) + begin, end - begin);
      });
    });
  });
}

lp_status lp_scale(lp_ctx *ctx, void *x, float s, size_t n, lp_dtype dtype) {
  return guard(ctx, "scale", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (n == 0) return;
      LP_CHECK_POINTERS(x);
      for_ranges(n, [=](size_t begin, size_t end) {
        scale(static_cast<T *>(x) + begin, s, end - begin);
      });
    });
  });
}

lp_status lp_random_normal(lp_ctx *ctx, void *x, size_t n, uint64_t seed, uint64_t first,
                           float mean, float std, lp_dtype dtype) {
  return guard(ctx, "random_normal", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      if (n == 0) return;
      LP_CHECK_POINTERS(x);
      for_ranges(n, [=](size_t begin, size_t end) {
        fill_normal(static_cast<T *>(x), begin, end, seed, first, mean, std);
      });
    });
  });
}

lp_status lp_dropout(lp_ctx *ctx, const void *x, void *y, size_t n, float p, uint64_t seed,
                     lp_dtype dtype) {
  return guard(ctx, "dropout", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      check_dropout(p);
      const Dropout drop(p, seed);
      if (n == 0) return;
      LP_CHECK_POINTERS(x, y);
      for_ranges(n, [=](size_t begin, size_t end) {
        dropout(static_cast<const T *>(x), static_cast<T *>(y), begin, end, drop);
      });
    });
  });
}

lp_status lp_sum_squares(lp_ctx *ctx, const void *x, double *out, size_t n, lp_dtype dtype) {
  return guard_measured(ctx, "sum_squares", [&] {
    with_type(dtype, [&](auto type) {
      using T = decltype(type);
      LP_CHECK_POINTERS(out);
      if (n > 0) LP_CHECK_POINTERS(x);
      constexpr size_t kBlock = 65536; // the order of the sum: within blocks, then over them
      const long blocks = (long)((n + kBlock - 1) / kBlock);
      double *sums = ctx->workspace<double>((size_t)blocks);
      *out = 0;
#pragma omp parallel for schedule(static) if (blocks > 1)
      for (long i = 0; i < blocks; i++) {
        const size_t begin = (size_t)i * kBlock;
        sums[i] = block_sum_squares(static_cast<const T *>(x) + begin, std::min(kBlock, n - begin));
      }
      for (long i = 0; i < blocks; i++) *out += sums[i];
    });
  });
}
