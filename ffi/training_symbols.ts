/** Part of the mirror of csrc/llmpipe.h: see symbols.ts. @module */

/** Functions of the loss, of sampling, the optimizers and communication. */
export const TRAINING_SYMBOLS = {
  // Loss
  lp_cross_entropy: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const void *x
      "pointer", // const int32_t *target
      "pointer", // float *loss
      "pointer", // float *z
      "pointer", // const float *z_scale
      "pointer", // float *top
      "pointer", // const float *top_scale
      "pointer", // void *dx
      "i32", // int32_t N
      "i32", // int32_t V
      "f32", // float ce_scale
      "i32", // lp_dtype in_dtype
      "i32", // lp_dtype out_dtype
    ],
    result: "i32",
  },

  // Sampling
  lp_sample: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const float *x
      "pointer", // const double *u
      "pointer", // int32_t *token
      "i32", // int32_t N
      "i32", // int32_t V
      "f32", // float temperature
      "i32", // int32_t top_k
      "f32", // float top_p
    ],
    result: "i32",
  },

  // Optimizers: one flat run of parameters, all moments and master weights f32
  lp_adamw: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const float *grad
      "pointer", // float *p
      "pointer", // float *m
      "pointer", // float *v
      "pointer", // void *w
      "usize", // size_t n
      "f32", // float grad_scale
      "f32", // float lr
      "f32", // float beta1
      "f32", // float beta2
      "f32", // float eps
      "f32", // float decay
      "f32", // float correction1
      "f32", // float correction2
      "i32", // lp_dtype w_dtype
    ],
    result: "i32",
  },
  lp_lion: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "pointer", // const float *grad
      "pointer", // float *p
      "pointer", // float *m
      "pointer", // void *w
      "usize", // size_t n
      "f32", // float grad_scale
      "f32", // float lr
      "f32", // float beta1
      "f32", // float beta2
      "f32", // float decay
      "i32", // int32_t zero_is_negative
      "i32", // lp_dtype w_dtype
    ],
    result: "i32",
  },

  // Communication
  lp_comm_create: {
    parameters: [
      "pointer", // lp_ctx *ctx
      "i32", // int32_t rank
      "i32", // int32_t size
      "buffer", // const char *host
      "i32", // int32_t timeout_ms
      "buffer", // lp_comm **out
    ],
    result: "i32",
  },
  lp_comm_address: {
    parameters: [
      "pointer", // lp_comm *comm
      "buffer", // void *blob
      "usize", // size_t capacity
      "buffer", // size_t *bytes
    ],
    result: "i32",
  },
  lp_comm_connect: {
    parameters: [
      "pointer", // lp_comm *comm
      "buffer", // const void *blobs
      "usize", // size_t bytes
    ],
    result: "i32",
  },
  lp_comm_destroy: {
    parameters: [
      "pointer", // lp_comm *comm
    ],
    result: "i32",
  },
  lp_comm_abort: {
    parameters: [
      "pointer", // lp_comm *comm
    ],
    result: "i32",
  },
  lp_isend: {
    parameters: [
      "pointer", // lp_comm *comm
      "pointer", // const void *x
      "usize", // size_t bytes
      "i32", // int32_t peer
      "i32", // int32_t tag
      "buffer", // lp_request **out
    ],
    result: "i32",
  },
  lp_irecv: {
    parameters: [
      "pointer", // lp_comm *comm
      "pointer", // void *x
      "usize", // size_t bytes
      "i32", // int32_t peer
      "i32", // int32_t tag
      "buffer", // lp_request **out
    ],
    result: "i32",
  },
  lp_wait: {
    parameters: [
      "pointer", // lp_comm *comm
      "pointer", // lp_request *request
    ],
    result: "i32",
  },
  lp_group_begin: {
    parameters: [
      "pointer", // lp_comm *comm
    ],
    result: "i32",
  },
  lp_group_end: {
    parameters: [
      "pointer", // lp_comm *comm
    ],
    result: "i32",
  },
  lp_all_reduce: {
    parameters: [
      "pointer", // lp_comm *comm
      "pointer", // void *x
      "usize", // size_t n
      "i32", // int32_t op
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_reduce_scatter: {
    parameters: [
      "pointer", // lp_comm *comm
      "pointer", // void *x
      "pointer", // void *y
      "usize", // size_t n
      "i32", // int32_t op
      "i32", // lp_dtype dtype
    ],
    result: "i32",
  },
  lp_all_gather: {
    parameters: [
      "pointer", // lp_comm *comm
      "pointer", // const void *x
      "pointer", // void *y
      "usize", // size_t bytes
    ],
    result: "i32",
  },
  lp_broadcast: {
    parameters: [
      "pointer", // lp_comm *comm
      "pointer", // void *x
      "usize", // size_t bytes
      "i32", // int32_t root
    ],
    result: "i32",
  },
  lp_all_to_all: {
    parameters: [
      "pointer", // lp_comm *comm
      "pointer", // const void *x
      "pointer", // void *y
      "usize", // size_t bytes
    ],
    result: "i32",
  },
  lp_barrier: {
    parameters: [
      "pointer", // lp_comm *comm
    ],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;
