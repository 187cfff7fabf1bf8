// Runs one special instruction of gpu.h at a time on what a test gives, for tests of how its
// operands lie in the lanes of a warp: emulated in tests/cuda, and on a GPU by the same test. Not of
// the ABI: lp_probe_tiles stands in no header.
//
// A problem is one warp. Its input and its output are 32 lanes of words, lane after lane:
//   kind                       input                                           output
//   0, 1 mma bf16, f16         4 words A, 2 words B, 4 f32 C                   4 f32 D
//   2, 3 ldmatrix, transposed  4 words of row l; the row whose address it      4 registers
//                              gives
//   4    cp.async              4 words to copy; the row they go to; valid?     4 words of row l
//   5    cp.async in groups    as 4; odd lanes commit in a second group        as 4, of the first
//                              group when only that was waited for; of odd
//                              lanes after the rest
#include "cuda/context.h"

#include "common/checks.h"

using namespace lp;

namespace {
enum Kind { mma_bf16, mma_f16, matrix, matrix_transposed, copies, copy_groups };
constexpr int kWords[] = {10, 10, 5, 5, 6, 6}; // of a lane's input
constexpr uint32_t kUntouched = 0xdeadbeef;

template <class T> __global__ void multiply(const uint32_t *in, uint32_t *out) {
  const uint32_t *from = in + (blockIdx.x * 32 + threadIdx.x) * 10;
  uint32_t a[4], b[2];
  float d[4];
  for (int i = 0; i < 4; i++) a[i] = from[i];
  for (int i = 0; i < 2; i++) b[i] = from[4 + i];
  for (int i = 0; i < 4; i++) d[i] = __uint_as_float(from[6 + i]);
  mma_16816(d, a, b, T());
  for (int i = 0; i < 4; i++)
    out[(blockIdx.x * 32 + threadIdx.x) * 4 + i] = __float_as_uint(d[i]);
}

__global__ void load(const uint32_t *in, uint32_t *out, bool is_transposed) {
  GPU_SMEM(uint32_t, rows, [32][4]);
  const uint32_t *from = in + (blockIdx.x * 32 + threadIdx.x) * 5;
  for (int i = 0; i < 4; i++) rows[threadIdx.x][i] = from[i];
  __syncthreads();
  uint32_t r[4];
  if (is_transposed)
    load_matrix_x4_transposed(r, rows[from[4]]);
  else
    load_matrix_x4(r, rows[from[4]]);
  for (int i = 0; i < 4; i++) out[(blockIdx.x * 32 + threadIdx.x) * 4 + i] = r[i];
}

// data: the words of the lanes, 16-byte aligned as the copies need it; to: row and validity
__global__ void copy(const uint32_t *data, const uint32_t *to, uint32_t *out, bool in_groups) {
  GPU_SMEM(uint32_t, rows, [32][4]);
  const int lane = (int)threadIdx.x, at = (int)(blockIdx.x * 32) + lane;
  for (int i = 0; i < 4; i++) rows[lane][i] = kUntouched;
  __syncthreads();
  const bool is_late = in_groups && lane % 2 == 1;
  if (!is_late) async_copy16(rows[to[at * 2]], data + at * 4, to[at * 2 + 1] != 0);
  async_commit();
  if (is_late) async_copy16(rows[to[at * 2]], data + at * 4, to[at * 2 + 1] != 0);
  async_commit();
  async_wait<1>();
  __syncthreads();
  // Rows of the second group may not be read yet: a lane knows its own, the test gives lane l row l
  if (!is_late)
    for (int i = 0; i < 4; i++) out[at * 4 + i] = rows[lane][i];
  async_wait<0>();
  __syncthreads();
  if (is_late)
    for (int i = 0; i < 4; i++) out[at * 4 + i] = rows[lane][i];
}

// Device memory for the length of one call.
class Buffer {
public:
  Buffer(lp_ctx *ctx, size_t bytes) : ctx_(ctx), at_(allocate(ctx, bytes, ctx->stream())) {}
  ~Buffer() { attempt(ctx_->error, "probe_tiles", [&] { release(ctx_, at_, ctx_->stream()); }); }
  uint32_t *words() const { return static_cast<uint32_t *>(at_); }

private:
  lp_ctx *ctx_;
  void *at_;
};

void copy_words(void *dst, const void *src, size_t words, cudaMemcpyKind kind, lp_ctx *ctx) {
  check(cudaMemcpyAsync(dst, src, words * 4, kind, ctx->stream()), "cudaMemcpyAsync");
}
} // namespace

// in, out: host memory. LP_EINVAL: kind outside 0..5, problems < 1.
extern "C" LP_API lp_status lp_probe_tiles(int32_t kind, int32_t problems, const uint32_t *in,
                                           uint32_t *out) {
  lp_ctx *ctx = nullptr;
  const lp_status opened = lp_ctx_create(0, 1, &ctx);
  if (opened != LP_OK) return opened;
  const lp_status status = attempt(contextless_error, "probe_tiles", [&] {
    LP_CHECK_POINTERS(in, out);
    LP_CHECK(kind >= 0 && kind <= copy_groups, "kind must be in 0..5, found %d", kind);
    LP_CHECK(problems >= 1, "problems must be >= 1, found %d", problems);
    const size_t lanes = (size_t)problems * 32;
    const size_t words = lanes * (size_t)kWords[kind];
    const Buffer input(ctx, words * 4), output(ctx, lanes * 4 * 4);
    const dim3 grid((unsigned)problems), warp(32);
    if (kind < copies) {
      copy_words(input.words(), in, words, cudaMemcpyHostToDevice, ctx);
      if (kind == mma_bf16)
        launch(ctx, "multiply", multiply<bf16>, grid, warp, 0, input.words(), output.words());
      else if (kind == mma_f16)
        launch(ctx, "multiply", multiply<f16>, grid, warp, 0, input.words(), output.words());
      else
        launch(ctx, "load", load, grid, warp, 0, input.words(), output.words(),
               kind == matrix_transposed);
    } else {
      std::vector<uint32_t> data, to;
      for (size_t lane = 0; lane < lanes; lane++) {
        data.insert(data.end(), in + lane * 6, in + lane * 6 + 4);
        to.insert(to.end(), in + lane * 6 + 4, in + lane * 6 + 6);
      }
      uint32_t *const places = input.words() + lanes * 4;
      copy_words(input.words(), data.data(), lanes * 4, cudaMemcpyHostToDevice, ctx);
      copy_words(places, to.data(), lanes * 2, cudaMemcpyHostToDevice, ctx);
      launch(ctx, "copy", copy, grid, warp, 0, input.words(), places, output.words(),
             kind == copy_groups);
      finish(ctx, ctx->stream()); // data and to end here
    }
    copy_words(out, output.words(), lanes * 4, cudaMemcpyDeviceToHost, ctx);
    finish(ctx, ctx->stream());
  });
  lp_ctx_destroy(ctx);
  return status;
}
