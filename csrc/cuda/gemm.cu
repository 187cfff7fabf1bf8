// Matrix products by cuBLASLt.
//
// It knows matrices by columns. A row-major matrix is the transpose of the column-major one with
// the same bytes, so C' = op(B)' op(A)' is asked for: operands and sizes change places, and C is
// written as it should lie. A bias runs along the columns of C, which are the rows of C': that is
// where the library's epilogue adds it, before the one rounding. Choosing an algorithm costs tens of
// microseconds, so each shape is asked once and kept. Where the library has none (addresses or strides
// that are no multiples of 16 bytes, say), gemm_plain.cu does it.
#include "cuda/gemm.h"

#include "cuda/libraries.h"

namespace lp {

namespace {
constexpr size_t kWorkspaceBytes = 32 << 20; // what NVIDIA advises for Hopper; a choice, not a need
constexpr size_t kMostPlans = 4096;          // prompts of every length: forget them all beyond that
constexpr uint32_t kMostAlignment = 256;     // what cuBLASLt assumes when it is not told

void check(cublasStatus_t status, const char *call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail(LP_EDEVICE, "%s: %s", call, cublaslt().get_status_string(status));
}

cudaDataType_t type_of(lp_dtype dtype) {
  return dtype == LP_F32 ? CUDA_R_32F : dtype == LP_BF16 ? CUDA_R_16BF : CUDA_R_16F;
}

struct DestroyMatmul {
  void operator()(cublasLtMatmulDesc_t desc) const { cublaslt().matmul_desc_destroy(desc); }
};
struct DestroyLayout {
  void operator()(cublasLtMatrixLayout_t layout) const { cublaslt().layout_destroy(layout); }
};
struct DestroyPreference {
  void operator()(cublasLtMatmulPreference_t preference) const {
    cublaslt().preference_destroy(preference);
  }
};
template <class Handle, class Destroy> using Owned =
    std::unique_ptr<std::remove_pointer_t<Handle>, Destroy>;
using Layout = Owned<cublasLtMatrixLayout_t, DestroyLayout>;

// A product of one shape at addresses of one alignment, ready to run.
struct Plan {
  Owned<cublasLtMatmulDesc_t, DestroyMatmul> matmul;
  Layout first, second, out; // B, A and C of the caller
  cublasLtMatmulAlgo_t algorithm;
  bool is_possible = false;
};

// The largest power of 2 that divides the address.
uint32_t alignment_of(const void *address) {
  const uintptr_t lowest =
      reinterpret_cast<uintptr_t>(address) & -reinterpret_cast<uintptr_t>(address);
  return lowest == 0 || lowest > kMostAlignment ? kMostAlignment : (uint32_t)lowest;
}

// What a plan depends on. All bytes count.
struct Key {
  Product product;
  uint32_t alignment[4]; // of A, B, C and bias

  Key(const Product &p, const void *A, const void *B, const void *C, const void *bias)
      : product(p),
        alignment{alignment_of(A), alignment_of(B), alignment_of(C), alignment_of(bias)} {
    product.alpha = 1; // given when it runs
    product.beta = p.beta == 0 ? 0 : 1;
  }
  bool operator==(const Key &other) const { return memcmp(this, &other, sizeof other) == 0; }
};
static_assert(sizeof(Key) == sizeof(Product) + 16 && sizeof(Product) == 80, "no padding");

// The matrix that is stored as `rows` rows of `cols` elements, seen by columns.
Layout make_layout(lp_dtype dtype, int rows, int cols, int stride, int batch,
                   uint64_t batch_stride) {
  cublasLtMatrixLayout_t layout;
  check(cublaslt().layout_create(&layout, type_of(dtype), (uint64_t)cols, (uint64_t)rows, stride),
        "cublasLtMatrixLayoutCreate");
  Layout owned(layout);
  if (batch == 1) return owned;
  const int32_t count = batch;
  const int64_t step = (int64_t)batch_stride;
  check(cublaslt().layout_set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
        "cublasLtMatrixLayoutSetAttribute");
  check(cublaslt().layout_set(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step,
                              sizeof step),
        "cublasLtMatrixLayoutSetAttribute");
  return owned;
}

template <class T>
void set(cublasLtMatmulDesc_t matmul, cublasLtMatmulDescAttributes_t which, T value) {
  check(cublaslt().matmul_desc_set(matmul, which, &value, sizeof value),
        "cublasLtMatmulDescSetAttribute");
}

int32_t transposition(int32_t transposed) { return transposed ? CUBLAS_OP_T : CUBLAS_OP_N; }

template <class T> void prefer(cublasLtMatmulPreference_t preference,
                               cublasLtMatmulPreferenceAttributes_t which, T value) {
  check(cublaslt().preference_set(preference, which, &value, sizeof value),
        "cublasLtMatmulPreferenceSetAttribute");
}
} // namespace

struct Gemm {
  cublasLtHandle_t handle = nullptr;
  cublasComputeType_t arithmetic_of_f32 = CUBLAS_COMPUTE_32F;
  std::unordered_map<Key, Plan, HashBytes<Key>> plans;

