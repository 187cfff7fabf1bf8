// What kernels on tensor cores are launched with, and the least number of products (of 16 x 8 x 16)
// that a warp needs for a turn of their loop, a line each:
//
//   KERNEL THREADS SHARED_BYTES PRODUCTS
//
// Host code only; a kernel is named by its template arguments up to the last that matters.
#include <stdio.h>

#include "cuda/attention_plan.h"
#include "cuda/tile_product.h"

using namespace lp;

namespace {
// 2 of [rows, keys, K]: q k^T and p v
template <int K, Extras extras> void print_forward(const char *type) {
  using Plan = ForwardPlan<K, extras>;
  printf("attention_forward<%s,%d,%d> %d %u %d\n", type, K, (int)extras, kTileAttentionThreads,
         (unsigned)Plan::kBytes, 2 * (Plan::kWarpQueries / 16) * (Plan::kKeys / 8) * (K / 16));
}
// q k^T and do v^T, then one for each gradient
template <int K, Extras extras, Side side> void print_backward(const char *type) {
  using Plan = BackwardPlan<K, extras, side>;
  printf("attention_backward<%s,%d,%d,%d> %d %u %d\n", type, K, (int)extras, (int)side,
         kTileAttentionThreads, (unsigned)Plan::kEnd,
         (side == Side::keys ? 4 : 3) * (Plan::kWarpRows / 16) * (Plan::kColumns / 8) * (K / 16));
}

template <int K, Extras extras> void print_attention(const char *type) {
  print_forward<K, extras>(type);
  print_backward<K, extras, Side::queries>(type);
  print_backward<K, extras, Side::keys>(type);
}
template <int K> void print_width(const char *type) {
  print_attention<K, Extras::none>(type);
  print_attention<K, Extras::biases>(type);
  print_attention<K, Extras::dropout>(type);
}
} // namespace

int main() {
  for (const char *type : {"bf16", "f16"}) {
    print_width<64>(type);
    print_width<80>(type);
    print_width<96>(type);
    print_width<128>(type);
  }
  for (const char *kernel : {"moe_gemm_kernel", "moe_gemm_weight_kernel"})
    printf("%s %d %zu %d\n", kernel, kTileThreads, kTileShared,
           WarpTile::rows / 16 * (WarpTile::cols / 8) * (kInner / 16));
}
