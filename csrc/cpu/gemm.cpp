// Matrix products by oneDNN.
//
// Its brgemm kernels serve almost everything: dense operands in any layout, all types that the
// processor has instructions for. Making one costs 0.2 ms, more than many products take: each shape
// is made once and kept. gemm_tiles.cpp does the rest (strided operands, f16, older processors).
#include "cpu/gemm.h"

#include <dnnl.hpp>
#include <string.h>

#include <algorithm>

#include "cpu/dtype.h"
#include "cpu/transpose.h"

namespace lp {

using dnnl::memory;

namespace {
// A product of one shape, ready to be run on any addresses.
struct Primitive {
  dnnl::matmul matmul;
  memory a, b, c, bias, scratchpad;
  size_t scratchpad_bytes;
};

constexpr size_t kMostPrimitives = 1024; // prompts of every length: forget them all beyond that
} // namespace

struct Gemm {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::unordered_map<Product, std::unique_ptr<Primitive>, HashBytes<Product>>
      primitives; // null: none
};

void close(Gemm *gemm) { delete gemm; }

namespace {
memory::data_type type_of(lp_dtype dtype) {
  return dtype == LP_F32    ? memory::data_type::f32
         : dtype == LP_BF16 ? memory::data_type::bf16
                            : memory::data_type::f16;
}

memory::desc describe(lp_dtype dtype, int64_t batch, int64_t rows, int64_t cols, int64_t stride,
                      bool transposed, uint64_t batch_stride, bool batched) {
  const int64_t row = transposed ? 1 : stride, col = transposed ? stride : 1;
  if (!batched) return {{rows, cols}, type_of(dtype), memory::dims{row, col}};
  const int64_t shared = batch_stride == 0 ? 1 : batch; // 0: one matrix for all
  const int64_t step = batch_stride == 0 ? rows * cols : (int64_t)batch_stride;
  return {{shared, rows, cols}, type_of(dtype), memory::dims{step, row, col}};
}

// alpha (sums + bias + beta / alpha C): oneDNN has fast kernels only where C is added first.
dnnl::primitive_attr attributes(float alpha, float beta) {
  dnnl::primitive_attr attr;
  dnnl::post_ops post;
  if (beta != 0) post.append_sum(beta / alpha);
#if DNNL_VERSION_MAJOR >= 3
  if (alpha != 1) post.append_eltwise(dnnl::algorithm::eltwise_linear, alpha, 0);
#else
  if (alpha != 1) post.append_eltwise(1, dnnl::algorithm::eltwise_linear, alpha, 0);
#endif
#if DNNL_VERSION_MAJOR > 3 || DNNL_VERSION_MAJOR == 3 && DNNL_VERSION_MINOR >= 5
  attr.set_deterministic(true); // or the sums of a small C are split among the threads
#endif
  attr.set_post_ops(post);
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

// Null when oneDNN would use another kernel: its reference takes ages, and the order in which its
// older gemm adds depends on the number of threads.
std::unique_ptr<Primitive> make(const dnnl::engine &engine, const Product &p) {
  // oneDNN 3.7 takes the rows of a C of one column for neighbours
  if (p.cols == 1 && p.ldc > 1) return nullptr;
  const bool batched = p.batch > 1;
  const lp_dtype in = p.in_dtype;
  const auto a = describe(in, p.batch, p.rows, p.inner, p.lda, p.trans_a, p.batch_a, batched);
  const auto b = describe(in, p.batch, p.inner, p.cols, p.ldb, p.trans_b, p.batch_b, batched);
  const auto c = describe(p.out_dtype, p.batch, p.rows, p.cols, p.ldc, false, p.batch_c, batched);
  const auto bias = p.has_bias ? describe(p.out_dtype, 1, 1, p.cols, p.cols, false, 0, batched)
                               : memory::desc(); // none
  try {
    const auto attr = attributes(p.alpha, p.beta);
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::matmul::primitive_desc desc(engine, a, b, bias, c, attr);
#else
    const dnnl::matmul::primitive_desc desc(dnnl::matmul::desc(a, b, bias, c), attr, engine);
#endif
    if (strncmp(desc.impl_info_str(), "brg", 3) != 0) return nullptr;
    const auto scratchpad = desc.scratchpad_desc();
    return std::unique_ptr<Primitive>(new Primitive{
        dnnl::matmul(desc), memory(a, engine, nullptr), memory(b, engine, nullptr),
        memory(c, engine, nullptr), memory(bias, engine, nullptr),
        memory(scratchpad, engine, nullptr), scratchpad.get_size()});
  } catch (const dnnl::error &error) {
    if (error.status == dnnl_unimplemented) return nullptr;
    throw;
  }
}

// The kernel for a product, made when it is asked for first; null when there is none.
Primitive *find(lp_ctx *ctx, const Product &product) {
  if (!ctx->gemm) ctx->gemm.reset(new Gemm);
  Gemm &gemm = *ctx->gemm;
  auto found = gemm.primitives.find(product);
  if (found == gemm.primitives.end()) {
    if (gemm.primitives.size() >= kMostPrimitives) gemm.primitives.clear();
    found = gemm.primitives.emplace(product, make(gemm.engine, product)).first;
  }
  return found->second.get();
}

// False, and nothing was done, when there is no such kernel for this product.
bool multiply_by_brgemm(lp_ctx *ctx, const Product &product, const void *A, const void *B, void *C,
                        const void *bias) {
  Primitive *primitive = find(ctx, product);
  if (primitive == nullptr) return false;
  if (ctx->held.only_measures) {
    ctx->scratchpad.measure(primitive->scratchpad_bytes);
    return true;
  }
  primitive->a.set_data_handle(const_cast<void *>(A));
  primitive->b.set_data_handle(const_cast<void *>(B));
  primitive->c.set_data_handle(C);
  primitive->bias.set_data_handle(const_cast<void *>(bias));
  primitive->scratchpad.set_data_handle(
      primitive->scratchpad_bytes ? ctx->scratchpad.get(primitive->scratchpad_bytes) : nullptr);
  dnnl::stream &stream = ctx->gemm->stream;
  primitive->matmul.execute(stream, {{DNNL_ARG_SRC, primitive->a},
                                     {DNNL_ARG_WEIGHTS, primitive->b},
                                     {DNNL_ARG_DST, primitive->c},
                                     {DNNL_ARG_BIAS, primitive->bias},
                                     {DNNL_ARG_SCRATCHPAD, primitive->scratchpad}});
  stream.wait();
  return true;
}

// to [rows, inner] = the transpose of the columns from[:, 0 .. rows - 1].
template <class T> void transpose_panel(const T *from, const Product &p, int rows, T *to) {
  constexpr int kPart = 64; // rows of `from` that one thread takes at a time
  const int parts = (p.inner + kPart - 1) / kPart;
#pragma omp parallel for schedule(static) if ((size_t)rows * p.inner > kSerial)
  for (int i = 0; i < parts; i++) {
    const int first = i * kPart;
    transpose(from + (size_t)first * p.lda, (size_t)p.lda, to + first, (size_t)p.inner,
              std::min(kPart, p.inner - first), rows);
  }
}

// Whether C alone gives 16 threads plenty to do. Where it does not, oneDNN splits the sums of a
// product with transposed A, and the order in which it adds depends on the number of threads. So must
// not this choice: the panels below are added in another order.
bool fills_many_threads(const Product &p) {
  constexpr int kBlock = 64, kLeastBlocks = 8 * 16;
  return (int64_t)(p.rows / kBlock) * (p.cols / kBlock) * p.batch >= kLeastBlocks;
}

// Small weight gradients: op(A) is transposed panel by panel, which gives the bits of one thread.
bool multiply_transposed(lp_ctx *ctx, const Product &p, const void *A, const void *B, void *C,
                         const void *bias) {
  if (!p.trans_a || p.batch > 1) return false;
  constexpr int kMostRows = 512; // of a panel, which should stay in the caches
  const size_t in_bytes = bytes_of(p.in_dtype), out_bytes = bytes_of(p.out_dtype);
  const int most = std::min(p.rows, kMostRows);
  Product panel = p;
  panel.trans_a = 0;
  panel.lda = p.inner;
  for (const int rows : {p.rows % most, most}) { // of the last panel, and of the others
    panel.rows = rows;
    if (rows > 0 && find(ctx, panel) == nullptr) return false; // before any has been added to C
  }
  if (ctx->held.only_measures) multiply_by_brgemm(ctx, panel, A, B, C, bias);
  void *memory = ctx->gemm_workspace.get((size_t)most * p.inner * in_bytes);
  for (int row = 0; row < p.rows; row += most) {
    panel.rows = std::min(most, p.rows - row);
    if (in_bytes == 4)
      transpose_panel(static_cast<const uint32_t *>(A) + row, p, panel.rows,
                      static_cast<uint32_t *>(memory));
    else
      transpose_panel(static_cast<const uint16_t *>(A) + row, p, panel.rows,
                      static_cast<uint16_t *>(memory));
    void *to = static_cast<char *>(C) + (size_t)row * p.ldc * out_bytes;
    multiply_by_brgemm(ctx, panel, memory, B, to, bias);
  }
  return true;
}

// C = beta C, what is left of a product of nothing.
void scale_only(lp_ctx *ctx, const Product &p, void *C) {
  if (ctx->held.only_measures) return;
  with_type(p.out_dtype, [&](auto type) {
    using T = decltype(type);
    for (int64_t i = 0; i < p.batch; i++)
      for (int64_t n = 0; n < p.rows; n++) {
        T *row = static_cast<T *>(C) + (size_t)i * p.batch_c + (size_t)n * p.ldc;
        for (int64_t j = 0; j < p.cols; j++)
          row[j] = p.beta == 0 ? from_float<T>(0) : from_float<T>(p.beta * to_float(row[j]));
      }
  });
}
} // namespace

void multiply(lp_ctx *ctx, const Product &product, const void *A, const void *B, void *C,
              const void *bias) {
  if (!ctx->held.only_measures && multiply_few_rows(product, A, B, C, bias)) return;
  if (product.trans_a && !fills_many_threads(product)
          ? multiply_transposed(ctx, product, A, B, C, bias)
          : multiply_by_brgemm(ctx, product, A, B, C, bias))
    return;
  multiply_tiles(ctx, product, A, B, C, bias);
}

} // namespace lp

using namespace lp;

lp_status lp_gemm(lp_ctx *ctx, const void *A, const void *B, void *C, int32_t rows, int32_t cols,
                  int32_t inner, int32_t lda, int32_t ldb, int32_t ldc, int32_t trans_a,
                  int32_t trans_b, int32_t batch, size_t batch_a, size_t batch_b, size_t batch_c,
                  float alpha, float beta, lp_dtype in_dtype, lp_dtype out_dtype) {
  return guard_measured(ctx, "gemm", [&] {
    Product product{rows,    cols,    inner,     lda,      ldb,       ldc,   trans_a,
                    trans_b, batch,   in_dtype,  out_dtype, alpha,    beta,  0,
                    batch_a, batch_b, batch_c};
    check(product);
    if (rows == 0 || cols == 0 || batch == 0) return;
    LP_CHECK_POINTERS(C);
    if (inner == 0 || alpha == 0) return scale_only(ctx, product, C);
    LP_CHECK_POINTERS(A, B);
    if (batch == 1) product.batch_a = product.batch_b = product.batch_c = 0;
    multiply(ctx, product, A, B, C);
  });
}

lp_status lp_linear_forward(lp_ctx *ctx, const void *x, const void *w, const void *b, void *y,
                            int32_t N, int32_t D, int32_t F, lp_dtype dtype) {
  return guard_measured(ctx, "linear_forward", [&] {
    const Product product = linear_product(N, D, F, dtype, b != nullptr);
    if (N == 0 || F == 0) return;
    LP_CHECK_POINTERS(x, w, y);
    multiply(ctx, product, x, w, y, b);
  });
}

lp_status lp_products_select(lp_ctx *ctx, int32_t arithmetic) {
  return guard(ctx, "products_select", [&] {
    check_arithmetic(arithmetic);
    if (arithmetic == kExactProducts) return;
    fail(LP_EUNSUPPORTED, "the CPU has no tf32: its products of f32 are exact");
  });
}