  Gemm() { check(cublaslt().create(&handle), "cublasLtCreate"); }
  ~Gemm() {
    plans.clear();
    cublaslt().destroy(handle);
  }

  Plan make(const Product &p, const void *A, const void *B, const void *C, const void *bias) {
    Plan plan;
    cublasLtMatmulDesc_t matmul;
    const auto arithmetic = p.in_dtype == LP_F32 ? arithmetic_of_f32 : CUBLAS_COMPUTE_32F;
    check(cublaslt().matmul_desc_create(&matmul, arithmetic, CUDA_R_32F),
          "cublasLtMatmulDescCreate");
    plan.matmul.reset(matmul);
    set(matmul, CUBLASLT_MATMUL_DESC_TRANSA, transposition(p.trans_b));
    set(matmul, CUBLASLT_MATMUL_DESC_TRANSB, transposition(p.trans_a));
    if (p.has_bias) {
      set(matmul, CUBLASLT_MATMUL_DESC_EPILOGUE, (uint32_t)CUBLASLT_EPILOGUE_BIAS);
      set(matmul, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, (int32_t)type_of(p.out_dtype));
      set(matmul, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias); // its alignment decides
    }
    plan.first = make_layout(p.in_dtype, p.trans_b ? p.cols : p.inner, p.trans_b ? p.inner : p.cols,
                             p.ldb, p.batch, p.batch_b);
    plan.second = make_layout(p.in_dtype, p.trans_a ? p.inner : p.rows,
                              p.trans_a ? p.rows : p.inner, p.lda, p.batch, p.batch_a);
    plan.out = make_layout(p.out_dtype, p.rows, p.cols, p.ldc, p.batch, p.batch_c);

    cublasLtMatmulPreference_t preference;
    check(cublaslt().preference_create(&preference), "cublasLtMatmulPreferenceCreate");
    const Owned<cublasLtMatmulPreference_t, DestroyPreference> owned(preference);
    prefer(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, (uint64_t)kWorkspaceBytes);
    // Parts of a split sum are added in f32, never in the type of C
    prefer(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
           (uint32_t)CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
    prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(B));
    prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(A));
    prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(C));
    prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(C));

    cublasLtMatmulHeuristicResult_t result;
    int found = 0;
    const cublasStatus_t status =
        cublaslt().get_heuristic(handle, matmul, plan.first.get(), plan.second.get(),
                                 plan.out.get(), plan.out.get(), preference, 1, &result, &found);
    if (status != CUBLAS_STATUS_NOT_SUPPORTED) check(status, "cublasLtMatmulAlgoGetHeuristic");
    plan.is_possible = status == CUBLAS_STATUS_SUCCESS && found > 0;
    if (plan.is_possible) plan.algorithm = result.algo;
    return plan;
  }
};

void close(Gemm *gemm) { delete gemm; }

// Handles and plans of a context, opened when they are first needed.
static Gemm &gemm_of(lp_ctx *ctx) {
  if (!ctx->gemm) ctx->gemm.reset(new Gemm);
  return *ctx->gemm;
}

