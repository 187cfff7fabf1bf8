// Choosing tokens. Rules: common/sample.h. A row after the other: there is one when text is made.
#include "common/sample.h"

#include "common/checks.h"
#include "cpu/ranges.h"

namespace lp {

namespace {
int largest_of(const float *x, int V) {
  uint32_t most = 0;
  for (int i = 0; i < V; i++) most = std::max(most, order_key(x[i]));
  int i = 0;
  while (order_key(x[i]) != most) i++;
  return i;
}

struct Row {
  const uint32_t *key;    // [V]
  const uint64_t *weight; // [V]
  int V;

  // measure(i): what token i adds to the sum that must reach `wanted`
  template <class Measure> TokenSearch search(uint64_t wanted, Measure measure) const {
    constexpr int kBits = 8;
    TokenSearch found;
    found.wanted = wanted;
    for (int shift = 32 - kBits; shift >= 0; shift -= kBits) {
      uint64_t sums[1 << kBits] = {};
      const uint32_t known = known_digits(found.key, shift, kBits);
      for (int i = 0; i < V; i++)
        if (known_digits(key[i], shift, kBits) == known)
          sums[key[i] >> shift & ((1 << kBits) - 1)] += measure(i);
      found.descend(sums, shift);
    }
    return found;
  }

  uint64_t sum(const KeptTokens &kept, uint64_t tie_weight) const {
    uint64_t above = 0, tied = 0;
    for (int i = 0; i < V; i++) {
      above += key[i] > kept.key ? weight[i] : 0;
      tied += key[i] == kept.key;
    }
    return kept.sum(above, tied, tie_weight);
  }
};

int sample(const Row &row, const TokenWeight &weight, double u, int top_k, float top_p) {
  KeptTokens kept;
  if (top_k > 0 && top_k < row.V)
    kept = row.search((uint64_t)top_k, [](int) { return 1; }).kept(1);
  if (top_p < 1) {
    const uint64_t wanted = wanted_weight(top_p, row.sum(kept, weight.of_key(kept.key)));
    const TokenSearch found = row.search(wanted, [&](int i) { return row.weight[i]; });
    kept = found.kept(weight.of_key(found.key));
  }
  const uint64_t tie_weight = weight.of_key(kept.key);
  TokenWalk walk(u, row.sum(kept, tie_weight), kept, tie_weight);
  int i = 0;
  while (!walk.ends_in(row.key[i] > kept.key ? row.weight[i] : 0, row.key[i] == kept.key)) i++;
  return i;
}
} // namespace

} // namespace lp

using namespace lp;

lp_status lp_sample(lp_ctx *ctx, const float *x, const double *u, int32_t *token, int32_t N,
                    int32_t V, float temperature, int32_t top_k, float top_p) {
  return guard_measured(ctx, "sample", [&] {
    check_sample(N, V, temperature, top_k, top_p);
    if (N == 0 || V == 0) return;
    LP_CHECK_POINTERS(x, token);
    if (temperature > 0) LP_CHECK_POINTERS(u);
    uint64_t *weights = ctx->workspace<uint64_t>((size_t)V + ((size_t)V + 1) / 2);
    uint32_t *keys = reinterpret_cast<uint32_t *>(weights + V);
    for (int32_t n = 0; n < N; n++) {
      const float *row = x + (size_t)n * V;
      const int best = largest_of(row, V);
      token[n] = best;
      if (temperature == 0) continue;
      const TokenWeight weight{logit_of(order_key(row[best])), temperature};
      for_ranges((size_t)V, [&](size_t begin, size_t end) {
        for (size_t i = begin; i < end; i++) {
          keys[i] = order_key(row[i]);
          weights[i] = weight.of_key(keys[i]);
        }
      });
      token[n] = sample({keys, weights, V}, weight, u[n], top_k, top_p);
    }
  });
}
