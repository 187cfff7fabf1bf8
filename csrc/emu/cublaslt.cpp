// Products as the descriptors say, in plain loops. Stricter than the library where that keeps its
// fast kernels reachable: operands that are not multiples of 16 bytes are not supported. An attribute
// or a value that is not known here is refused.
#include "cublasLt.h"

#include <string.h>

#include <vector>

#include "emu/control.h"
#include "emu/library.h"
#include "emu/memory.h"

struct emu_lt_handle {};
struct emu_lt_matmul {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  int transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  unsigned epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  int bias_type = -1; // that of D
  const void *bias = nullptr;

  bool has_bias() const { return epilogue == CUBLASLT_EPILOGUE_BIAS; }
};
struct emu_lt_layout {
  cudaDataType_t type;
  uint64_t rows, cols;
  int64_t ld;
  int batch = 1;
  int64_t stride = 0;
  int64_t at(uint64_t row, uint64_t col) const { return (int64_t)col * ld + (int64_t)row; }
  uint64_t elements() const { // from the first to the last one
    return (uint64_t)(batch - 1) * (uint64_t)stride + (cols - 1) * (uint64_t)ld + rows;
  }
};
struct emu_lt_preference {
  uint64_t workspace = 0;
  uint32_t reduction = 7, alignment[4] = {256, 256, 256, 256};
};