bool multiply_by_cublaslt(lp_ctx *ctx, const Product &product, const void *A, const void *B,
                          void *C, const void *bias) {
  Gemm &gemm = gemm_of(ctx);
  const Key key(product, A, B, C, bias);
  auto found = gemm.plans.find(key);
  if (found == gemm.plans.end()) {
    if (gemm.plans.size() >= kMostPlans) gemm.plans.clear();
    found = gemm.plans.emplace(key, gemm.make(product, A, B, C, bias)).first;
  }
  const Plan &plan = found->second;
  if (!plan.is_possible) return false;
  if (product.has_bias) set(plan.matmul.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  void *workspace = ctx->gemm_workspaces[ctx->selected].get(ctx, kWorkspaceBytes);
  check(cublaslt().matmul(gemm.handle, plan.matmul.get(), &product.alpha, B, plan.first.get(), A,
                          plan.second.get(), &product.beta, C, plan.out.get(), C, plan.out.get(),
                          &plan.algorithm, workspace, kWorkspaceBytes, ctx->stream()),
        "cublasLtMatmul");
  return true;
}

void multiply(lp_ctx *ctx, const Product &product, const void *A, const void *B, void *C,
              const void *bias) {
  if (ctx->held.only_measures) ctx->gemm_workspaces[ctx->selected].get(ctx, kWorkspaceBytes);
  if (multiply_by_cublaslt(ctx, product, A, B, C, bias)) return;
  multiply_by_kernel(ctx, product, A, B, C, bias);
}

} // namespace lp

using namespace lp;

lp_status lp_gemm(lp_ctx *ctx, const void *A, const void *B, void *C, int32_t rows, int32_t cols,
                  int32_t inner, int32_t lda, int32_t ldb, int32_t ldc, int32_t trans_a,
                  int32_t trans_b, int32_t batch, size_t batch_a, size_t batch_b, size_t batch_c,
                  float alpha, float beta, lp_dtype in_dtype, lp_dtype out_dtype) {
  return guard_measured(ctx, "gemm", [&] {
    Product product{rows,     cols,      inner, lda,  ldb, ldc,     trans_a, trans_b, batch,
                    in_dtype, out_dtype, alpha, beta, 0,   batch_a, batch_b, batch_c};
    check(product);
    check_type(ctx, in_dtype);
    if (rows == 0 || cols == 0 || batch == 0) return;
    LP_CHECK_POINTERS(C);
    if (inner == 0 || alpha == 0) {
      product.inner = 0;
      return multiply_by_kernel(ctx, product, nullptr, nullptr, C, nullptr);
    }
    LP_CHECK_POINTERS(A, B);
    if (batch == 1) product.batch_a = product.batch_b = product.batch_c = 0;
    multiply(ctx, product, A, B, C);
  });
}

lp_status lp_linear_forward(lp_ctx *ctx, const void *x, const void *w, const void *b, void *y,
                            int32_t N, int32_t D, int32_t F, lp_dtype dtype) {
  return guard_measured(ctx, "linear_forward", [&] {
    const Product product = linear_product(N, D, F, dtype, b != nullptr);
    check_type(ctx, dtype);
    if (N == 0 || F == 0) return;
    LP_CHECK_POINTERS(x, w, y);
    multiply(ctx, product, x, w, y, b);
  });
}

lp_status lp_products_select(lp_ctx *ctx, int32_t arithmetic) {
  return guard(ctx, "products_select", [&] {
    check_arithmetic(arithmetic);
    if (arithmetic == kTf32Products && !ctx->has_tiles())
      fail(LP_EUNSUPPORTED,
           "tf32 needs compute capability 8.0: the device has %d.%d, its products of f32 are exact",
           ctx->sm / 10, ctx->sm % 10);
    Gemm &gemm = gemm_of(ctx);
    gemm.plans.clear(); // they are of the other arithmetic
    gemm.arithmetic_of_f32 =
        arithmetic == kTf32Products ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  });
}
