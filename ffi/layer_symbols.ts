/** Part of the mirror of csrc/llmpipe.h: see symbols.ts. @module */

/** Functions of the layers of a model. */
export const LAYER_SYMBOLS = {
  // Matrix product
  lp_gemm: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *A
      "pointer", // const void *B
      "pointer", // void *C
      "i32", // int32_t rows
      "i32", // int32_t cols
      "i32", // int32_t inner
      "i32", // int32_t lda
      "i32", // int32_t ldb
      "i32", // int32_t ldc
      "i32", // int32_t trans_a
      "i32", // int32_t trans_b
      "i32", // int32_t batch
      "usize", // size_t batch_a
      "usize", // size_t batch_b
      "usize", // size_t batch_c
      "f32", // float alpha
      "f32", // float beta
      "i32", // lp_dtype in_dtype
      "i32", // lp_dtype out_dtype
    ],
    result: "i32",
  },
  lp_linear_forward: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *x
      "pointer", // const void *w
      "pointer", // const void *b
      "pointer", // void *y
      "i32", // int32_t N
      "i32", // int32_t D
      "i32", // int32_t F
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_bias_backward: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *dy
      "pointer", // float *db
      "i32", // int32_t N
      "i32", // int32_t F
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },

  // Norms
  lp_rms_norm_forward: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *x
      "pointer", // const void *residual
      "pointer", // const void *w
      "pointer", // void *sum
      "pointer", // void *y
      "pointer", // float *r
      "i32", // int32_t N
      "i32", // int32_t D
      "f32", // float eps
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_rms_norm_backward: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *dy
      "pointer", // const void *x
      "pointer", // const void *w
      "pointer", // const float *r
      "pointer", // const void *dx_before
      "pointer", // void *dx
      "pointer", // float *dw
      "i32", // int32_t N
      "i32", // int32_t D
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_layer_norm_forward: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *x
      "pointer", // const void *residual
      "pointer", // const void *w
      "pointer", // const void *b
      "pointer", // void *sum
      "pointer", // void *y
      "pointer", // float *mean
      "pointer", // float *r
      "i32", // int32_t N
      "i32", // int32_t D
      "f32", // float eps
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_layer_norm_backward: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *dy
      "pointer", // const void *x
      "pointer", // const void *w
      "pointer", // const float *mean
      "pointer", // const float *r
      "pointer", // const void *dx_before
      "pointer", // void *dx
      "pointer", // float *dw
      "pointer", // float *db
      "i32", // int32_t N
      "i32", // int32_t D
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_row_normalize_forward: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *x
      "pointer", // void *y
      "pointer", // float *r
      "i32", // int32_t N
      "i32", // int32_t D
      "f32", // float eps
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_row_normalize_backward: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const float *dy
      "pointer", // const void *x
      "pointer", // const float *r
      "pointer", // float *dx
      "i32", // int32_t N
      "i32", // int32_t D
      "f32", // float eps
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },

  // Positions
  lp_rope_table: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const float *inv_freq
      "pointer", // float *cos
      "pointer", // float *sin
      "i32", // int32_t positions
      "i32", // int32_t half_R
      "f32", // float scale
    ],
    result: "i32",
  },
  lp_rope: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // void *x
      "pointer", // const int32_t *position
      "pointer", // const float *cos
      "pointer", // const float *sin
      "i32", // int32_t N
      "i32", // int32_t heads
      "i32", // int32_t K
      "i32", // int32_t R
      "i32", // int32_t row_stride
      "i32", // int32_t positions
      "i32", // int32_t layout
      "i32", // int32_t direction
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },

  // Attention
  lp_attention_forward: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *q
      "pointer", // const void *k
      "pointer", // const void *v
      "pointer", // const int32_t *begin
      "pointer", // const int32_t *end
      "pointer", // const float *slope
      "pointer", // void *o
      "pointer", // float *lse
      "i32", // int32_t B
      "i32", // int32_t Tq
      "i32", // int32_t Tk
      "i32", // int32_t H
      "i32", // int32_t G
      "i32", // int32_t K
      "i32", // int32_t q_stride
      "i32", // int32_t kv_stride
      "usize", // size_t kv_batch
      "i32", // int32_t o_stride
      "f32", // float scale
      "f32", // float dropout
      "u64", // uint64_t seed
      "i32", // int32_t algorithm
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_attention_backward: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *d_o
      "pointer", // const void *q
      "pointer", // const void *k
      "pointer", // const void *v
      "pointer", // const void *o
      "pointer", // const float *lse
      "pointer", // const int32_t *begin
      "pointer", // const int32_t *end
      "pointer", // const float *slope
      "pointer", // void *dq
      "pointer", // void *dk
      "pointer", // void *dv
      "i32", // int32_t B
      "i32", // int32_t Tq
      "i32", // int32_t Tk
      "i32", // int32_t H
      "i32", // int32_t G
      "i32", // int32_t K
      "i32", // int32_t q_stride
      "i32", // int32_t kv_stride
      "usize", // size_t kv_batch
      "i32", // int32_t o_stride
      "i32", // int32_t dq_stride
      "i32", // int32_t dkv_stride
      "usize", // size_t dkv_batch
      "f32", // float scale
      "f32", // float dropout
      "u64", // uint64_t seed
      "i32", // int32_t algorithm
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },

  // MLP
  lp_swiglu_forward: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *x
      "pointer", // void *y
      "i32", // int32_t N
      "i32", // int32_t F
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_swiglu_backward: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *dy
      "pointer", // const void *x
      "pointer", // void *dx
      "i32", // int32_t N
      "i32", // int32_t F
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_gelu_forward: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *x
      "pointer", // void *y
      "usize", // size_t n
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_gelu_backward: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *dy
      "pointer", // const void *x
      "pointer", // void *dx
      "usize", // size_t n
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },

  // Embedding
  lp_embedding_forward: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const int32_t *id
      "pointer", // const void *w
      "pointer", // void *y
      "i32", // int32_t N
      "i32", // int32_t D
      "i32", // int32_t V
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_embedding_backward: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const int32_t *id
      "pointer", // const void *dy
      "pointer", // float *dw
      "i32", // int32_t N
      "i32", // int32_t D
      "i32", // int32_t V
      "i32", // int32_t padding_id
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;