namespace {
struct Shape {
  uint64_t m, n, k;
};

size_t bytes_of(cudaDataType_t type) { return type == CUDA_R_32F ? 4 : 2; }

cublasStatus_t shape_of(const emu_lt_matmul &matmul, const emu_lt_layout &A, const emu_lt_layout &B,
                        const emu_lt_layout &C, const emu_lt_layout &D, Shape *shape) {
  shape->m = matmul.transpose_a ? A.cols : A.rows;
  shape->k = matmul.transpose_a ? A.rows : A.cols;
  shape->n = matmul.transpose_b ? B.rows : B.cols;
  bool fits = (matmul.transpose_b ? B.cols : B.rows) == shape->k;
  for (const emu_lt_layout *to : {&C, &D})
    fits = fits && to->rows == shape->m && to->cols == shape->n;
  for (const emu_lt_layout *each : {&A, &B, &C, &D})
    fits = fits && each->ld >= (int64_t)each->rows && each->batch == D.batch;
  if (!fits) return CUBLAS_STATUS_INVALID_VALUE;
  if (matmul.has_bias() && matmul.bias == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const bool is_tf32 = matmul.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  const bool is_known = A.type == B.type && C.type == D.type && matmul.scale == CUDA_R_32F &&
                        (D.type == A.type || D.type == CUDA_R_32F) &&
                        (matmul.compute == CUBLAS_COMPUTE_32F || (is_tf32 && A.type == CUDA_R_32F)) &&
                        (matmul.bias_type == -1 || matmul.bias_type == D.type);
  return is_known ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

bool is_wide(const emu_lt_layout &layout) {
  const size_t bytes = bytes_of(layout.type);
  return layout.ld * bytes % 16 == 0 && layout.stride * bytes % 16 == 0;
}

float get(const void *p, cudaDataType_t type, int64_t i) {
  if (type == CUDA_R_32F) return static_cast<const float *>(p)[i];
  const uint16_t bits = static_cast<const uint16_t *>(p)[i];
  return type == CUDA_R_16BF ? emu::bf16_to_f32(bits) : emu::f16_to_f32(bits);
}

void put(void *p, cudaDataType_t type, int64_t i, float v) {
  if (type == CUDA_R_32F)
    static_cast<float *>(p)[i] = v;
  else
    static_cast<uint16_t *>(p)[i] = type == CUDA_R_16BF ? emu::f32_to_bf16(v) : emu::f32_to_f16(v);
}

bool is_wide(const void *address) { return reinterpret_cast<uintptr_t>(address) % 16 == 0; }

// What tensor cores see of an f32: 10 bits of mantissa, to nearest, ties away from zero (PTX ISA,
// cvt.rna.tf32.f32; how cuBLASLt rounds is not documented).
float to_tf32(float v) {
  uint32_t bits;
  memcpy(&bits, &v, 4);
  if ((bits & 0x7f800000) != 0x7f800000) bits = (bits + 0x1000) & ~0x1fffu; // not of inf and nan
  memcpy(&v, &bits, 4);
  return v;
}

struct Product {
  emu_lt_matmul matmul;
  emu_lt_layout A, B, C, D;
  Shape shape;
  const void *a, *b, *c;
  void *d;
  float alpha, beta;

  void check_memory() const {
    if (!emu::is_device(a, A.elements() * bytes_of(A.type)) ||
        !emu::is_device(b, B.elements() * bytes_of(B.type)) ||
        !emu::is_device(d, D.elements() * bytes_of(D.type)) ||
        (matmul.has_bias() && !emu::is_device(matmul.bias, D.rows * bytes_of(D.type))))
      throw emu::Fault("cublasLtMatmul: an operand goes beyond its buffer");
  }

  void run() const {
    check_memory();
    const auto [m, n, k] = shape;
    std::vector<float> x(m * k), y(k * n), sums(n);
    for (int i = 0; i < D.batch; i++) {
      const int64_t from_a = A.stride * i, from_b = B.stride * i;
      for (uint64_t r = 0; r < m; r++)
        for (uint64_t p = 0; p < k; p++)
          x[r * k + p] = get(a, A.type, from_a + (matmul.transpose_a ? A.at(p, r) : A.at(r, p)));
      for (uint64_t p = 0; p < k; p++)
        for (uint64_t q = 0; q < n; q++)
          y[p * n + q] = get(b, B.type, from_b + (matmul.transpose_b ? B.at(q, p) : B.at(p, q)));
      if (matmul.compute == CUBLAS_COMPUTE_32F_FAST_TF32)
        for (std::vector<float> *operand : {&x, &y})
          for (float &v : *operand) v = to_tf32(v);
      for (uint64_t r = 0; r < m; r++) {
        for (float &sum : sums) sum = 0;
        for (uint64_t p = 0; p < k; p++)
          for (uint64_t q = 0; q < n; q++) sums[q] += x[r * k + p] * y[p * n + q];
        for (uint64_t q = 0; q < n; q++) {
          float v = alpha * sums[q];
          if (beta != 0) v += beta * get(c, C.type, C.stride * i + C.at(r, q));
          if (matmul.has_bias()) v += get(matmul.bias, D.type, (int64_t)r);
          put(d, D.type, D.stride * i + D.at(r, q), v);
        }
      }
    }
  }
};

// Copies an attribute of exactly `bytes` bytes.
cublasStatus_t set(void *to, size_t bytes, const void *from, size_t given) {
  if (bytes != given) return CUBLAS_STATUS_INVALID_VALUE;
  memcpy(to, from, bytes);
  return CUBLAS_STATUS_SUCCESS;
}
} // namespace

extern "C" {

size_t cublasLtGetVersion() { return 130100; }

const char *cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
  case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
  case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
  case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
  case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
  case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return "unknown status";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
  *handle = new emu_lt_handle;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *matmul, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  *matmul = new emu_lt_matmul{compute, scale};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t matmul) {
  delete matmul;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t matmul,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes) {
  switch (attribute) {
  case CUBLASLT_MATMUL_DESC_TRANSA: return set(&matmul->transpose_a, 4, value, bytes);
  case CUBLASLT_MATMUL_DESC_TRANSB: return set(&matmul->transpose_b, 4, value, bytes);
  case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
    return set(&matmul->bias, sizeof matmul->bias, value, bytes);
  case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return set(&matmul->bias_type, 4, value, bytes);
  case CUBLASLT_MATMUL_DESC_EPILOGUE: {
    const cublasStatus_t status = set(&matmul->epilogue, 4, value, bytes);
    const bool is_known =
        matmul->epilogue == CUBLASLT_EPILOGUE_DEFAULT || matmul->epilogue == CUBLASLT_EPILOGUE_BIAS;
    return is_known ? status : CUBLAS_STATUS_INVALID_VALUE;
  }
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType_t type,
                                          uint64_t rows, uint64_t cols, int64_t ld) {
  *layout = new emu_lt_layout{type, rows, cols, ld};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void *value, size_t bytes) {
  switch (attribute) {
  case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT: return set(&layout->batch, 4, value, bytes);
  case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET: return set(&layout->stride, 8, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference) {
  *preference = new emu_lt_preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void *value, size_t bytes) {
  switch (attribute) {
  case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
    return set(&preference->workspace, 8, value, bytes);
  case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
    return set(&preference->reduction, 4, value, bytes);
  case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
  case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
  case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
  case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
    return set(&preference->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], 4,
               value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t matmul,
                                              cublasLtMatrixLayout_t A, cublasLtMatrixLayout_t B,
                                              cublasLtMatrixLayout_t C, cublasLtMatrixLayout_t D,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t *result, int *found) {
  *found = 0;
  Shape shape;
  if (const cublasStatus_t status = shape_of(*matmul, *A, *B, *C, *D, &shape)) return status;
  bool is_fast = is_wide(*A) && is_wide(*B) && is_wide(*C) && is_wide(*D) && wanted > 0;
  is_fast = is_fast && (!matmul->has_bias() || is_wide(matmul->bias));
  for (const uint32_t alignment : preference->alignment) is_fast = is_fast && alignment >= 16;
  if (!is_fast) return CUBLAS_STATUS_NOT_SUPPORTED;
  *result = {};
  result->workspaceSize = 1024;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t matmul, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t A, const void *b,
                              cublasLtMatrixLayout_t B, const void *beta, const void *c,
                              cublasLtMatrixLayout_t C, void *d, cublasLtMatrixLayout_t D,
                              const cublasLtMatmulAlgo_t *, void *workspace, size_t workspace_bytes,
                              cudaStream_t stream) {
  if (emu::is_injected("cublasLtMatmul")) return CUBLAS_STATUS_EXECUTION_FAILED;
  Product product{*matmul, *A, *B, *C, *D, {}, a, b, c, d, 0, 0};
  if (const cublasStatus_t status = shape_of(*matmul, *A, *B, *C, *D, &product.shape))
    return status;
  for (const void *operand : {a, b, c, static_cast<const void *>(d), matmul->bias})
    if (!is_wide(operand)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (workspace_bytes < 1024 || !emu::is_device(workspace, workspace_bytes))
    return CUBLAS_STATUS_INVALID_VALUE;
  memcpy(&product.alpha, alpha, 4);
  memcpy(&product.beta, beta, 4);
  const cudaError_t error = emu::enqueue(stream, "cublasLtMatmul", [product] { product.run(); });
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
}

#define ENTRY(function) {#function, reinterpret_cast<void *>(&function)}
static const emu::Symbols
    symbols("libcublasLt.so.13",
            {ENTRY(cublasLtGetVersion), ENTRY(cublasLtGetStatusString), ENTRY(cublasLtCreate),
             ENTRY(cublasLtDestroy), ENTRY(cublasLtMatmulDescCreate),
             ENTRY(cublasLtMatmulDescDestroy), ENTRY(cublasLtMatmulDescSetAttribute),
             ENTRY(cublasLtMatrixLayoutCreate), ENTRY(cublasLtMatrixLayoutDestroy),
             ENTRY(cublasLtMatrixLayoutSetAttribute), ENTRY(cublasLtMatmulPreferenceCreate),
             ENTRY(cublasLtMatmulPreferenceDestroy), ENTRY(cublasLtMatmulPreferenceSetAttribute),
             ENTRY(cublasLtMatmulAlgoGetHeuristic), ENTRY(cublasLtMatmul)});
