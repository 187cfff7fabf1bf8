// mma.sync and ldmatrix. Fragments as the PTX ISA lays them out, g = lane / 4, t = lane % 4:
//   m16n8k16   A 16 x 16   a0 (g, 2t..) a1 (g+8, 2t..) a2 (g, 2t+8..) a3 (g+8, 2t+8..)
//              B 16 x 8    b0 (2t.., g) b1 (2t+8.., g)
//   m16n8k8    A 16 x 8    a0 (g, 2t..) a1 (g+8, 2t..)          B 8 x 8   b0 (2t.., g)
//   m16n8k8 of tf32        a0 (g, t) a1 (g+8, t) a2 (g, t+4) a3 (g+8, t+4)   b0 (t, g) b1 (t+4, g)
//   C 16 x 8 of each       c0 (g, 2t) c1 (g, 2t+1) c2 (g+8, 2t) c3 (g+8, 2t+1)
// Products are added in f32 in the order of k; hardware differs in the last bits.
#include <algorithm>

#include "emu/block.h"
#include "emu/control.h"
#include "emu/race.h"

namespace emu {

// Kernels for tensor cores are written for sm_80: on an older device the choice among kernels failed.
void require_tiles(const char *instruction) {
  static const int sm = options().sm;
  if (sm < 80) fault("%s needs sm_80, the device is sm_%d", instruction, sm);
}

namespace {
struct MmaLane {
  const uint32_t *a, *b;
  float *d;
};

float convert(uint32_t half, TileType type) {
  return type == TileType::f16 ? f16_to_f32((uint16_t)half) : from_bits(half << 16);
}

struct Tiles {
  float a[16][16] = {}, b[16][8] = {}, c[16][8] = {};

  void take(int lane, const MmaLane &from, TileType type, int depth) {
    const int g = lane >> 2, t = lane & 3;
    if (type == TileType::tf32) {
      // tf32 keeps 10 bits of the mantissa; what the kernel left below them is ignored
      const auto number = [](uint32_t u) { return from_bits(u & 0xffffe000u); };
      for (int r = 0; r < 4; r++) a[g + (r & 1) * 8][t + (r >> 1) * 4] = number(from.a[r]);
      for (int r = 0; r < 2; r++) b[t + r * 4][g] = number(from.b[r]);
    } else {
      for (int r = 0; r < depth / 4; r++) {
        const int i = g + (r & 1) * 8, k = 2 * t + (r >> 1) * 8;
        a[i][k] = convert(from.a[r] & 0xffff, type);
        a[i][k + 1] = convert(from.a[r] >> 16, type);
      }
      for (int r = 0; r < depth / 8; r++) {
        b[2 * t + r * 8][g] = convert(from.b[r] & 0xffff, type);
        b[2 * t + r * 8 + 1][g] = convert(from.b[r] >> 16, type);
      }
    }
    for (int r = 0; r < 4; r++) c[g + (r >> 1) * 8][2 * t + (r & 1)] = from.d[r];
  }

  void multiply(int depth) {
    for (int i = 0; i < 16; i++)
      for (int k = 0; k < depth; k++)
        for (int j = 0; j < 8; j++) c[i][j] += a[i][k] * b[k][j];
  }

  void give(int lane, const MmaLane &to) const {
    const int g = lane >> 2, t = lane & 3;
    for (int r = 0; r < 4; r++) to.d[r] = c[g + (r >> 1) * 8][2 * t + (r & 1)];
  }
};

struct MmaShape {
  TileType type;
  int depth;
};

void multiply_tiles(void *const *io, unsigned, const void *parameter) {
  const auto [type, depth] = *static_cast<const MmaShape *>(parameter);
  Tiles tiles;
  for (int lane = 0; lane < 32; lane++)
    tiles.take(lane, *static_cast<const MmaLane *>(io[lane]), type, depth);
  tiles.multiply(depth);
  for (int lane = 0; lane < 32; lane++) tiles.give(lane, *static_cast<const MmaLane *>(io[lane]));
  self->block->tile_products++;
}

void mma(float *d, const uint32_t *a, const uint32_t *b, MmaShape shape, int line) {
  require_tiles("mma.sync");
  MmaLane lane{a, b, d};
  warp_rendezvous(0xffffffffu, "mma.sync", line, &lane, multiply_tiles, &shape);
}

struct LoadLane {
  const unsigned char *row;
  uint32_t *r;
};
struct LoadShape {
  int count;
  bool transposed;
};

// Lanes 8m .. 8m+7 give the addresses of the rows of matrix m. Lane l gets of each the elements
// (l/4, 2(l%4)) and its right neighbour, of the transpose when asked.
void load_tiles(void *const *io, unsigned, const void *parameter) {
  const auto [count, transposed] = *static_cast<const LoadShape *>(parameter);
  Block &block = *self->block;
  uint16_t matrix[4][8][8];
  for (int m = 0; m < count; m++) {
    int bank[8] = {}, passes = 0;
    for (int r = 0; r < 8; r++) {
      const LoadLane &lane = *static_cast<const LoadLane *>(io[m * 8 + r]);
      if (!is_shared(lane.row, 16) || reinterpret_cast<uintptr_t>(lane.row) % 16 != 0)
        fault("ldmatrix: the address of row %d of matrix %d is not in shared memory, or not a "
              "multiple of 16",
              r, m);
      race::access(lane.row, 16, false, false, self->warp * 32 + (unsigned)(m * 8 + r), nullptr);
      memcpy(matrix[m][r], lane.row, 16);
      passes = std::max(passes, ++bank[(reinterpret_cast<uintptr_t>(lane.row) >> 4) & 7]);
    }
    block.bank_conflicts += (uint64_t)(passes - 1);
  }
  for (int l = 0; l < 32; l++) {
    for (int m = 0; m < count; m++) {
      const int i = l >> 2, j = (l & 3) * 2;
      const uint32_t low = transposed ? matrix[m][j][i] : matrix[m][i][j];
      const uint32_t high = transposed ? matrix[m][j + 1][i] : matrix[m][i][j + 1];
      static_cast<const LoadLane *>(io[l])->r[m] = low | high << 16;
    }
  }
  block.matrix_loads++;
}
} // namespace

void mma_16816(float *d, const uint32_t *a, const uint32_t *b, TileType type, int line) {
  mma(d, a, b, {type, 16}, line);
}

void mma_1688(float *d, const uint32_t *a, const uint32_t *b, TileType type, int line) {
  mma(d, a, b, {type, 8}, line);
}

void load_matrices(uint32_t *r, const void *row, int count, bool transposed, int line) {
  require_tiles("ldmatrix");
  LoadLane lane{static_cast<const unsigned char *>(row), r};
  const LoadShape shape{count, transposed};
  warp_rendezvous(0xffffffffu, transposed ? "ldmatrix.trans" : "ldmatrix", line, &lane, load_tiles,
                  &shape);
}

} // namespace emu
