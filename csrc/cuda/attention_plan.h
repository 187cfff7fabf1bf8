// How much a block of the attention kernels on tensor cores does, and its shared memory: what the
// kernels, their launches and the report on their machine code have to agree on.
#ifndef LLMPIPE_CUDA_ATTENTION_PLAN_H
#define LLMPIPE_CUDA_ATTENTION_PLAN_H

#include "cuda/attention.h"
#include "cuda/tile.h"

namespace lp {

constexpr int kTileAttentionWarps = 4, kTileAttentionThreads = 32 * kTileAttentionWarps;

// Shared memory: queries, the ring of slots, what each query sees.
template <int K, Extras extras> struct ForwardPlan {
  static constexpr int kRowTiles = 2; // of 16 queries, of a warp
  static constexpr int kWarpQueries = 16 * kRowTiles;
  static constexpr int kQueries = kTileAttentionWarps * kWarpQueries;
  // Keys of a tile: what registers allow; random numbers need some, too.
  static constexpr int kWidest = extras == Extras::dropout ? 64 : 96;
  static constexpr int kKeys = K > kWidest ? 32 : 64, kKeyTiles = kKeys / 8;
  static constexpr int kSlots = kKeys == 32 ? 6 : K > 96 ? 3 : 4;
  static constexpr uint32_t kSlotBytes = Tile<K>::bytes(kKeys);
  static constexpr uint32_t kRing = Tile<K>::bytes(kQueries);
  static constexpr uint32_t kEnd = kRing + kSlots * kSlotBytes;
  static constexpr uint32_t kBytes = kEnd + kQueries * sizeof(KeyRange);

  GPU_DEV static uint32_t next(uint32_t slot) {
    return slot + kSlotBytes == kEnd ? kRing : slot + kSlotBytes;
  }
  GPU_DEV static uint32_t earlier(uint32_t slot) {
    return slot == kRing ? kEnd - kSlotBytes : slot - kSlotBytes;
  }
};

// What the tiles need of 32 queries of a head. Of padding, and of one that sees no key, p is 0;
// padding looks where the last query does.
struct alignas(16) QueryStats {
  static constexpr int kQueries = 32;
  float lse[kQueries], do_o[kQueries]; // log-sum-exp in units of ln 2, <do, o>
  KeyRange keys[kQueries];
};

enum class Side { queries, keys }; // whose gradients a block computes

// Of the two matrices whose rows a warp holds, so many are kept in registers as there is room for
// (csrc/cuda/REPORT.txt): reads of shared memory, not instructions, bound the loop.
constexpr int kept_matrices(int K, Extras extras, Side side, int row_tiles) {
  if (side == Side::queries) return K == 96 ? 0 : K == 80 ? 1 : 2;
  if (row_tiles == 2) return 0;
  return K < 128 ? 2 : extras == Extras::dropout ? 0 : 1;
}

template <int K, Extras extras, Side side> struct BackwardPlan {
  // Rows of 16 that a warp holds: two up to the width that registers allow.
  static constexpr int kWidest = side == Side::queries ? 96 : extras == Extras::dropout ? 0 : 64;
  static constexpr int kRowTiles = K <= kWidest ? 2 : 1;
  static constexpr int kWarpRows = 16 * kRowTiles;
  static constexpr int kRows = kTileAttentionWarps * kWarpRows;    // held
  static constexpr int kColumns = 32, kColumnTiles = kColumns / 8; // passing
  static constexpr int kOutputs = side == Side::keys ? 2 : 1;
  static constexpr int kSlots = 2;
  static constexpr int kKept = kept_matrices(K, extras, side, kRowTiles);

  static constexpr uint32_t kHeldBytes = Tile<K>::bytes(kRows);
  static constexpr uint32_t kPassingBytes = Tile<K>::bytes(kColumns);
  static constexpr int kStatsOfSlot = side == Side::keys ? kColumns / QueryStats::kQueries : 0;
  static constexpr int kStatsOfBlock = side == Side::keys ? 0 : kRows / QueryStats::kQueries;
  static constexpr uint32_t kHeldStats = 2 * kHeldBytes;
  static constexpr uint32_t kRing = kHeldStats + kStatsOfBlock * sizeof(QueryStats);
  static constexpr uint32_t kSlotStats = 2 * kPassingBytes; // within a slot
  static constexpr uint32_t kSlotBytes = kSlotStats + kStatsOfSlot * sizeof(QueryStats);
  static constexpr uint32_t kEnd = kRing + kSlots * kSlotBytes;

  GPU_DEV static uint32_t next(uint32_t slot) {
    return slot + kSlotBytes == kEnd ? kRing : slot + kSlotBytes;
  }
  GPU_DEV static uint32_t earlier(uint32_t slot) {
    return slot == kRing ? kEnd - kSlotBytes : slot - kSlotBytes;
  }
};

} // namespace lp
#endif
